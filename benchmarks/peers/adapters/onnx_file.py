"""The model as an ONNX file, for the peers that read those."""

from pathlib import Path

import torch

from benchmarks.peers.adapters import Task


def exported(task: Task) -> Path:
    """A file in the task's folder, with the weights beside it where they are large."""
    model, inputs = task.stateless
    path = task.folder / "model.onnx"
    torch.onnx.export(model, inputs[0], str(path), dynamo=True, external_data=True, verbose=False)
    return path
