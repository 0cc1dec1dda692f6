"""Weights that a quantized program dequantizes: they stay as they are held, as constants of an encoding."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from drystone.dtypes import Array
from drystone.frontend.affine import rules
from drystone.frontend.checkpoints import Held
from drystone.frontend.checkpoints.method import grouped
from drystone.frontend.types import ELEMENTS
from drystone.ir.encoding import Codes, Per

_own = torch.ops.quantized_decomposed
#: What a program holds.
CONSTANTS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
_aten = torch.ops.aten
_CONVERSIONS = (_aten.to.dtype, _aten._to_copy.default)
#: What leaves the numbers of a constant as they are.
_VIEWS = (
    *(_aten.t.default, _aten.transpose.int, _aten.permute.default, _aten.view.default, _aten.reshape.default),
    *(_aten.detach.default, _aten.alias.default, _aten.clone.default),
)
_FLOATS = {torch.float8_e4m3fn: "e4m3", torch.float8_e5m2: "e5m2"}


@dataclass(frozen=True)
class _Affine:
    """(codes - zero_point) * scale: zero_point (None: 0) and scale (None: 1) have one number for each block
    of codes, `blocks` along every axis."""

    codes: torch.Tensor
    blocks: tuple[int, ...]
    scale: torch.Tensor | None
    zero_point: torch.Tensor | None


def without_subclasses(program: ExportedProgram) -> ExportedProgram:
    """The program with the parts of its parameters in their place, where torchao (quantize_) has put several
    tensors in one."""
    wrapped = any(is_traceable_wrapper_subclass(each) for each in program.state_dict.values())
    return program.run_decompositions({}) if wrapped else program


def hold_weights(program: ExportedProgram) -> tuple[ExportedProgram, dict[str, Held]]:
    """The program with a buffer in the place of every constant that it dequantizes, and how these are held by
    name. What is dequantized in another element than that of the scales stays an operation."""
    found: dict[str, tuple[str, Held]] = {}
    constants = _Constants(program)
    for node in program.graph.nodes:
        arguments = constants.arguments(node) if node.target in _READ else None
        affine = None if arguments is None else _READ[node.target](**arguments)
        held = None if affine is None else _held(affine, node.meta["val"].dtype)
        if held is not None:
            name = f"{constants.name(node)}_dequantized"
            while name in found:
                name += "_"
            found[name] = (node.name, held)
    if found:
        program = copied(program, program.state_dict, dict(program.constants))
    nodes = {node.name: node for node in program.graph.nodes}
    for name, (place, _) in found.items():
        _replace(program, nodes[place], name)
    program.graph_module.recompile()
    return program, {name: held for name, (_, held) in found.items()}


def copied(
    program: ExportedProgram, state: dict[str, torch.Tensor], constants: dict[str, Any]
) -> ExportedProgram:
    """The same program with a graph of its own and these tensors."""
    graph = copy.deepcopy(program.graph)
    for old, new in zip(program.graph.nodes, graph.nodes, strict=True):
        # Copies avoid the names of Python's builtins.
        new.name = old.name
    return ExportedProgram(
        root=program.graph_module,
        graph=graph,
        graph_signature=copy.deepcopy(program.graph_signature),
        state_dict=state,
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        example_inputs=program.example_inputs,
        constants=constants,
        verifiers=program.verifiers,
    )


class _Constants:
    """Values that a program knows before it runs: its constants, and what it quantizes of them."""

    def __init__(self, program: ExportedProgram) -> None:
        signature = program.graph_signature
        changed = {spec.target for spec in signature.output_specs}
        known = {**program.constants, **program.state_dict}
        self._pure = {*rules(), *_VIEWS} - set(_READ)
        self._names = {
            spec.arg.name: spec.target
            for spec in signature.input_specs
            if spec.kind in CONSTANTS and spec.target not in changed
        }
        self._known = {name: known[target].detach() for name, target in self._names.items()}

    def name(self, node: Any) -> str:
        """What the model calls the first constant behind a node."""
        while node.name not in self._names:
            node = node.all_input_nodes[0]
        return str(self._names[node.name])

    def arguments(self, node: Any) -> dict[str, Any] | None:
        """The arguments that a node has, by name, where all are known."""
        names = [parameter.name for parameter in node.target._schema.arguments]
        named: dict[str, Any] = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        for name, value in named.items():
            if isinstance(value, torch.fx.Node):
                named[name] = self._value(value)
                if named[name] is None:
                    return None
        return named

    def _value(self, node: Any) -> torch.Tensor | None:
        """The value of a node, where it is a constant, or one that is viewed or quantized by constants."""
        if node.name not in self._known and node.target in self._pure:
            arguments = self.arguments(node)
            made = None if arguments is None else node.target(**arguments)
            self._known[node.name] = made if isinstance(made, torch.Tensor) else None
        return self._known.get(node.name)


def _per_tensor(input: Any, scale: Any, zero_point: Any, **_: Any) -> _Affine:
    # A number that is multiplied with a tensor of f32 is one of f32 itself.
    scales = torch.as_tensor(scale).reshape(()).to(torch.float32)
    zeros = torch.as_tensor(zero_point).reshape(())
    return _Affine(input, tuple(input.shape), scales, zeros)


def _per_channel(
    input: Any, scales: Any, zero_points: Any, axis: int, out_dtype: Any = None, **_: Any
) -> Any:
    blocks = tuple(1 if d == axis else n for d, n in enumerate(input.shape))
    return _Affine(input, blocks, scales, zero_points)


def _per_group(input: Any, scales: Any, zero_points: Any, group_size: int, **_: Any) -> _Affine:
    return _Affine(input, (1, min(group_size, input.shape[1])), scales, zero_points)


def _affine(input: Any, block_size: Sequence[int], scale: Any, zero_point: Any, **_: Any) -> _Affine:
    zeros = None if zero_point is None or not zero_point.numel() else zero_point
    return _Affine(input, tuple(block_size), scale, zeros)


def _plain(input: Any = None, self: Any = None, **_: Any) -> _Affine | None:
    codes = self if input is None else input
    if codes.dtype not in (torch.int8, torch.uint8, *_FLOATS) or codes.dim() < 2:
        return None
    return _Affine(codes, tuple(codes.shape), None, None)


#: What each operation computes, by its arguments.
_READ: dict[Any, Callable[..., _Affine | None]] = {
    _own.dequantize_per_tensor.default: _per_tensor,
    _own.dequantize_per_tensor.tensor: _per_tensor,
    _own.dequantize_per_tensor.tensor2: _per_tensor,
    _own.dequantize_per_channel.default: _per_channel,
    _own.dequantize_per_channel_group.default: _per_group,
}
_READ.update(dict.fromkeys(_CONVERSIONS, _plain))
if hasattr(torch.ops.torchao, "dequantize_affine"):
    _READ[torch.ops.torchao.dequantize_affine.default] = _affine


def _held(found: _Affine, dtype: torch.dtype) -> Held | None:
    """The encoding and its parts; None where no encoding gives the same numbers in this element."""
    scale, zeros, coded = found.scale, found.zero_point, _codes(found.codes)
    if coded is None or not dtype.is_floating_point:
        return None
    code, codes = coded
    if scale is None:
        encoding = Codes(code)
        return Held(codes.shape, encoding, encoding.laid(codes))
    exact = scale.dtype == dtype or (scale.dtype, dtype) == (torch.float64, torch.float32)
    whole = zeros is None or not zeros.dtype.is_floating_point or bool((zeros == zeros.round()).all())
    if not exact or not whole:
        return None
    shape = tuple(found.codes.shape)
    per = _per(found.blocks, shape)
    if prod(per.shape(shape)) != scale.numel():
        return None
    values = _numpy(scale).reshape(per.shape(shape))
    no_zeros = zeros is None or not bool(zeros.any())
    points = None if zeros is None or no_zeros else zeros.to(torch.int64).numpy().reshape(per.shape(shape))
    return grouped(code, codes, Held.plain(values, ELEMENTS[scale.dtype]), points, per)


def _per(blocks: Sequence[int], shape: Sequence[int]) -> Per:
    """What shares a scale, as the named formats write it."""
    if all(block == n for block, n in zip(blocks, shape, strict=True)):
        return Per.tensor()
    wide = [d for d, block in enumerate(blocks) if block != 1]
    return Per(tuple(wide), tuple(0 if blocks[d] == shape[d] else blocks[d] for d in wide), "each")


def _codes(codes: torch.Tensor) -> tuple[str, Array] | None:
    """The shortest code that holds all codes, and these; None where no code of at most 8 bits does."""
    if codes.numel() == 0:
        return None
    if codes.dtype in _FLOATS:
        return _FLOATS[codes.dtype], codes.contiguous().view(torch.uint8).numpy()
    if codes.dtype.is_floating_point:
        return None
    low, high = int(codes.min()), int(codes.max())
    for bits in (2, 4, 8):
        if codes.dtype != torch.uint8 and -(2 ** (bits - 1)) <= low and high < 2 ** (bits - 1):
            return f"int{bits}", codes.to(torch.int8).contiguous().numpy()
        if codes.dtype == torch.uint8 and high < 2**bits:
            return f"uint{bits}", codes.contiguous().numpy()
    return None


def _numpy(scale: torch.Tensor) -> Array:
    plain = scale.contiguous()
    array: Array = plain.view(torch.uint16).numpy() if plain.dtype == torch.bfloat16 else plain.numpy()
    return array


def _replace(program: ExportedProgram, node: Any, name: str) -> None:
    """Let a buffer of this name stand for a node; its values are not those held elsewhere, and never read."""
    graph, specs = program.graph, program.graph_signature.input_specs
    first = next((n for n, spec in enumerate(specs) if spec.kind == InputKind.USER_INPUT), len(specs))
    placeholders = [n for n in graph.nodes if n.op == "placeholder"]
    beside = placeholders[first] if first < len(placeholders) else next(iter(graph.nodes))
    with graph.inserting_before(beside):
        made = graph.placeholder(f"b_{node.name}")
    made.meta["val"] = node.meta["val"]
    node.replace_all_uses_with(made)
    graph.erase_node(node)
    specs.insert(first, InputSpec(InputKind.BUFFER, TensorArgument(made.name), name, persistent=False))
    value = made.meta["val"]
    program.constants[name] = torch.empty(tuple(value.shape), dtype=value.dtype)
