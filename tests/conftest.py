"""What tests share: random numbers that start anew for each, the tree that child processes import, and when
garbage is collected."""

import gc
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest


def pytest_configure() -> None:
    """Processes that tests start import this tree's package, whichever is installed."""
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)


def pytest_collectstart(collector: pytest.Collector) -> None:
    """What a module draws from torch when it is imported, such as weights, is the same every time: by itself
    torch starts from another number in every process."""
    if isinstance(collector, pytest.Module) and "torch" in collector.path.read_text(encoding="utf-8"):
        import torch

        torch.manual_seed(zlib.crc32(collector.nodeid.encode()))


@pytest.fixture(autouse=True)
def reseeded(request: pytest.FixtureRequest) -> None:
    """The generators a test draws from start at a number made of its name: the module's `RNG` (of numpy) and
    torch's own. So it has the same data alone as after any other tests, and shows the number if it fails."""
    seed = zlib.crc32(request.node.nodeid.encode())
    rng = getattr(request.module, "RNG", None)
    if isinstance(rng, np.random.Generator):
        rng.bit_generator.state = type(rng.bit_generator)(seed).state
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(seed)
    print(f"random numbers of this test start at {seed}")


@pytest.fixture(autouse=True, scope="module")
def collected() -> Iterator[None]:
    """Garbage is collected when a module's tests are done, of what they made, and not while they run: to look
    through the objects of torch and MLIR again and again is a seventh of the suite's time."""
    gc.disable()
    gc.freeze()
    yield
    gc.collect()
