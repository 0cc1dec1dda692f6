"""drystone itself."""

from typing import Any

import drystone
from benchmarks.peers.adapters import Loaded, Task
from benchmarks.peers.adapters.torch_eager import in_arithmetic


def missing() -> str | None:
    return None


def load(task: Task) -> Loaded:
    model, inputs, compute = task.model, task.built.inputs, None
    calls = task.built.calibration
    if calls or (task.arithmetic == "bf16" and any(True for _ in model.parameters())):
        compute = "bf16"
    else:
        # Without weights there is nothing that could be held in bf16 but the inputs themselves.
        model, inputs = in_arithmetic(task)
    how: dict[str, Any] = {"quantize": "int8", "calibration": calls} if calls else {}
    options = drystone.Options(progress=False, compute=compute)
    fitted = drystone.compile(model, inputs[0], options=options, **how)
    path = fitted.save(task.folder / "model.dry")
    artifact = path.stat().st_size
    path.unlink()
    return Loaded(lambda n: fitted.call(inputs[n], threads=task.threads), artifact)
