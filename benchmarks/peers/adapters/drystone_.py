"""drystone itself."""

from dataclasses import fields

import drystone
from benchmarks.peers.adapters import Loaded, Task, Unsupported


def missing() -> str | None:
    return None


def load(task: Task) -> Loaded:
    options = drystone.Options(progress=False)
    if task.arithmetic == "bf16":
        if "compute" not in {field.name for field in fields(drystone.Options)}:
            raise Unsupported("no bf16 arithmetic yet")
        options = drystone.Options(progress=False, compute="bf16")
    fitted = drystone.compile(task.model, task.inputs, options=options)
    path = fitted.save(task.folder / "model.dry")
    artifact = path.stat().st_size
    path.unlink()
    inputs, threads = task.built.inputs, task.threads
    return Loaded(lambda n: fitted.call(inputs[n], threads=threads), artifact)
