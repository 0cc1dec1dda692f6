"""The `dry` dialect: every operation and attribute drystone adds to MLIR, declared in one place.

Conventions that hold for all operations
- Tensors are builtin ranked tensors; a dynamic dimension is a symbol with a declared bound. An encoding on
  the type says how the numbers are held; the logical shape and element stay those of the model.
- Lists of integers are ArrayAttr of i64; flags are i1; numbers are f64.
- Optional operands are variadic groups of length 0 or 1 (the bindings know no optional ones).
- `epilogue`: a scalar region applied to every element of the result before it is stored. Its block takes the
  element and then one scalar for each of `extras`, read through the map of the same position in `extra_maps`
  (result dimensions -> dimensions of the extra, as in linalg.generic). It ends in `dry.yield`. The identity
  epilogue yields its first argument. Its operations are of the dialects arith and math only.
"""

# No `from __future__ import annotations` here: the bindings read the annotations as objects.
from collections.abc import Sequence
from typing import Any

from torch_mlir.dialects.ext import Operand, Pure, Region, Result

from drystone.mlir import Dialect, ir


class Dry(Dialect, name="dry"):
    """The dialect."""


class Scale(Dry.Attribute, name="scale"):
    """Scale geometry of an affine integer encoding: real = scale * (code - zero_point).

    geometry: "tensor", "axis" or "group"; axis and group (both 0 where they mean nothing): groups of `group`
    elements along `axis`, each with its own scale. zero_point: whether one is stored beside each scale.
    """

    geometry: ir.StringAttr
    axis: ir.IntegerAttr
    group: ir.IntegerAttr
    zero_point: ir.IntegerAttr


class Pack(Dry.Attribute, name="pack"):
    """A blocked layout, as in linalg.pack: `inner_tiles[i]` elements of dimension `inner_dims[i]` become the
    innermost dimensions, in that order; the outer ones stand in the order `outer_perm`. Ragged ends hold
    zero."""

    inner_dims: ir.ArrayAttr
    inner_tiles: ir.ArrayAttr
    outer_perm: ir.ArrayAttr


class Enc(Dry.Attribute, name="enc"):
    """How a tensor's numbers are held: `element` code ("f32", "int8", "uint4", ...), `scale` (Scale or unit)
    and `layout` (Pack or unit)."""

    element: ir.StringAttr
    scale: Any
    layout: Any


class Yield(Dry.Operation, name="yield", traits=[ir.IsTerminatorTrait]):
    """Ends an epilogue with the element to store."""

    value: Operand[Any]


class Weight(Dry.Operation, name="weight", traits=[Pure]):
    """The tensor of this name in the weight store."""

    out: Result[Any]
    key: ir.StringAttr


#: How many extras an epilogue can read.
MAX_EXTRAS = 8


class WithEpilogue(Dry.Operation):
    """Base of operations with an epilogue: two operands, then the extras.

    The bindings tie the types inside one variadic group together, and extras differ in type: each has a group
    of its own, `extra0` to `extra7`, which only this class sees.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _take_extras_as_one(cls)

    @property
    def extras(self) -> list[Any]:
        """What the epilogue reads beside the result."""
        return list(self.operation.operands)[2:]


def _take_extras_as_one(cls: Any) -> None:
    """Let the constructor of an operation with an epilogue take `extras` as one sequence."""
    build = cls.__init__

    def __init__(
        self: Any, out: Any, first: Any, second: Any, extras: Sequence[Any] = (), **attributes: Any
    ) -> None:
        groups = [[extra] for extra in extras] + [[]] * (MAX_EXTRAS - len(extras))
        build(self, out, first, second, *groups, **attributes)

    cls.__init__ = __init__


class MatMul(WithEpilogue, name="matmul", traits=[Pure]):
    """out[.., m, n] = epilogue(sum_k a[.., m, k] * b[.., k, n]); with transpose_b, b is [.., n, k].

    b has the rank of a (batch dimensions equal or 1) or is a plain matrix used for every batch.
    """

    out: Result[Any]
    a: Operand[Any]
    b: Operand[Any]
    __annotations__.update({f"extra{i}": Sequence[Operand[Any]] for i in range(MAX_EXTRAS)})
    transpose_b: ir.IntegerAttr
    extra_maps: ir.ArrayAttr
    epilogue: Region


class Conv(WithEpilogue, name="conv", traits=[Pure]):
    """Convolution over 1 to 3 spatial dimensions, cross-correlation as in torch.

    layout "nchw": x [N, C, *S], out [N, O, *S']; "nhwc": x [N, *S, C], out [N, *S', O]. The weight is always
    [O, C/groups, *K], or [C, O/groups, *K] when `transposed`. padding is before and after: 2 per dimension.
    """

    out: Result[Any]
    x: Operand[Any]
    weight: Operand[Any]
    __annotations__.update({f"extra{i}": Sequence[Operand[Any]] for i in range(MAX_EXTRAS)})
    strides: ir.ArrayAttr
    padding: ir.ArrayAttr
    dilation: ir.ArrayAttr
    output_padding: ir.ArrayAttr
    groups: ir.IntegerAttr
    transposed: ir.IntegerAttr
    layout: ir.StringAttr
    extra_maps: ir.ArrayAttr
    epilogue: Region


class Attention(Dry.Operation, name="attention", traits=[Pure]):
    """out = softmax(scale * q k^T + mask) v, in one pass over the keys.

    layout "bhsd": q [B, H, S, D], k [B, G, T, D], v [B, G, T, E], out [B, H, S, E]; "bshd": heads and
    positions swapped in all four. H is a multiple of G (grouped queries). mask: none or one tensor, added
    where it is float, kept where it is true when i1; rank 4, broadcast to [B, H, S, T]. causal: key t <=
    query s.
    """

    out: Result[Any]
    q: Operand[Any]
    k: Operand[Any]
    v: Operand[Any]
    mask: Sequence[Operand[Any]]
    scale: ir.FloatAttr
    causal: ir.IntegerAttr
    layout: ir.StringAttr


class Norm(Dry.Operation, name="norm", traits=[Pure]):
    """Normalization over the last `axes` dimensions: kind "layer" (x - mean) / sqrt(var + eps), or "rms"
    x / sqrt(mean(x^2) + eps); then * gain + shift where given (shaped as the normalized dimensions)."""

    out: Result[Any]
    x: Operand[Any]
    gain: Sequence[Operand[Any]]
    shift: Sequence[Operand[Any]]
    kind: ir.StringAttr
    axes: ir.IntegerAttr
    eps: ir.FloatAttr


class Softmax(Dry.Operation, name="softmax", traits=[Pure]):
    """exp(x - max) / sum along `dim`, or its logarithm when `log`."""

    out: Result[Any]
    x: Operand[Any]
    dim: ir.IntegerAttr
    log: ir.IntegerAttr


class Embedding(Dry.Operation, name="embedding", traits=[Pure]):
    """out[.., :] = table[indices[..], :]; indices i64 or i32, in range."""

    out: Result[Any]
    table: Operand[Any]
    indices: Operand[Any]


class Pool(Dry.Operation, name="pool", traits=[Pure]):
    """Pooling over 1 to 3 spatial dimensions; kind "max" or "avg"; layouts as in conv. padding: 2 per
    dimension (ceil mode is spelled out as more padding behind). divisor: 0 divides an average by the number
    of elements inside the input, 1 by those inside input and torch's symmetric padding, n > 1 by n."""

    out: Result[Any]
    x: Operand[Any]
    kind: ir.StringAttr
    kernel: ir.ArrayAttr
    strides: ir.ArrayAttr
    padding: ir.ArrayAttr
    dilation: ir.ArrayAttr
    divisor: ir.IntegerAttr
    layout: ir.StringAttr


class WithOuts(Dry.Operation):
    """Base of an operation whose first result differs in type from the others: see `WithEpilogue`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _take_outs_as_one(cls)

    @property
    def outs(self) -> list[Any]:
        """All results."""
        return list(self.operation.results)


def _take_outs_as_one(cls: Any) -> None:
    """Let the constructor take the types of all results as one sequence."""
    build = cls.__init__

    def __init__(self: Any, outs: Sequence[Any], *operands: Any, **attributes: Any) -> None:
        build(self, outs[0], list(outs[1:]), *operands, **attributes)

    cls.__init__ = __init__


class Recurrent(WithOuts, name="recurrent", traits=[Pure]):
    """One layer, one direction of a recurrent network over all steps.

    projected [T, B, gates*H]: the input's product with its weight and all input biases, already added;
    weight [gates*H, H]; bias: none or [gates*H], the hidden bias; state h [B, H] and, for "lstm", c [B, H].
    cell: "lstm" (gates i, f, g, o), "gru" (r, z, n), "tanh", "relu", as in torch. reverse: from the last step
    to the first. Results: all h [T, B, H], the last h and, for "lstm", the last c.
    """

    steps: Result[Any]
    last: Sequence[Result[Any]]
    projected: Operand[Any]
    weight: Operand[Any]
    bias: Sequence[Operand[Any]]
    state: Sequence[Operand[Any]]
    cell: ir.StringAttr
    reverse: ir.IntegerAttr


class Scan(Dry.Operation, name="scan", traits=[Pure]):
    """Inclusive prefix combination along `dim`: kind "sum" or "prod"."""

    out: Result[Any]
    x: Operand[Any]
    dim: ir.IntegerAttr
    kind: ir.StringAttr
