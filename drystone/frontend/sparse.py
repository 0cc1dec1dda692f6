"""Sparse tensors of torch that a model holds: constants of an encoding, which products read."""

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils._pytree import tree_leaves

from drystone.errors import UserError
from drystone.frontend.checkpoints import Held
from drystone.frontend.dequantized import CONSTANTS, copied
from drystone.frontend.origin import place
from drystone.frontend.types import ELEMENTS
from drystone.ir.sparse_tensors import from_torch

_aten = torch.ops.aten
#: What computes the same with all elements as with those that are listed.
_ALIKE = (
    *(_aten.mm.default, _aten.matmul.default, _aten.addmm.default, _aten.mv.default, _aten.linear.default),
    *(_aten.t.default, _aten.transpose.int, _aten.detach.default, _aten.alias.default, _aten.clone.default),
)
#: What has another name for sparse tensors, and what it then is.
_NAMED = {_aten._sparse_mm.default: _aten.mm.default, _aten._sparse_addmm.default: _aten.addmm.default}
#: What gives all elements of a sparse tensor.
_DENSE = (_aten.to_dense.default, _aten._to_dense.default)
_HINT = "products with dense tensors read sparse ones: torch.sparse.mm(w, x), w @ x; others take w.to_dense()"


def hold_sparse(program: ExportedProgram) -> tuple[ExportedProgram, dict[str, Held]]:
    """The program with dense tensors, without memory, in the place of the sparse ones it holds, and how these
    are held by name. Raises UserError for a sparse input, and for what is done to a sparse tensor that would
    be another thing with a dense one."""
    signature = program.graph_signature
    given = {**program.constants, **program.state_dict}
    found = {
        spec.arg.name: str(spec.target)
        for spec in signature.input_specs
        if spec.kind in CONSTANTS and _is_sparse(given[str(spec.target)])
    }
    _refuse_inputs(program)
    if not found:
        return program, {}
    held = {name: _held(name, given[name]) for name in found.values()}
    blank = {name: torch.zeros((), dtype=given[name].dtype).expand(given[name].shape) for name in held}
    state = {name: blank.get(name, tensor) for name, tensor in program.state_dict.items()}
    constants = {name: blank.get(name, tensor) for name, tensor in program.constants.items()}
    program = copied(program, state, constants)
    # A node that gives all elements is dropped, so that who reads it reads the sparse tensor.
    read = [(node, sum(map(_is_given_sparse, _arguments(node)))) for node in program.graph.nodes]
    for node, several in read:
        if several:
            _rewrite(program.graph, node, several)
    for node in program.graph.nodes:
        if _is_given_sparse(node):
            node.meta["val"] = _dense(node.meta["val"])
    program.graph_module.recompile()
    return program, held


def _is_sparse(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.layout != torch.strided


def _arguments(node: torch.fx.Node) -> list[torch.fx.Node]:
    """The nodes that one reads, as often as it does."""
    leaves = tree_leaves((node.args, node.kwargs))
    return [each for each in leaves if isinstance(each, torch.fx.Node)]


def _is_given_sparse(node: torch.fx.Node) -> bool:
    return _is_sparse(node.meta.get("val"))


def _dense(value: Any) -> Any:
    """A fake tensor of the same shape with all elements."""
    with value.fake_mode:
        return torch.empty(value.shape, dtype=value.dtype)


def _held(name: str, tensor: torch.Tensor) -> Held:
    element = ELEMENTS.get(tensor.dtype)
    if element is None:
        raise UserError(
            f"the sparse tensor {name} is of {tensor.dtype}, which drystone does not know",
            hint="convert it to a plain element type",
        )
    parts, encoding = from_torch(tensor, element)
    return Held(tuple(tensor.shape), encoding, parts)


def _refuse_inputs(program: ExportedProgram) -> None:
    """Raise UserError for an input that is sparse."""
    nodes = {node.name: node for node in program.graph.nodes}
    for spec in program.graph_signature.input_specs:
        if spec.kind == InputKind.USER_INPUT and spec.arg.name in nodes:
            value = nodes[spec.arg.name].meta.get("val")
            if _is_sparse(value):
                raise UserError(
                    f"the input `{spec.arg.name}` is a sparse tensor ({value.layout})",
                    hint="make it a buffer of the model where it is the same in every call, or give it dense",
                )


def _rewrite(graph: torch.fx.Graph, node: torch.fx.Node, several: int) -> None:
    """Let an operation read dense tensors in the place of so many sparse ones. Raises UserError where that
    would be another thing."""
    if node.op == "output":
        raise UserError("the model returns a sparse tensor", hint="return it.to_dense()")
    if node.target in _DENSE:
        node.replace_all_uses_with(node.all_input_nodes[0])
        graph.erase_node(node)
        return
    node.target = _NAMED.get(node.target, node.target)
    if node.target not in _ALIKE or several > 1:
        what = "two sparse tensors are factors of" if several > 1 else "a sparse tensor is read by"
        raise UserError(f"{what} {node.target}", where=place(node), hint=_HINT)
