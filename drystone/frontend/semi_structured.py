"""Parameters that torch holds as 2:4, as the numbers they are."""

import copy
from typing import Any

import torch
from torch.sparse import SparseSemiStructuredTensor


def without_semi_structured(model: torch.nn.Module) -> torch.nn.Module:
    """The model with dense tensors in the place of semi-structured ones (`torch.sparse`), whose operations
    belong to libraries of GPUs; all others are shared with it. The model itself where it has none."""
    held = [*model.parameters(), *model.buffers()]
    if not any(isinstance(each, SparseSemiStructuredTensor) for each in held):
        return model
    known: dict[int, Any] = {id(each): each for each in held}
    for each in held:
        if isinstance(each, SparseSemiStructuredTensor):
            dense = each.to_dense()
            parameter = isinstance(each, torch.nn.Parameter)
            known[id(each)] = torch.nn.Parameter(dense, False) if parameter else dense
    made: torch.nn.Module = copy.deepcopy(model, known)
    return made
