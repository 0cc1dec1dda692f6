"""ONNX Runtime's CPU provider."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.adapters import Loaded, Task, Unsupported, size
from benchmarks.peers.adapters.onnx_file import exported


def missing() -> str | None:
    absent = [
        name for name in ("onnxruntime", "onnx", "onnxscript") if importlib.util.find_spec(name) is None
    ]
    return f"pip install {' '.join(absent)}" if absent else None


def load(task: Task) -> Loaded:
    import onnxruntime

    if task.arithmetic == "bf16":
        raise Unsupported("no bf16 on CPUs")
    product = task.arithmetic == "int8" and not task.built.calibration
    path = _integer_product(task) if product else exported(task)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = task.threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [leaf.name for leaf in session.get_inputs()]
    _, inputs = task.stateless
    arrays = [[x.numpy() for x in tensors] for tensors in inputs]
    if product:
        arrays = [[(x.astype(np.int16) + 128).astype(np.uint8) for x in tensors] for tensors in arrays]
    feeds = [dict(zip(names, tensors, strict=True)) for tensors in arrays]
    files = list(path.parent.glob(f"{path.name}*"))
    artifact = size(files)
    for file in files:
        file.unlink()
    return Loaded(lambda n: session.run(None, feeds[n]), artifact)


def _integer_product(task: Task) -> Path:
    """MatMulInteger with the weight as a constant. Unsigned inputs around 128: its fast path."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight: Any = task.model.weight
    (x,) = task.inputs
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "weight", "zero"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, list(x.shape))],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [x.shape[0], weight.shape[1]])],
        [
            numpy_helper.from_array(weight.numpy(), "weight"),
            numpy_helper.from_array(np.array(128, np.uint8), "zero"),
        ],
    )
    path = task.folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path
