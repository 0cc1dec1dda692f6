"""The peers, each a module with `missing()` (why it cannot run here, or None) and `load(task) -> Loaded`."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

from torch import nn

from benchmarks.peers.workloads import Built, Inputs

PEERS = {  # key on the command line -> name, module
    "drystone": ("drystone", "drystone_"),
    "torch": ("torch eager", "torch_eager"),
    "compile": ("torch.compile, frozen", "torch_compile"),
    "aoti": ("AOTInductor", "aotinductor"),
    "flex": ("flex_attention", "flex_attention"),
    "ort": ("ONNX Runtime", "onnxruntime_"),
    "ov": ("OpenVINO", "openvino_"),
}


class Unsupported(Exception):
    """The peer has no such computation: a cell with the reason, not a failure."""


@dataclass(frozen=True)
class Task:
    """What a peer gets: a float32 model, an arithmetic, a number of threads, a folder for its files."""

    built: Built
    arithmetic: str
    threads: int
    folder: Path

    @property
    def model(self) -> nn.Module:
        return self.built.model

    @property
    def inputs(self) -> Inputs:
        """The inputs of the first call."""
        return self.built.inputs[0]

    @cached_property
    def stateless(self) -> tuple[nn.Module, tuple[Inputs, ...]]:
        """The model with its caches as further inputs and outputs, for peers that keep no state."""
        from benchmarks.peers.stateless import stateless

        return stateless(self.built)


@dataclass(frozen=True)
class Loaded:
    """A compiled model. call: with the n-th inputs; outputs: of a call's result, as numpy arrays or tensors.

    artifact: bytes of the file that would be shipped, None where the peer makes none.
    """

    call: Callable[[int], Any]
    artifact: int | None = None


class Adapter(Protocol):
    """What a module of this package offers."""

    def missing(self) -> str | None: ...

    def load(self, task: Task) -> Loaded: ...


def adapter(key: str) -> Adapter:
    """The peer's module, imported only when it is asked for."""
    return cast(Adapter, importlib.import_module(f"{__name__}.{PEERS[key][1]}"))


def size(paths: Sequence[Path]) -> int:
    """Bytes of files."""
    return sum(path.stat().st_size for path in paths)
