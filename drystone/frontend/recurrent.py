"""LSTM, GRU and plain recurrent layers: per layer and direction one product for all steps' inputs, then
one `recurrent` operation for what depends on the step before."""

from collections.abc import Sequence
from typing import Any

import torch

from drystone.frontend.operators import operators

Tensors = Sequence[torch.Tensor]


def lstm(
    x: torch.Tensor,
    hx: Tensors,
    params: Tensors,
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    """aten.lstm.input. None with projections of the hidden state, or with dropout between layers."""
    per_direction = 4 if has_biases else 2
    if len(params) != per_direction * num_layers * (2 if bidirectional else 1):
        return None
    return _network("lstm", x, hx, params, has_biases, dropout if train else 0, bidirectional, batch_first)


def _plain(cell: str) -> Any:
    def rule(
        x: torch.Tensor,
        hx: torch.Tensor,
        params: Tensors,
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> Any:
        return _network(
            cell, x, [hx], params, has_biases, dropout if train else 0, bidirectional, batch_first
        )

    return rule


gru = _plain("gru")
rnn_tanh = _plain("tanh")
rnn_relu = _plain("relu")


def _network(
    cell: str,
    x: torch.Tensor,
    states: Tensors,
    params: Tensors,
    has_biases: bool,
    dropout: float,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    """All layers and directions; states [layers * directions, B, H] each."""
    if dropout or x.dtype != torch.float32 or x.dim() != 3:
        return None
    directions = 2 if bidirectional else 1
    per_direction = 4 if has_biases else 2
    groups = [params[i : i + per_direction] for i in range(0, len(params), per_direction)]
    steps = x.transpose(0, 1) if batch_first else x
    last: list[Sequence[torch.Tensor]] = []
    for first in range(0, len(groups), directions):
        results = [
            _direction(cell, steps, [s[first + d] for s in states], groups[first + d], bool(d))
            for d in range(directions)
        ]
        steps = results[0][0] if directions == 1 else torch.cat([r[0] for r in results], -1)
        last.extend(r[1:] for r in results)
    final = [torch.stack([state[i] for state in last]) for i in range(len(states))]
    return (steps.transpose(0, 1) if batch_first else steps, *final)


def _direction(
    cell: str, steps: torch.Tensor, state: Tensors, params: Tensors, reverse: bool
) -> Sequence[torch.Tensor]:
    input_weight, hidden_weight, *biases = params
    # The GRU's reset gate scales its hidden part, bias and all: that bias cannot join the input's.
    apart = cell == "gru" and bool(biases)
    joined = biases[0] if apart else (biases[0] + biases[1] if biases else None)
    projected = torch.ops.aten.linear.default(steps, input_weight, joined)
    hidden_bias = biases[1] if apart else None
    results: Sequence[torch.Tensor] = operators().recurrent.default(
        projected, hidden_weight, hidden_bias, list(state), cell, reverse
    )
    return results
