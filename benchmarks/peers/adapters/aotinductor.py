"""AOTInductor: torch.export compiled ahead of time into a package that C++ can load."""

import torch

from benchmarks.peers.adapters import Loaded, Task
from benchmarks.peers.adapters.torch_compile import missing, quantized
from benchmarks.peers.adapters.torch_eager import in_arithmetic

__all__ = ["load", "missing"]


def load(task: Task) -> Loaded:
    from torch import _inductor

    model, inputs = quantized(task) if task.built.calibration else in_arithmetic(task)
    path = task.folder / "model.pt2"
    _inductor.aoti_compile_and_package(
        torch.export.export(model, inputs[0]),
        package_path=str(path),
        inductor_configs={"freezing": True},
    )
    compiled = _inductor.aoti_load_package(str(path))
    artifact = path.stat().st_size
    path.unlink()
    return Loaded(lambda n: compiled(*inputs[n]), artifact)
