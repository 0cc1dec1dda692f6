"""torch.compile with freezing: weights become constants that Inductor folds and packs."""

import shutil
from typing import Any

import torch
from torch import nn

from benchmarks.peers.adapters import Loaded, Task
from benchmarks.peers.adapters.torch_eager import in_arithmetic
from benchmarks.peers.workloads import Inputs


def missing() -> str | None:
    return None if shutil.which("g++") or shutil.which("clang++") else "needs a C++ compiler"


def quantized(task: Task) -> tuple[nn.Module, tuple[Inputs, ...]]:
    """The model in int8 as PT2E makes it for Inductor, calibrated, and the inputs."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    config: Any = x86.get_default_x86_inductor_quantization_config()
    quantizer = x86.X86InductorQuantizer().set_global(config)
    prepared = prepare_pt2e(torch.export.export(task.model, task.inputs).module(), quantizer)
    for call in task.built.calibration:
        prepared(*call)
    model = convert_pt2e(prepared)
    return model, task.built.inputs


def load(task: Task) -> Loaded:
    import torch._inductor.config as config

    model, inputs = quantized(task) if task.built.calibration else in_arithmetic(task)
    torch._dynamo.reset()
    with config.patch(freezing=True):
        compiled = torch.compile(model)
        compiled(*inputs[0])
    return Loaded(lambda n: compiled(*inputs[n]))
