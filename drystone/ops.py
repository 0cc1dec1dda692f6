"""Operations for models that torch has no name for; they run in torch and compile to kernels of their own.

`attention(q, k, v, *, mask, scale, causal, window, sinks, lengths, offsets, blocks, tile)`: see
`drystone.frontend.attention_op`. `linear_scan(factor, x, dim)`: see `drystone.frontend.linear_scan`.
"""

from drystone.frontend.attention_op import attention
from drystone.frontend.linear_scan import linear_scan

__all__ = ["attention", "linear_scan"]
