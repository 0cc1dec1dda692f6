"""`drystone.ops.linear_scan`: the linear recurrence of state-space layers, for models to use."""

import torch

from drystone.errors import UserError
from drystone.frontend.operators import operators


def linear_scan(factor: torch.Tensor, x: torch.Tensor, dim: int = 1) -> torch.Tensor:
    """The linear recurrence h[t] = factor[t] * h[t - 1] + x[t] along `dim`, from h[-1] = 0; all h.

    factor and x have one shape and floating-point type, f32 where it is to be compiled. It is what
    state-space layers compute step by step (Mamba: Gu and Dao 2023, section 3.2); to start from a state h0,
    add factor[0] * h0 to x[0]. In torch it runs as a loop and has no gradient.
    """
    if factor.shape != x.shape or factor.dtype != x.dtype or not x.dtype.is_floating_point or not x.dim():
        raise UserError(
            f"linear_scan of factors {factor.dtype} {list(factor.shape)} and {x.dtype} {list(x.shape)}",
            hint="both must have the same shape, of at least one dimension, and floating-point type",
        )
    if not -x.dim() <= dim < x.dim():
        raise UserError(
            f"linear_scan along dimension {dim} of a tensor with {x.dim()}",
            hint=f"give dim from {-x.dim()} to {x.dim() - 1}",
        )
    out: torch.Tensor = operators().linear_scan(factor, x, dim)
    return out
