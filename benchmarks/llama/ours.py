"""The decoder compiled by drystone, and its process.

python -m benchmarks.llama.ours MODEL.dry CLOCK THREADS PROMPT
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import Dim

import drystone
from benchmarks.llama.files import BLOCKS, GROUPS, NAMES, hollow
from benchmarks.llama.worker import CLOCKS, serve

#: By the name of a variant the file its weights come from, and what `compile` is told besides.
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "w4": (GROUPS, {}),
    "w4a8": (GROUPS, {"quantize": drystone.Quantize(activations=8)}),
    "w4a8, caches int8": (GROUPS, {"quantize": drystone.Quantize(activations=8), "caches": "int8"}),
    "Q4_0": (BLOCKS, {}),
}


def compiled(variant: str, files: Path, layers: int, prompt: int, room: int, threads: int) -> drystone.Fitted:
    """The decoder for 1 to `prompt` tokens, compiled once for all of them, with weights out of `files`."""
    name, how = VARIANTS[variant]
    checkpoint = drystone.Checkpoint(files / name, NAMES if name == BLOCKS else None)
    tokens = Dim("tokens", min=1, max=prompt)
    return drystone.compile(
        hollow(layers, room),
        (torch.zeros(1, 4, dtype=torch.int64), torch.arange(4)),
        dynamic_shapes=({1: tokens}, {0: tokens}),
        checkpoint=checkpoint,
        options=drystone.Options(compute="bf16", threads=threads, progress=False),
        **how,
    )


class Ours:
    """A compiled decoder that was saved."""

    def __init__(self, path: str, threads: int) -> None:
        self.fitted, self.threads = drystone.load(path), threads

    def run(self, tokens: Sequence[int], first: int) -> np.ndarray[Any, Any]:
        """See `benchmarks.llama.worker.Engine`."""
        positions = np.arange(first, first + len(tokens))
        (logits,) = self.fitted.call((np.array([tokens]), positions), threads=self.threads)
        return np.asarray(logits)


if __name__ == "__main__":
    _path, _clock, _threads, _prompt = sys.argv[1:]
    serve(Ours(_path, int(_threads)), CLOCKS[_clock], int(_prompt))
