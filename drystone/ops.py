"""Operations for models that torch has no name for; they run in torch and compile to kernels of their own.

`attention(q, k, v, *, mask, scale, causal, window, sinks, lengths, offsets, blocks, tile)`: see
`drystone.frontend.attention_op`.
"""

from drystone.frontend.attention_op import attention

__all__ = ["attention"]
