"""Models that were left in training mode: what they would do is hardly what a compiled model is for."""

from collections.abc import Iterator
from typing import Any

import torch

from drystone.errors import UserError
from drystone.frontend.origin import place

#: What a layer would do in training mode, by the beginning of its operation's name.
_RANDOM = "drops elements at random"
_LEARNING = "changes its statistics with every call"
_KINDS = {
    "aten.dropout": _RANDOM,
    "aten.alpha_dropout": _RANDOM,
    "aten.feature_dropout": _RANDOM,
    "aten.feature_alpha_dropout": _RANDOM,
    "aten.native_dropout": _RANDOM,
    "aten.scaled_dot_product_attention": _RANDOM,
    "aten.lstm": _RANDOM,
    "aten.gru": _RANDOM,
    "aten.rnn_tanh": _RANDOM,
    "aten.rnn_relu": _RANDOM,
    "aten.batch_norm": _LEARNING,
    "aten.instance_norm": _LEARNING,
}


def refuse_training(program: Any) -> None:
    """Raise UserError naming the layers of an exported program that drop elements or learn statistics."""
    lines = [f"  {place(node) or node.name} {what}" for node, what in _trained(program)]
    if lines:
        raise UserError(
            "the model is in training mode:\n" + "\n".join(dict.fromkeys(lines)),
            hint="call model.eval() before it is compiled or exported",
        )


def _trained(program: Any) -> Iterator[tuple[Any, str]]:
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            what = _KINDS.get(str(node.target).rsplit(".", 1)[0])
            if what is None or node.op != "call_function":
                continue
            names = [argument.name for argument in node.target._schema.arguments]
            given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
            rate = given.get("p", given.get("dropout_p", given.get("dropout")))
            if what == _RANDOM and rate and given.get("train", True):
                yield node, what
            # Without statistics of its own a norm is the same in both modes.
            learns = given.get("training", given.get("use_input_stats"))
            if what == _LEARNING and learns and given.get("running_mean") is not None:
                yield node, what
