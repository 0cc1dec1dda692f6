"""Which operations of a model cannot be lowered: each is tried alone, so that one message names them all."""

import operator
from typing import Any

import torch
from torch._ops import HigherOrderOperator

from drystone.errors import InternalError, UserError
from drystone.frontend.lowering import lower
from drystone.frontend.origin import place
from drystone.mlir import ir

Node = Any
#: Libraries of operators whose names are not the user's.
_TORCHS = ("aten", "prims", "prim", "quantized", "quantized_decomposed", "torchvision", "higher_order")


def explain(graph: Any, cause: Exception, ctx: ir.Context) -> Exception:
    """The error to raise for a graph that did not lower: a UserError with every operation that does not
    lower alone and its lines in the model, or the cause as an InternalError where each of them does."""
    found: dict[str, list[str]] = {}
    tried: dict[str, bool] = {}
    for node in graph.nodes:
        if node.op != "call_function" or node.target == operator.getitem or _is_size(node):
            continue
        form = _form(node)
        if form not in tried:
            tried[form] = _lowers(node, ctx)
        if not tried[form]:
            found.setdefault(str(node.target), []).append(str(place(node) or "an unknown place"))
    if not found:
        return cause if isinstance(cause, InternalError) else InternalError(f"the import failed: {cause}")
    lines = [f"  {name} at {', '.join(dict.fromkeys(places))}" for name, places in found.items()]
    count = "an operation" if len(found) == 1 else f"{len(found)} operations"
    hint = "say it with other operations (docs/coverage.md lists those that compile)"
    if any(name.count(".") == 2 and name.split(".")[0] not in _TORCHS for name in found):
        hint += ", or add it (docs/adding_an_operation.md)"
    if any("dropout" in name or "rand" in name or "bernoulli" in name for name in found):
        hint += "; for a model that drops elements at random, call model.eval() first"
    return UserError(f"the model uses {count} that drystone cannot compile:\n" + "\n".join(lines), hint=hint)


def _is_size(node: Node) -> bool:
    """Whether the node computes with sizes: it is copied with what reads it."""
    return isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool)


def _form(node: Node) -> str:
    """Two nodes of the same form lower alike."""

    def described(argument: Any) -> Any:
        value = argument.meta.get("val")
        if isinstance(value, torch.Tensor):
            return f"{value.dtype}{[str(n) for n in value.shape]}"
        return type(value).__name__

    return str((node.target, torch.fx.node.map_arg((node.args, dict(node.kwargs)), described)))


def _lowers(node: Node, ctx: ir.Context) -> bool:
    if isinstance(node.target, HigherOrderOperator):
        return False
    try:
        lower(_alone(node), ctx)
    except Exception:
        # The importer raises assertions, type errors and more for what it does not know.
        return False
    return True


def _alone(node: Node) -> Any:
    """A graph of this node only, its tensors as placeholders, its sizes computed from their tensors."""
    graph = torch.fx.Graph(node.graph.owning_module)
    copies: dict[Node, Node] = {}

    def needed(wanted: Node) -> Node:
        if wanted not in copies:
            made = _copy(wanted) if _is_size(wanted) else _argument(wanted)
            made.meta = dict(wanted.meta)
            copies[wanted] = made
        return copies[wanted]

    def _copy(wanted: Node) -> Node:
        # Placeholders must come first, and so are made before anything is computed.
        for one in wanted.all_input_nodes:
            needed(one)
        return graph.node_copy(wanted, needed)

    def _argument(wanted: Node) -> Node:
        if wanted.op == "get_attr":
            return graph.get_attr(wanted.target)
        first = next(iter(graph.nodes), None)
        with graph.inserting_before(first) if first is not None else graph.inserting_after():
            return graph.placeholder(wanted.name)

    made = _copy(node)
    made.meta = dict(node.meta)
    value = node.meta["val"]
    if isinstance(value, list | tuple):
        results = []
        for index, part in enumerate(value):
            if isinstance(part, torch.Tensor):
                item = graph.call_function(operator.getitem, (made, index))
                item.meta = {"val": part}
                results.append(item)
        graph.output(tuple(results))
    else:
        graph.output((made,))
    return graph
