"""A model that changes its buffers as one that takes them and gives them back."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.peers.workloads import Built, Inputs


class _Stateless(nn.Module):
    def __init__(self, model: nn.Module, caches: tuple[str, ...], inputs: int) -> None:
        super().__init__()
        self.model, self.caches, self.inputs = model, caches, inputs

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        caches = {
            name: tensor.clone() for name, tensor in zip(self.caches, tensors[self.inputs :], strict=True)
        }
        result = functional_call(self.model, caches, tensors[: self.inputs])
        return (result, *caches.values())


def stateless(built: Built) -> tuple[nn.Module, tuple[Inputs, ...]]:
    """The model, or one whose caches are inputs after its own and outputs after its own; and the inputs, with
    the caches as the calls before leave them."""
    if not built.caches:
        return built.model, built.inputs
    model = _Stateless(built.model, tuple(built.caches), len(built.inputs[0])).eval()
    caches = tuple(built.caches.values())
    calls = []
    with torch.no_grad():
        for inputs in built.inputs:
            calls.append((*inputs, *caches))
            _, *caches = model(*calls[-1])
    return model, tuple(calls)
