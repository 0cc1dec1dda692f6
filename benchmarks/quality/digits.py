"""A small convolutional network for the digits of scikit-learn (8 x 8 images), trained in seconds."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

_EPOCHS, _BATCH, _RATE = 30, 64, 3e-3
#: Images that are not trained on.
_HELD_OUT = 597


def network() -> nn.Module:
    """For images f32 [batch, 1, 8, 8], logits f32 [batch, 10]; with batch norm, as larger ones."""
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((1, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images and classes to learn from, then those held out."""
    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32)[:, None] / 16
    classes = torch.tensor(found.target, dtype=torch.int64)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    held, seen = order[:_HELD_OUT], order[_HELD_OUT:]
    return images[seen], classes[seen], images[held], classes[held]


def trained(seed: int) -> nn.Module:
    """The network of this seed in eval mode."""
    torch.manual_seed(seed)
    model, (images, classes, _, _) = network(), data()
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.01)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _RATE, total_steps=_EPOCHS * -(-len(images) // _BATCH)
    )
    for _ in range(_EPOCHS):
        for chosen in torch.randperm(len(images)).split(_BATCH):
            loss = F.cross_entropy(model(images[chosen]), classes[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
    return model.eval()
