"""drystone itself."""

from typing import Any

import drystone
from benchmarks.peers.adapters import Loaded, Task


def missing() -> str | None:
    return None


def load(task: Task) -> Loaded:
    compute = "bf16" if task.arithmetic == "bf16" else None
    options = drystone.Options(progress=False, compute=compute)
    calls = task.built.calibration
    how: dict[str, Any] = {"quantize": "int8", "calibration": calls} if calls else {}
    fitted = drystone.compile(task.model, task.inputs, options=options, **how)
    path = fitted.save(task.folder / "model.dry")
    artifact = path.stat().st_size
    path.unlink()
    inputs, threads = task.built.inputs, task.threads
    return Loaded(lambda n: fitted.call(inputs[n], threads=threads), artifact)
