"""How far a compressed model is from the one it was made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Distance:
    """Of the distributions that two models give: by how much the loss rises (nats) in each stretch of text,
    the mean Kullback-Leibler divergence from the reference to the other (nats), and the share of positions at
    which another class is the likeliest."""

    rises: Tensor = field(repr=False)
    divergence: float
    flips: float

    @property
    def loss(self) -> float:
        """By how much the loss rises."""
        return self.rises.mean().item()

    @property
    def error(self) -> float:
        """The standard error of that, of stretches that are chosen at random: NaN for one."""
        return (self.rises.std() / len(self.rises) ** 0.5).item()

    @staticmethod
    def of(reference: Tensor, other: Tensor, targets: Tensor) -> "Distance":
        """From logits f32 [stretches, .., classes] of both, and the right classes i64 [stretches, ..]."""
        a, b = (F.log_softmax(each.double().flatten(0, -2), -1) for each in (reference, other))
        rises = (a - b)[torch.arange(len(a)), targets.flatten()].view(len(targets), -1).mean(1)
        divergence = F.kl_div(b, a, reduction="batchmean", log_target=True)
        flips = (a.argmax(-1) != b.argmax(-1)).double().mean()
        return Distance(rises, divergence.item(), flips.item())

    @staticmethod
    def mean(found: Sequence["Distance"]) -> "Distance":
        """The mean over several models, such as seeds, on the same text."""
        rises = torch.stack([each.rises for each in found]).mean(0)
        rest = torch.tensor([[each.divergence, each.flips] for each in found], dtype=torch.float64)
        return Distance(rises, *rest.mean(0).tolist())
