"""Models for drystone.toml: functions without arguments that give a model and example inputs."""

import torch
from torch import nn


def classifier() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A classifier of 8 x 8 digits."""
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    head = nn.Sequential(nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10))
    return nn.Sequential(features, head).eval(), (torch.randn(1, 1, 8, 8),)


def calls() -> list[tuple[torch.Tensor, ...]]:
    """Inputs of some calls, to calibrate with; in earnest, images of digits."""
    torch.manual_seed(1)
    return [(torch.randn(1, 1, 8, 8),) for _ in range(8)]
