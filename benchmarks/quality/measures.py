"""How far a compressed model is from the one it was made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Distance:
    """Of the distributions that two models give: by how much the loss rises (nats), the mean Kullback-Leibler
    divergence from the reference to the other (nats), and the share of positions at which another class is
    the likeliest."""

    loss: float
    divergence: float
    flips: float

    @staticmethod
    def of(reference: Tensor, other: Tensor, targets: Tensor) -> "Distance":
        """From logits f32 [..., classes] of both, and the right classes i64 [...]."""
        a, b = (F.log_softmax(each.double().flatten(0, -2), -1) for each in (reference, other))
        losses = [F.nll_loss(each, targets.flatten()) for each in (a, b)]
        divergence = F.kl_div(b, a, reduction="batchmean", log_target=True)
        flips = (a.argmax(-1) != b.argmax(-1)).double().mean()
        return Distance((losses[1] - losses[0]).item(), divergence.item(), flips.item())

    @staticmethod
    def mean(found: Sequence["Distance"]) -> "Distance":
        """The mean over several, such as seeds."""
        rows = torch.tensor([[each.loss, each.divergence, each.flips] for each in found], dtype=torch.float64)
        return Distance(*rows.mean(0).tolist())
