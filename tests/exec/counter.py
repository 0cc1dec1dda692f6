"""A model with state, for tests of several ways to run it."""

import torch
from torch import nn


class Counter(nn.Module):
    """A model with state: it adds what it is given to a running sum."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.add_(x)
        return self.total * 2
