"""plan.svg: the memory plan of a U-Net, as README.md shows it."""

import torch
from torch import Tensor, nn

from docs.pages.compiled import compiled
from drystone import scheduling


class UNet(nn.Module):
    """Ronneberger et al. 2015, with four levels: what goes down is kept until it comes up again."""

    def __init__(self, width: int = 16, levels: int = 4) -> None:
        super().__init__()
        widths = [width << level for level in range(levels)]
        self.down = nn.ModuleList(_block(i, o) for i, o in zip([3, *widths], widths, strict=False))
        self.up = nn.ModuleList(_block(3 * w, w) for w in reversed(widths[:-1]))
        self.out = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for block in self.down:
            x = block(x if not kept else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        for block, skip in zip(self.up, reversed(kept[:-1]), strict=True):
            x = block(torch.cat([nn.functional.interpolate(x, scale_factor=2.0), skip], 1))
        return self.out(x)


def _block(inputs: int, outputs: int) -> nn.Module:
    first, second = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())


def plan_picture() -> str:
    """The plan of the activations of one image of 64 x 64."""
    memory = compiled(UNet(), torch.zeros(1, 3, 64, 64)).memory
    return scheduling.svg(memory.problem, memory.plan)
