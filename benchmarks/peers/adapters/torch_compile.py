"""torch.compile with freezing: weights become constants that Inductor folds and packs."""

import shutil

import torch

from benchmarks.peers.adapters import Loaded, Task
from benchmarks.peers.adapters.torch_eager import in_arithmetic


def missing() -> str | None:
    return None if shutil.which("g++") or shutil.which("clang++") else "needs a C++ compiler"


def load(task: Task) -> Loaded:
    import torch._inductor.config as config

    model, inputs = in_arithmetic(task)
    torch._dynamo.reset()
    with config.patch(freezing=True):
        compiled = torch.compile(model)
        compiled(*inputs[0])
    return Loaded(lambda n: compiled(*inputs[n]))
