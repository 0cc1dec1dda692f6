"""Checkpoints of AWQ (Lin et al. 2023) as AutoAWQ writes them for its product "gemm"."""

from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.frontend.checkpoints.held import Held
from drystone.frontend.checkpoints.method import Method, Store, grouped, unpack
from drystone.ir.encoding import Per

_BITS = 4
#: The output, of eight, that each nibble of a word belongs to, the lowest first.
_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


class Awq(Method):
    """qweight [inputs, outputs / 8] and qzeros [groups, outputs / 8] have eight outputs in a word, even ones
    before odd ones; scales [groups, outputs]. What activations are divided by is in other weights already."""

    suffixes: ClassVar[tuple[str, ...]] = ("qweight", "qzeros", "scales")

    def __init__(self, store: Store, config: dict[str, Any]) -> None:
        super().__init__(store, config)
        version = str(config.get("version", "gemm")).lower()
        bits = config.get("bits", config.get("w_bit", _BITS))
        if version != "gemm" or bits != _BITS:
            raise self.fail(
                f"it is AWQ in the format {version!r} with {bits} bits",
                f"drystone reads version gemm with {_BITS} bits",
            )

    def quantized(self, own: dict[str, str]) -> bool:
        """Whether there are codes."""
        return "qweight" in own

    def weight(self, layer: str, own: dict[str, str], shape: tuple[int, ...]) -> Held:
        """Codes, scales and zero points as [outputs, ..]."""
        outputs, inputs = shape
        qweight, qzeros, scales = self.of(layer, own, "qweight", "qzeros", "scales")
        codes = _in_order(self.shaped(qweight, (inputs, outputs // 8)), outputs)
        scale = self.store.plain(scales)
        groups = len(scale.parts["codes"])
        if inputs % groups:
            raise self.fail(f"{scales} has {groups} groups for {inputs} inputs")
        self.shaped(scales, (groups, outputs))
        zeros = _in_order(self.shaped(qzeros, (groups, outputs // 8)), outputs)
        turned = Held.plain(np.ascontiguousarray(scale.parts["codes"].T), scale.element)
        return grouped(f"uint{_BITS}", codes, turned, zeros, Per.group(1, inputs // groups))


def _in_order(words: Array, outputs: int) -> Array:
    """The codes in words [.., outputs / 8] as [outputs, ..]."""
    nibbles = unpack(words, _BITS, outputs).reshape(len(words), -1, 8)
    return np.ascontiguousarray(nibbles[..., np.argsort(_ORDER)].reshape(len(words), outputs).T)
