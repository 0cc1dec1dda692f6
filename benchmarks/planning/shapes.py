"""The shape graph of a torch model: operations over activations and their sizes, as a small device has them.

One byte an element (four an index). A batch norm after a convolution is part of it, elsewhere it is a product
and a sum; relu is part of the operation before it where nothing else reads that; views and permutations are
no operations. Attention is a product, a softmax and a product. Weights are there where they are asked for: in
the second level, with how long each operation takes a device of so many products a nanosecond.
"""

import math
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from drystone.scheduling.problem import Operation, Problem, Tensor
from drystone.targets import Level

_VIEWS = {
    *("view", "reshape", "flatten", "transpose", "permute", "unsqueeze", "squeeze", "expand", "contiguous"),
    *("clone", "dropout", "dropout_", "unbind", "select", "slice", "alias", "getitem"),
}
_FUSED = {"relu", "relu_", "hardtanh", "hardtanh_", "relu6"}


def shape_graph(model: nn.Module, *inputs: torch.Tensor, weights: bool = False, products: int = 1) -> Problem:
    """The planning problem of a model: the first level has no capacity yet; the network's inputs lie in the
    second one, and where they are asked for its weights too. A device makes `products` in a nanosecond."""
    return _Shapes(torch.export.export(model, inputs), products if weights else 0).problem()


class _Shapes:
    """Walks an exported graph in the order it was written."""

    def __init__(self, exported: torch.export.ExportedProgram, products: int) -> None:
        self.products = products
        self.nodes = list(exported.graph.nodes)
        self.given = set(exported.graph_signature.user_inputs)
        self.of: dict[Any, str] = {}
        self.sizes: dict[str, int] = {}
        self.operations: list[Operation] = []

    def problem(self) -> Problem:
        for node in self.nodes:
            if node.op == "placeholder" and node.name in self.given:
                self.of[node] = self._tensor(node.name, node.meta["val"])
            elif node.op == "call_function":
                self._enter(node)
        made = {op.name for op in self.operations}
        tensors = tuple(Tensor(n, size, home="" if n in made else "dram") for n, size in self.sizes.items())
        return Problem(tuple(self.operations), tensors, (Level("sram", None, 1), Level("dram", None, 1)))

    def _tensor(self, name: str, value: Any) -> str:
        self.sizes[name] = value.numel() * (1 if value.is_floating_point() else 4)
        return name

    def _enter(self, node: Any) -> None:
        kind = "getitem" if node.target is operator.getitem else node.target._schema.name.split("::")[1]
        sources = [source for source in node.all_input_nodes if source in self.of]
        inputs = tuple(dict.fromkeys(self.of[source] for source in sources))
        if not inputs:
            return  # made of weights alone
        alone = len(sources) == 1 and len(sources[0].users) == 1
        if kind in _VIEWS or (kind in _FUSED and alone):
            self.of[node] = inputs[0]
        elif kind == "batch_norm":
            after = str(sources[0].target)
            if not (alone and "conv" in after):
                self._add(node, "mul", inputs)
                inputs = (f"{node.name}.mul",)
                self._add(node, "add", inputs)
                inputs = (f"{node.name}.add",)
            self.of[node] = inputs[0]
        elif kind == "scaled_dot_product_attention":
            self._attention(node)
        else:
            self._add(node, "", inputs)
            self.of[node] = self.operations[-1].name

    def _add(self, node: Any, part: str, inputs: Sequence[str], size: int | None = None) -> str:
        name = f"{node.name}.{part}" if part else node.name
        self._tensor(name, node.meta["val"])
        if size is not None:
            self.sizes[name] = size
        weights, time = self._weights(node, self.sizes[name]) if self.products else ((), 0)
        self.operations.append(Operation(name, (*dict.fromkeys(inputs), *weights), (name,), time=time))
        return name

    def _weights(self, node: Any, results: int) -> tuple[tuple[str, ...], int]:
        """The weights an operation reads, and how long it takes: a product for each byte it makes and each
        input of that."""
        read = [each for each in node.all_input_nodes if each.op == "placeholder" and each not in self.of]
        for each in read:
            self._tensor(each.name, each.meta["val"])
        largest = max((each.meta["val"] for each in read), key=torch.numel, default=None)
        table = "embedding" in str(node.target)
        inputs = 1 if largest is None or table else largest.numel() // largest.shape[0]
        return tuple(each.name for each in read), -(-results * inputs // self.products)

    def _attention(self, node: Any) -> None:
        query, key, value = (self.of[source] for source in node.args[:3])
        rows, keys = node.args[0].meta["val"].shape[:-1], node.args[1].meta["val"].shape[-2]
        scores = self._add(node, "scores", (query, key), math.prod(rows) * keys)
        weights = self._add(node, "weights", (scores,), math.prod(rows) * keys)
        self.of[node] = self._add(node, "mixed", (weights, value))
