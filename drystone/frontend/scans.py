"""Loops written as `torch._higher_order_ops.scan` in an exported program, as operations without regions.

A step that is a linear recurrence, next = factor * state + x with factor and x from the step's own slices,
becomes one `drystone.linear_scan`; of any other loop the steps are written out, where there are few.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node

from drystone.frontend.operators import operators

#: Steps up to which a loop is written out.
_MOST = 128
_COPIES = (torch.ops.aten.clone.default, torch.ops.aten.alias.default)


def without_scans(program: ExportedProgram) -> None:
    """Rewrite the program's scans in place; one that has too many steps, or an unknown number, stays."""
    module = program.graph_module
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target == torch.ops.higher_order.scan:
            _Scan(module, node).rewrite()
    module.graph.lint()
    module.recompile()


class _Scan:
    """One scan: (step's graph, states, what is sliced along dimension 0, what every step reads) -> the last
    states, then the steps' other results stacked."""

    def __init__(self, module: GraphModule, node: Node) -> None:
        self.graph, self.node = module.graph, node
        body, states, sliced, more = (_any(argument) for argument in node.args)
        self.step: Graph = module.get_submodule(body.target).graph
        self.states, self.sliced, self.more = list(states), list(sliced), list(more)

    def rewrite(self) -> None:
        """Replace it, where that can be."""
        with self.graph.inserting_before(self.node):
            results = self._linear()
            if results is None:
                results = self._written_out()
        if results is None:
            return
        for user in list(self.node.users):
            user.replace_all_uses_with(results[user.args[1]])
            self.graph.erase_node(user)
        self.graph.erase_node(self.node)

    def _call(self, target: Any, *arguments: Any) -> Node:
        made = self.graph.call_function(target, arguments)
        made.meta.update({key: value for key, value in self.node.meta.items() if key != "val"})
        return made

    def _linear(self) -> Sequence[Node] | None:
        """The results of a linear recurrence."""
        inputs = [n for n in self.step.nodes if n.op == "placeholder"]
        results = [_source(n) for n in self.step.output_node().args[0]]
        if len(self.states) != 1 or any(n is not results[0] for n in results):
            return None
        found = _factor_and_addend(results[0], inputs[0])
        if found is None or not all(n in inputs[1 : 1 + len(self.sliced)] for n in found):
            return None
        factor, x = (self.sliced[inputs.index(n) - 1] for n in found)
        aten = torch.ops.aten
        first = [self._call(aten.select.int, each, 0, 0) for each in (x, factor)]
        first = [self._call(aten.addcmul.default, *first, self.states[0])]
        given = self._call(aten.select_scatter.default, x, first[0], 0, 0)
        every = self._call(operators().linear_scan.default, factor, given, 0)
        return [self._call(aten.select.int, every, 0, -1), *[every] * (len(results) - 1)]

    def _written_out(self) -> Sequence[Node] | None:
        """The results of all steps, one after the other."""
        count = self.sliced[0].meta["val"].shape[0] if self.sliced else None
        if not isinstance(count, int) or not 0 < count <= _MOST:
            return None
        if any(inner.op == "get_attr" for inner in self.step.nodes):
            return None
        aten = torch.ops.aten
        inputs = [n for n in self.step.nodes if n.op == "placeholder"]
        states, stacked = self.states, []
        for t in range(count):
            slices = [self._call(aten.select.int, each, 0, t) for each in self.sliced]
            known = dict(zip(inputs, [*states, *slices, *self.more], strict=True))
            for inner in self.step.nodes:
                if inner.op not in ("placeholder", "output"):
                    known[inner] = self.graph.node_copy(inner, known.__getitem__)
            results = [known[n] for n in _any(self.step.output_node().args[0])]
            states = results[: len(states)]
            stacked.append(results[len(states) :])
        return [*states, *(self._call(aten.stack.default, list(each)) for each in zip(*stacked, strict=True))]


def _any(argument: Any) -> Any:
    """An argument of a node, whatever its type."""
    return argument


def _source(node: Any) -> Any:
    """What a node is a copy of."""
    while node.op == "call_function" and node.target in _COPIES:
        node = node.args[0]
    return node


def _factor_and_addend(result: Node, state: Node) -> tuple[Node, Node] | None:
    """(f, x) where the result is f * state + x."""
    if result.target != torch.ops.aten.add.Tensor or result.kwargs:
        return None
    a, b = (_source(n) if isinstance(n, Node) else None for n in result.args[:2])
    for product, addend in ((a, b), (b, a)):
        if product is not None and addend is not None and product.target == torch.ops.aten.mul.Tensor:
            factors = [_source(n) if isinstance(n, Node) else None for n in product.args[:2]]
            others = [f for f in factors if f is not None and f is not state]
            if state in factors and len(others) == 1:
                return others[0], addend
    return None
