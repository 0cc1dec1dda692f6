"""torch's flex_attention, compiled: attention alone, with masks as functions and blocks that they skip."""

from typing import Any

import torch

from benchmarks.peers.adapters import Loaded, Task
from benchmarks.peers.adapters.torch_compile import missing
from benchmarks.peers.adapters.torch_eager import in_arithmetic

__all__ = ["load", "missing"]


def load(task: Task) -> Loaded:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    model, inputs = in_arithmetic(task)
    causal: Any = model.causal
    blocks = None
    if causal:
        length = inputs[0][0].shape[-2]
        blocks = create_block_mask(lambda b, h, q, k: q >= k, None, None, length, length, device="cpu")
    torch._dynamo.reset()
    compiled = torch.compile(flex_attention)
    return Loaded(lambda n: compiled(*inputs[n], block_mask=blocks))
