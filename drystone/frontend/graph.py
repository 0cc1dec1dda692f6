"""The exported graph in the form the rest of the frontend reads: pure, tensors only, arguments in order."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from drystone.errors import UserError
from drystone.frontend.origin import place
from drystone.frontend.types import ELEMENTS

#: Operations that check something while tracing or running, and give nothing.
_CHECKS = ("_assert", "sym_constrain", "_check", "_functional_sym_constrain", "_functional_assert")

Node = Any


@dataclass(frozen=True)
class Graph:
    """A graph whose placeholders are `inputs`, `states`, then `weights`, and whose results are the user's
    tensors, then the states' new values.

    inputs and outputs: one entry per leaf of the call: a node, or the constant that stands there.
    states and weights: placeholders with the name the model gives what they stand for.
    """

    fx: torch.fx.Graph
    inputs: list[Any]
    outputs: list[Any]
    states: dict[Node, str]
    weights: dict[Node, str]


@dataclass(frozen=True)
class Constant:
    """A leaf of the call that is no tensor."""

    value: Any


def prepare(program: ExportedProgram) -> Graph:
    """Bring the program's graph into order, in place.

    Raises UserError for inputs that the model changes, for sizes that depend on data, and for leaves that
    are neither tensors nor plain constants.
    """
    nodes = {node.name: node for node in program.graph.nodes}
    changed = _mutations(program, nodes)
    inputs: list[Any] = []
    states: dict[Node, str] = {}
    weights: dict[Node, str] = {}
    for spec in program.graph_signature.input_specs:
        node = nodes.get(spec.arg.name)
        if spec.kind == InputKind.USER_INPUT:
            inputs.append(_input(spec.arg, node))
        elif spec.kind == InputKind.TOKEN:
            user = next(iter(nodes[spec.arg.name].users))
            raise UserError(
                f"the model has an effect beside its results: {user.args[1]}",
                where=place(user),
                hint="leave out printing, assertions and checks of results",
            )
        elif not isinstance(spec.arg, TensorArgument):
            raise UserError(
                f"the model holds {spec.target}, which is no tensor",
                hint="keep only tensors as parameters and buffers",
            )
        elif spec.target in changed:
            states[node] = spec.target
        else:
            weights[node] = spec.target
    outputs = [_output(program, spec.arg, nodes) for spec in _user_outputs(program)]
    _order(program.graph, [node for node in inputs if not isinstance(node, Constant)], states, weights)
    results = [node for node in outputs if not isinstance(node, Constant)]
    _return(program.graph, [*results, *(changed[name] for name in states.values())])
    _simplify(program.graph)
    _refuse_unknown(program.graph)
    return Graph(program.graph, inputs, outputs, states, weights)


def _mutations(program: ExportedProgram, nodes: dict[str, Node]) -> dict[str, Node]:
    """Buffer name -> the node of its new value."""
    changed: dict[str, Node] = {}
    for spec in program.graph_signature.output_specs:
        if spec.kind == OutputKind.USER_INPUT_MUTATION:
            raise UserError(
                f"the model changes its input `{spec.target}` in place",
                where=place(nodes[spec.arg.name]),
                hint="clone the input first, or make it a buffer of the model",
            )
        if spec.kind in (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION):
            changed[spec.target] = nodes[spec.arg.name]
    return changed


def _user_outputs(program: ExportedProgram) -> list[Any]:
    return [spec for spec in program.graph_signature.output_specs if spec.kind == OutputKind.USER_OUTPUT]


def _input(argument: Any, node: Node) -> Any:
    if isinstance(argument, ConstantArgument):
        if not isinstance(argument.value, int | float | bool | str | None):
            raise UserError(
                f"the input `{argument.name}` is a {type(argument.value).__name__}, not a tensor",
                hint="give a tensor, a number, a text or None",
            )
        return Constant(argument.value)
    if not isinstance(argument, TensorArgument):
        raise UserError(
            f"the input `{argument.name}` is a number that may change between calls",
            hint="pass it as a tensor, or leave it out of dynamic_shapes: then it is fixed",
        )
    return _known(node)


def _output(program: ExportedProgram, argument: Any, nodes: dict[str, Node]) -> Any:
    if isinstance(argument, ConstantArgument):
        return Constant(argument.value)
    node = nodes[argument.name]
    if isinstance(argument, TensorArgument):
        return _known(node)
    # A number computed from the inputs' sizes is returned as a tensor without dimensions.
    value = node.meta["val"]
    dtype = torch.float64 if isinstance(value, torch.SymFloat) else torch.int64
    with program.graph.inserting_after(node):
        made = program.graph.call_function(torch.ops.aten.scalar_tensor.default, (node,), {"dtype": dtype})
    fake = next(n.meta["val"] for n in program.graph.nodes if isinstance(n.meta.get("val"), torch.Tensor))
    made.meta = {**node.meta, "val": fake.new_empty((), dtype=dtype)}
    return made


def _known(node: Node) -> Node:
    """The node, after a look at its element type and layout."""
    value = node.meta["val"]
    if value.dtype not in ELEMENTS or value.layout != torch.strided:
        kind = value.dtype if value.layout == torch.strided else value.layout
        raise UserError(
            f"`{node.name}` is a tensor of {kind}, which drystone does not know",
            where=place(node),
            hint=f"convert it to one of {', '.join(str(each).removeprefix('torch.') for each in ELEMENTS)}"
            if value.layout == torch.strided
            else "compute with a dense tensor: x.to_dense()",
        )
    return node


def _order(graph: Any, inputs: list[Node], states: dict[Node, str], weights: dict[Node, str]) -> None:
    """Put the placeholders in order; constants among them vanish into their uses."""
    wanted = [*inputs, *states, *weights]
    for node in [n for n in graph.nodes if n.op == "placeholder" and n not in set(wanted)]:
        node.replace_all_uses_with(node.meta.get("val"))
        graph.erase_node(node)
    for node in reversed(wanted):
        next(iter(graph.nodes)).prepend(node)


def _return(graph: Any, results: list[Node]) -> None:
    graph.output_node().args = (tuple(results),)


def _simplify(graph: Any) -> None:
    """Drop checks and whatever nothing reads."""
    for node in reversed(list(graph.nodes)):
        name = getattr(node.target, "__name__", "")
        if node.op == "call_function" and name.startswith(_CHECKS) and not node.users:
            graph.erase_node(node)
    graph.eliminate_dead_code()


def _refuse_unknown(graph: Any) -> None:
    """Raise UserError naming every operation whose result's size depends on data."""
    lines = []
    for node in graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor) and free_unbacked_symbols(value.shape):
            sources = [a for a in node.all_input_nodes if isinstance(a.meta.get("val"), torch.Tensor)]
            if not any(free_unbacked_symbols(a.meta["val"].shape) for a in sources):
                lines.append(f"  {node.target} at {place(node) or 'an unknown place'}")
    if lines:
        raise UserError(
            "the size of a tensor in the model depends on data:\n" + "\n".join(dict.fromkeys(lines)),
            hint="compute with all elements and a mask (torch.where) instead of picking some",
        )
