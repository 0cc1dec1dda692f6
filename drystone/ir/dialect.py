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

# What `#:` says behind a field is its line in docs/ir.md.
# No `from __future__ import annotations` here: the bindings read the annotations as objects.
from collections.abc import Sequence
from typing import Any

from torch_mlir.dialects.ext import Operand, Pure, Region, Result

from drystone.mlir import Dialect, ir


class Dry(Dialect, name="dry"):
    """The dialect."""


class Yield(Dry.Operation, name="yield", traits=[ir.IsTerminatorTrait]):
    """Ends an epilogue with the element to store."""

    value: Operand[Any]  #: the element to store


class Weight(Dry.Operation, name="weight", traits=[Pure]):
    """The tensor of this name in the weight store."""

    out: Result[Any]  #: the tensor
    key: ir.StringAttr  #: its name in the weight store


#: What ends the regions of other operations.
TERMINATORS = ("dry.yield", "dry.coefficients")
#: On an operation of the dialect math, "few": no more is asked of it than 2^-12 of 1, or of the result.
DIGITS = "dry.digits"
#: How many extras an epilogue can read.
MAX_EXTRAS = 8
#: How far apart places are that `write_rows` tries for an end of a block's numbers, as a part of their range.
END_STEP = 0.05


class WithEpilogue(Dry.Operation):
    """Base of operations with an epilogue: declared with a result and two operands first, behind which come
    the extras.

    The bindings tie the types inside one variadic group together, and extras differ in type: each has a group
    of its own, `extra0` to `extra7`, which only this class sees.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        own = list(cls.__annotations__.items())
        extras = {f"extra{i}": Sequence[Operand[Any]] for i in range(MAX_EXTRAS)}
        cls.__annotations__ = {**dict(own[:3]), **extras, **dict(own[3:])}
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


class MatMul(WithEpilogue, name="matmul", traits=[Pure]):
    """out[.., m, n] = epilogue(sum_k a[.., m, k] * b[.., k, n]); with transpose_b, b is [.., n, k].

    b has the rank of a (batch dimensions equal or 1) or is a plain matrix used for every batch. Both have the
    same element, but a may have bytes where b holds codes of few bits.
    """

    out: Result[Any]  #: [*batch, m, n]
    a: Operand[Any]  #: [*batch, m, k]
    b: Operand[Any]  #: [.., k, n] or [.., n, k]
    transpose_b: ir.IntegerAttr  #: flag: b is [.., n, k]
    extra_maps: ir.ArrayAttr  #: one map per extra: result dimensions -> its own
    epilogue: Region  #: what is stored for an element of the result


class Conv(WithEpilogue, name="conv", traits=[Pure]):
    """Convolution over 1 to 3 spatial dimensions, cross-correlation as in torch.

    layout "nchw": x [N, C, *S], out [N, O, *S']; "nhwc": x [N, *S, C], out [N, *S', O]; "nchw-nhwc": x as in
    the first, out as in the second. The weight is always [O, C/groups, *K], or [C, O/groups, *K] when
    `transposed`. padding is before and after: 2 per dimension.
    """

    out: Result[Any]  #: see layout
    x: Operand[Any]  #: see layout
    weight: Operand[Any]  #: [O, C / groups, *K], or [C, O / groups, *K] when transposed
    strides: ir.ArrayAttr  #: one per spatial dimension, of the window (transposed: of the result)
    padding: ir.ArrayAttr  #: before and after: two per spatial dimension
    dilation: ir.ArrayAttr  #: the distance of taps, one per spatial dimension
    output_padding: ir.ArrayAttr  #: more positions at the end of a transposed one's result
    groups: ir.IntegerAttr  #: how many groups of channels are kept apart
    transposed: ir.IntegerAttr  #: flag: the gradient of a convolution with respect to its input
    layout: ir.StringAttr  #: "nchw", "nhwc" or "nchw-nhwc": where the channels stand
    extra_maps: ir.ArrayAttr  #: one map per extra: result dimensions -> its own
    epilogue: Region  #: what is stored for an element of the result


class Attention(Dry.Operation, name="attention", traits=[Pure]):
    """out = softmax(scale * q k^T + mask) v, in one pass over the keys.

    layout "bhsd": q [B, H, S, D], k [B, G, T, D], v [B, G, T, E], out [B, H, S, E]; "bshd": heads and
    positions swapped in all four. H is a multiple of G (grouped queries). mask: none or one tensor, added
    where it is float, kept where it is true when i1; rank 4, broadcast to [B, H, S, T]. causal: key t <=
    query s. span: none or one tensor [2, B or 1, S or 1] of integers: query s of image b sees the keys
    span[0, b, s] <= t < span[1, b, s], and of those before it the first `sinks`. blocks: none or one i1
    tensor [H or 1, tiles of queries, tiles of keys]: which tiles of `tile` queries by keys are computed; the
    last may be cut short. Keys that nothing sees are not read. A query that sees no key gives zeros.
    key_peaks and value_peaks: none or one tensor [B, G, T] ("bshd": [B, T, G]) each; k or v are then signed
    bytes, of which 127 stands for the peak of its row (as round_rows gives them). k or v may be coded, as
    write_rows gives them.
    """

    out: Result[Any]  #: see layout
    q: Operand[Any]  #: queries
    k: Operand[Any]  #: keys
    v: Operand[Any]  #: values
    mask: Sequence[Operand[Any]]  #: none or one tensor, rank 4
    span: Sequence[Operand[Any]]  #: none or one tensor [2, B or 1, S or 1]: first keys, and ends
    blocks: Sequence[Operand[Any]]  #: none or one i1 tensor [H or 1, tiles of queries, tiles of keys]
    key_peaks: Sequence[Operand[Any]]  #: none or one tensor [B, G, T]: the largest of each key
    value_peaks: Sequence[Operand[Any]]  #: none or one tensor [B, G, T]: the largest of each value
    scale: ir.FloatAttr  #: the factor of the scores
    causal: ir.IntegerAttr  #: flag: query s sees keys t <= s
    sinks: ir.IntegerAttr  #: how many first keys every query sees besides its span (causal ones apart)
    tile: ir.ArrayAttr  #: queries and keys of a tile of `blocks`; empty where there are none
    layout: ir.StringAttr  #: "bhsd" or "bshd": heads or positions first


class Norm(WithOuts, name="norm", traits=[Pure]):
    """Normalization over the last `axes` dimensions: kind "layer" (x - mean) / sqrt(var + eps), or "rms"
    x / sqrt(mean(x^2) + eps); then * gain + shift where given (shaped as the normalized dimensions). With a
    residual, of x + residual, which is the second result where it is wanted."""

    out: Result[Any]  #: as x
    total: Sequence[Result[Any]]  #: none, or x + residual
    x: Operand[Any]  #: what is normalized
    gain: Sequence[Operand[Any]]  #: none or one tensor: a factor
    shift: Sequence[Operand[Any]]  #: none or one tensor: added after it
    residual: Sequence[Operand[Any]]  #: none or one tensor, as x: added before
    kind: ir.StringAttr  #: "layer" or "rms"
    axes: ir.IntegerAttr  #: how many of the last dimensions are normalized together
    eps: ir.FloatAttr  #: added under the root


class Softmax(Dry.Operation, name="softmax", traits=[Pure]):
    """exp(x - max) / sum along `dim`, or its logarithm when `log`."""

    out: Result[Any]  #: as x
    x: Operand[Any]  #: the scores
    dim: ir.IntegerAttr  #: the dimension that sums to 1
    log: ir.IntegerAttr  #: flag: the logarithm


class LogSumExp(Dry.Operation, name="logsumexp", traits=[Pure]):
    """log(sum(exp(x))) along `dim`, as two parts whose sum it is: no digit of a log softmax
    (x - peak) - rest is lost where x is large. Without an element above -inf, peak is the least finite
    number."""

    peak: Result[Any]  #: the maximum: x without the dimension
    rest: Result[Any]  #: log(sum(exp(x - peak))), as peak
    x: Operand[Any]  #: the scores
    dim: ir.IntegerAttr  #: the dimension that is summed


class RowStats(Dry.Operation, name="row_stats", traits=[Pure]):
    """What a loss or a choice asks of each row of scores, so that they need not be stored: the largest, the
    logarithm of the sum of exponentials (as logsumexp gives it), where the largest one is first, the score
    at a given place (0 where that is no place of the row), and the sum of all. Without `rest`, peak is -inf
    where no element is above it."""

    peak: Result[Any]  #: [m]: the largest score
    rest: Sequence[Result[Any]]  #: none, or [m]: log(sum(exp(x - peak)))
    place: Sequence[Result[Any]]  #: none, or [m] i64: where the largest score is
    picked: Sequence[Result[Any]]  #: none, or [m]: the score at `pick`
    summed: Sequence[Result[Any]]  #: none, or [m]: the sum of the scores
    x: Operand[Any]  #: the scores [m, n]
    pick: Sequence[Operand[Any]]  #: none, or [m] i64: a place in each row


class RoundRows(Dry.Operation, name="round_rows", traits=[Pure]):
    """Rows as signed bytes: y[.., k] = x[.., k] factor[k] is about zero[..] + codes[.., k] peak[..] / 127:
    peak is the largest |y - zero| of a row and zero 0 or, where it is a result, in the middle between the
    largest and the least y. Codes are 127 / peak * (y - zero), rounded to nearest, ties to even, and 0 where
    peak is below 2^-120; all but this product is in f32. In a row with a NaN or an infinity peak is not
    finite, with `zero` NaN, and codes are any."""

    codes: Result[Any]  #: i8, as x
    peak: Result[Any]  #: f32, x without its last dimension
    zero: Sequence[Result[Any]]  #: none, or one as peak
    x: Operand[Any]  #: f32 [.., k]
    factor: Sequence[Operand[Any]]  #: none or [k]: what columns are multiplied by before


class WriteRows(Dry.Operation, name="write_rows", traits=[Pure]):
    """out = cache with rows[n] at position at[n] of `axis`, one after the other; a position outside is moved
    to the nearest end. The cache is #dry.joined codes whose scales are of blocks of one or more positions.
    A row is rounded when it is written, where a block has one position; a block of several from what the
    cache reads as once its last position is written. The rows of a #dry.recent cache enter its ring first.

    The codes of a block reach from its least number to its largest one, or, with `tries` above 1, from one of
    so many places to another: the end itself, and farther in by a twentieth of their distance each. The pair
    that leaves the least squared error is taken. Ends and scales are computed in f32."""

    out: Result[Any]  #: as cache
    cache: Operand[Any]  #: coded
    rows: Operand[Any]  #: [n, *the extents of cache, that of `axis` 1 or left out]
    at: Operand[Any]  #: i64 [n, 1]
    axis: ir.IntegerAttr  #: of the positions
    tries: ir.IntegerAttr  #: places that are tried for each end of a block's numbers, 1 to 10


class Embedding(Dry.Operation, name="embedding", traits=[Pure]):
    """out[.., :] = table[indices[..], :]; indices i64 or i32, in range."""

    out: Result[Any]  #: [*indices, D]
    table: Operand[Any]  #: [rows, D]
    indices: Operand[Any]  #: i64 or i32, in range


class Pool(Dry.Operation, name="pool", traits=[Pure]):
    """Pooling over 1 to 3 spatial dimensions; kind "max" or "avg"; layouts as in conv. padding: 2 per
    dimension (ceil mode is spelled out as more padding behind). divisor: 0 divides an average by the number
    of elements inside the input, 1 by those inside input and torch's symmetric padding, n > 1 by n. Averages
    of bytes can be f32."""

    out: Result[Any]  #: as x, or f32 where x is averaged bytes; spatial extents by the window
    x: Operand[Any]  #: see layout
    kind: ir.StringAttr  #: "max" or "avg"
    kernel: ir.ArrayAttr  #: the window, one per spatial dimension
    strides: ir.ArrayAttr  #: of the window
    padding: ir.ArrayAttr  #: before and after: two per spatial dimension
    dilation: ir.ArrayAttr  #: the distance of taps
    divisor: ir.IntegerAttr  #: what an average is divided by
    layout: ir.StringAttr  #: "nchw" or "nhwc"


class Recurrent(WithOuts, name="recurrent", traits=[Pure]):
    """One layer, one direction of a recurrent network over all steps.

    projected [T, B, gates*H]: the input's product with its weight and all input biases, already added;
    weight [gates*H, H]; bias: none or [gates*H], the hidden bias; state h [B, H] and, for "lstm", c [B, H].
    cell: "lstm" (gates i, f, g, o), "gru" (r, z, n), "tanh", "relu", as in torch. reverse: from the last step
    to the first. Results: all h [T, B, H], the last h and, for "lstm", the last c.
    """

    steps: Result[Any]  #: all h [T, B, H]
    last: Sequence[Result[Any]]  #: the last h and, for "lstm", the last c
    projected: Operand[Any]  #: [T, B, gates * H]
    weight: Operand[Any]  #: [gates * H, H]
    bias: Sequence[Operand[Any]]  #: none or [gates * H]
    state: Sequence[Operand[Any]]  #: h and, for "lstm", c: [B, H]
    cell: ir.StringAttr  #: "lstm", "gru", "tanh" or "relu"
    reverse: ir.IntegerAttr  #: flag: from the last step to the first


class Scan(Dry.Operation, name="scan", traits=[Pure]):
    """Inclusive prefix combination along `dim`: kind "sum" or "prod"."""

    out: Result[Any]  #: as x
    x: Operand[Any]  #: what is combined
    dim: ir.IntegerAttr  #: the dimension it runs along
    kind: ir.StringAttr  #: "sum" or "prod"


class LinearScan(Dry.Operation, name="linear_scan", traits=[Pure]):
    """The linear recurrence out[t] = factor[t] * out[t - 1] + x[t] along `dim`, from 0 before the first."""

    out: Result[Any]  #: as x
    x: Operand[Any]  #: what is added in each step
    factor: Operand[Any]  #: as x: what the state before is multiplied by
    dim: ir.IntegerAttr  #: the dimension it runs along


class Coefficients(Dry.Operation, name="coefficients", traits=[ir.IsTerminatorTrait]):
    """Ends the step of a selective scan."""

    factor: Operand[Any]  #: what the state before is multiplied by
    x: Operand[Any]  #: what is added
    weight: Sequence[Operand[Any]]  #: none, or what the new state is multiplied by in the sum


class SelectiveScan(Dry.Operation, name="selective_scan", traits=[Pure]):
    """A linear recurrence whose coefficients are computed step by step: h[t] = factor * h[t - 1] + x along
    `dim`, from 0 before the first (Mamba: Gu and Dao 2023, section 3.3.2).

    The block of `step` takes one element of each operand, read through the map of the same position in
    `indexing_maps` (dimensions of h -> its own: dimensions, each once, or position 0), and ends in
    `dry.coefficients`; its operations are of the dialects arith and math only. The result is h or, with
    `summed`, the sum of weight * h over the last dimension of h.
    """

    out: Result[Any]  #: h, or with `summed` h without its last dimension
    __annotations__.update({f"input{i}": Sequence[Operand[Any]] for i in range(MAX_EXTRAS)})
    dim: ir.IntegerAttr  #: the dimension of h it runs along
    summed: ir.IntegerAttr  #: flag: the states are weighted and summed
    indexing_maps: ir.ArrayAttr  #: one map per operand: dimensions of h -> its own
    step: Region  #: factor, x and with `summed` weight of an element of h
