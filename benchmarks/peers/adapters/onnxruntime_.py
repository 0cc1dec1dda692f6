"""ONNX Runtime's CPU provider."""

import importlib.util
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.adapters import Loaded, Task, Unsupported, size


def missing() -> str | None:
    absent = [
        name for name in ("onnxruntime", "onnx", "onnxscript") if importlib.util.find_spec(name) is None
    ]
    return f"pip install {' '.join(absent)}" if absent else None


def load(task: Task) -> Loaded:
    import onnxruntime

    if task.arithmetic == "bf16":
        raise Unsupported("no bf16 on CPUs")
    path = _integer_product(task) if task.arithmetic == "int8" else _exported(task)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = task.threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [leaf.name for leaf in session.get_inputs()]
    _, inputs = task.stateless
    feeds = [dict(zip(names, (x.numpy() for x in tensors), strict=True)) for tensors in inputs]
    files = list(path.parent.glob(f"{path.name}*"))
    artifact = size(files)
    for file in files:
        file.unlink()
    return Loaded(lambda n: session.run(None, feeds[n]), artifact)


def _exported(task: Task) -> Path:
    model, inputs = task.stateless
    path = task.folder / "model.onnx"
    torch.onnx.export(model, inputs[0], str(path), dynamo=True, external_data=True, verbose=False)
    return path


def _integer_product(task: Task) -> Path:
    """MatMulInteger with the weight as a constant."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight: Any = task.model.weight
    (x,) = task.inputs
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "weight"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.INT8, list(x.shape))],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [x.shape[0], weight.shape[1]])],
        [numpy_helper.from_array(weight.numpy(), "weight")],
    )
    path = task.folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path
