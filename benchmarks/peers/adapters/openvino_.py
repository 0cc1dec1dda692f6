"""OpenVINO's CPU plugin."""

import importlib.util
from typing import Any

import numpy as np

from benchmarks.peers.adapters import Loaded, Task, size
from benchmarks.peers.adapters.onnx_file import exported


def missing() -> str | None:
    absent = [name for name in ("openvino", "onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    return f"pip install {' '.join(absent)}" if absent else None


def load(task: Task) -> Loaded:
    import openvino

    product = task.arithmetic == "int8" and not task.built.calibration
    _, inputs = task.stateless
    core = openvino.Core()
    # From ONNX, not from torch: so it finds the recurrent layers, and loses nothing elsewhere.
    graph = _integer_product(task) if product else core.read_model(exported(task))
    path = task.folder / "model.xml"
    openvino.save_model(graph, path, compress_to_fp16=False)
    files = [path, path.with_suffix(".bin")]
    artifact = size(files)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": task.threads,
        "INFERENCE_PRECISION_HINT": "bf16" if task.arithmetic == "bf16" or task.built.calibration else "f32",
    }
    request = core.compile_model(graph, "CPU", settings).create_infer_request()
    for file in task.folder.glob("model.*"):
        file.unlink()
    feeds = [dict(enumerate(x.numpy() for x in tensors)) for tensors in inputs]

    def call(n: int) -> list[np.ndarray]:
        result = request.infer(feeds[n], share_inputs=True, share_outputs=True)
        return list(result.values())

    return Loaded(call, artifact)


def _integer_product(task: Task) -> Any:
    """A product of quantized numbers of scale 1: the form the plugin computes in int8."""
    from openvino import Model, opset13

    weight: Any = task.model.weight
    (x,) = task.inputs
    left = opset13.parameter(list(x.shape), np.int8, name="x")
    one = np.float32(1)
    decoded = opset13.multiply(opset13.convert(left, np.float32), one)
    right = opset13.multiply(opset13.convert(opset13.constant(weight.numpy()), np.float32), one)
    return Model([opset13.matmul(decoded, right, False, False)], [left], "product")
