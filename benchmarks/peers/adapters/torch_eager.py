"""PyTorch as it comes, and the model in the asked arithmetic for the other torch peers."""

import copy

import torch
from torch import nn

from benchmarks.peers.adapters import Loaded, Task, Unsupported
from benchmarks.peers.workloads import Inputs


def missing() -> str | None:
    return None


def in_arithmetic(task: Task) -> tuple[nn.Module, tuple[Inputs, ...]]:
    """The model and the inputs, in bfloat16 where that is asked for."""
    if task.arithmetic != "bf16":
        return task.model, task.built.inputs
    model = copy.deepcopy(task.model).to(torch.bfloat16)
    return model, tuple(
        tuple(x.to(torch.bfloat16) if x.is_floating_point() else x for x in inputs)
        for inputs in task.built.inputs
    )


def load(task: Task) -> Loaded:
    if task.built.calibration:
        raise Unsupported("quantized programs are for torch.compile")
    model, inputs = in_arithmetic(task)
    return Loaded(lambda n: model(*inputs[n]))
