"""Models that were made on the meta device, whose values a checkpoint has."""

import copy

import torch


def with_memory(model: torch.nn.Module) -> tuple[torch.nn.Module, frozenset[str]]:
    """The model with memory, of any content, in the place of parameters and buffers on the meta device, and
    the names of these; the model itself where it has none."""
    blank = frozenset(
        name
        for each in (model.named_parameters, model.named_buffers)
        for name, tensor in each(remove_duplicate=False)
        if tensor.is_meta
    )
    if not blank:
        return model, blank
    # Memory that nobody touches takes none.
    made = copy.deepcopy(model)
    known: dict[int, torch.Tensor] = {}
    for module in made.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None and tensor.is_meta:
                    if id(tensor) not in known:
                        empty = torch.empty_like(tensor, device="cpu", requires_grad=False)
                        parameter = isinstance(tensor, torch.nn.Parameter)
                        known[id(tensor)] = torch.nn.Parameter(empty, False) if parameter else empty
                    held[name] = known[id(tensor)]
    return made, blank
