"""The signature of a program: names, element types, shapes and nesting of what a call takes and gives."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from torch.export import ExportedProgram

from drystone.errors import UserError
from drystone.frontend.graph import Constant, Graph
from drystone.frontend.symbols import Symbols
from drystone.frontend.types import ELEMENTS
from drystone.ir.program import Signature, TensorSpec


def signature_of(
    program: ExportedProgram, graph: Graph, symbols: Symbols, key: Callable[[str], str]
) -> Signature:
    """The signature of `@main`; `key` names a state's first value in the weight store."""

    def spec(node: Any, name: str) -> TensorSpec:
        value = node.meta["val"]
        shape = tuple(symbols.extent(size, f"`{name}`") for size in value.shape)
        return TensorSpec(name, ELEMENTS[value.dtype], shape)

    inputs = [spec(leaf, leaf.name) for leaf in graph.inputs if not isinstance(leaf, Constant)]
    results = [leaf for leaf in graph.outputs if not isinstance(leaf, Constant)]
    names = ["output"] if len(results) == 1 else [f"output{i}" for i in range(len(results))]
    outputs = [spec(leaf, name) for leaf, name in zip(results, names, strict=True)]
    call = program.call_spec
    return Signature(
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        in_tree=_tree(call.in_spec, iter(graph.inputs), "the inputs"),
        out_tree=_tree(call.out_spec, iter(graph.outputs), "the outputs"),
        symbols=dict(symbols.bounds),
        states=tuple(spec(node, name) for node, name in graph.states.items()),
        initial=tuple(key(name) for name in graph.states.values()),
    )


def _tree(spec: Any, leaves: Iterator[Any], where: str) -> Any:
    """Torch's description of nesting as the JSON-able one of `Signature`."""
    if spec.is_leaf():
        leaf = next(leaves)
        return {"value": leaf.value} if isinstance(leaf, Constant) else "*"
    children = [_tree(spec.child(i), leaves, where) for i in range(spec.num_children)]
    if spec.type is list:
        return {"list": children}
    keys = _keys(spec)
    if keys is None:
        return {"tuple": children}
    if not all(isinstance(name, str) for name in keys):
        raise UserError(
            f"{where} hold a dict with keys that are no strings: {list(keys)}", hint="use strings as keys"
        )
    return {"dict": dict(zip(keys, children, strict=True))}


def _keys(spec: Any) -> list[Any] | None:
    """The names of a nested value's children, None where they have none."""
    context = spec.context
    if spec.type in (dict, OrderedDict):
        return list(context)
    if spec.type is defaultdict:
        return list(context[1])
    # A registered class: its context begins with, or is, the names of its fields (dataclasses, the outputs
    # of transformers); a named tuple's is its type.
    for names in (context, context[0] if isinstance(context, list | tuple) and context else None):
        listed = list(names) if isinstance(names, list | tuple) else []
        if listed and len(listed) == spec.num_children and all(isinstance(name, str) for name in listed):
            return listed
    return None
