"""The model as an ONNX file, for the peers that read those."""

from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.adapters import Task


def exported(task: Task) -> Path:
    """A file in the task's folder, with the weights beside it where they are large; quantized where the task
    has calls to calibrate that on."""
    model, inputs = task.stateless
    path, quantized = task.folder / "model.onnx", bool(task.built.calibration)
    # The quantizer reads one file only.
    torch.onnx.export(model, inputs[0], str(path), dynamo=True, external_data=not quantized, verbose=False)
    if quantized:
        _quantize(task, path)
    return path


def _quantize(task: Task, path: Path) -> None:
    """Put rounding to u8, with a scale for each tensor, and to i8, with one for every output channel of a
    weight, around the operations that int8 kernels know: products with weights, and where there are
    convolutions everything around them."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Calls(CalibrationDataReader):
        def __init__(self, names: list[str]) -> None:
            arrays = [[x.numpy() for x in call] for call in task.built.calibration]
            self.left = iter([dict(zip(names, call, strict=True)) for call in arrays])

        def get_next(self) -> Any:
            return next(self.left, None)

    ready = task.folder / "ready.onnx"
    quant_pre_process(path, ready, skip_symbolic_shape=True)
    graph = onnx.load(ready).graph
    convolves = any(node.op_type == "Conv" for node in graph.node)
    quantize_static(
        ready,
        path,
        Calls([given.name for given in graph.input]),
        op_types_to_quantize=None if convolves else ["MatMul", "Gemm"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )
    ready.unlink()
