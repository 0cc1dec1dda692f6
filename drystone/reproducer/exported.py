"""A program as torch exported it, in few bytes: its weights stand apart, described."""

import base64
import copy
import io
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from drystone.reproducer import arrays


def packed(program: ExportedProgram) -> dict[str, Any]:
    """What `unpacked` makes a program from that is like it: the same graph, described weights. No file of the
    user's machine is named in it."""
    bare = copy.copy(program)
    bare._example_inputs = None
    bare._state_dict = {name: _unheld(tensor) for name, tensor in program.state_dict.items()}
    bare._constants = {name: _unheld(each) for name, each in program.constants.items()}
    archive = io.BytesIO()
    with warnings.catch_warnings(), _without_files(program):
        warnings.simplefilter("ignore")
        torch.export.save(bare, archive)
    held = [*program.state_dict.items(), *program.constants.items()]
    tensors = {name: _described(tensor) for name, tensor in held if isinstance(tensor, torch.Tensor)}
    return {"program": base64.b64encode(zlib.compress(archive.getvalue(), 9)).decode(), "weights": tensors}


@contextmanager
def _without_files(program: ExportedProgram) -> Iterator[None]:
    """The program's nodes without the lines of the model that they came from. A copy of the graph would have
    other names."""
    metas = [node.meta for node in program.graph.nodes]
    traces = [meta.pop("stack_trace", None) for meta in metas]
    try:
        yield
    finally:
        for meta, trace in zip(metas, traces, strict=True):
            if trace is not None:
                meta["stack_trace"] = trace


def unpacked(data: dict[str, Any]) -> ExportedProgram:
    """The program, its weights drawn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.load(io.BytesIO(zlib.decompress(base64.b64decode(data["program"]))))
    for held in (program.state_dict, program.constants):
        for name in held.keys() & data["weights"].keys():
            drawn = torch.from_numpy(arrays.drawn(data["weights"][name])).view(held[name].dtype)
            own = isinstance(held[name], torch.nn.Parameter)
            held[name] = torch.nn.Parameter(drawn, requires_grad=False) if own else drawn
    return program


def _unheld(value: Any) -> Any:
    """A tensor like it that is one number in memory; anything else as it is."""
    if not isinstance(value, torch.Tensor):
        return value
    made = torch.zeros((), dtype=value.dtype).expand(value.shape)
    if isinstance(value, torch.nn.Parameter):
        return torch.nn.Parameter(made, requires_grad=value.requires_grad)
    return made


def _described(tensor: torch.Tensor) -> dict[str, Any]:
    """Its numbers as numpy holds them: those that it has no element for by their bits."""
    plain = tensor.detach().cpu()
    try:
        return arrays.described(plain.numpy())
    except TypeError:
        bits = {1: torch.uint8, 2: torch.int16}[plain.element_size()]
        return arrays.described(np.asarray(plain.contiguous().view(bits).numpy()))
