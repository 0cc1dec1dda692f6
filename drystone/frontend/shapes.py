"""Questions about extents that may be symbolic, answered without making torch assume anything."""

from typing import Any

from torch.fx.experimental.symbolic_shapes import statically_known_true


def equal(a: Any, b: Any) -> bool:
    """Whether two extents are known to be equal."""
    return bool(statically_known_true(a == b))


def fixed(*extents: Any) -> bool:
    """Whether all extents are plain integers."""
    return all(isinstance(n, int) for n in extents)
