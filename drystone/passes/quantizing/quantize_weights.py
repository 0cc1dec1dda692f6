"""The pass `quantize-weights`: weights are held in formats of fewer bits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir.build import mapped
from drystone.ir.encoding import Encoding
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import arith, ir
from drystone.passes.dims import empty_like
from drystone.passes.fusing.biases import add_to_bias, bias_of
from drystone.passes.generic import last_dim
from drystone.passes.rewriting import erase_dead, tensor_type
from drystone.passes.rounding import Member, Method, Seen, is_stepwise, scaled
from drystone.passes.weight_readers import Reader, asked, let_read
from drystone.passes.weights import coded_weight, drop_unused, new_weight


@dataclass(frozen=True)
class Rounding:
    """What a weight is to be held in: an encoding of a matrix [outputs, inputs], and the method of rounding;
    None: the best there is for the encoding and for what is known."""

    encoding: Encoding
    method: Method | None = None

    def chosen(self, seen: Seen | None, *, biased: bool) -> Method:
        """The method, for a weight of which this is known, whose outputs have a bias or not."""
        if self.method is not None:
            return self.method
        if seen is None:
            return Method()
        return replace(BEST if is_stepwise(self.encoding) else Method(), corrected=biased)


#: What is done where calibration is given and nothing else is asked for; biases that are there are corrected,
#: which costs nothing.
BEST = Method(scaled=True, fed_back=True, descended=True)
#: Regular expressions of weights' keys, and what each is to be held in (None: as it is); the first match
#: counts.
Roundings = tuple[tuple[str, Rounding | None], ...]


@dataclass(frozen=True)
class QuantizeWeights:
    """Weights of products and convolutions, and embeddings with `tables`, are held in the encoding that the
    first pattern of `formats` names that matches all of their key.

    Before:  %y = "dry.matmul"(%x, %w) : (tensor<8x64xf32>, tensor<32x64xf32>)
    After:   %z = linalg.generic ins(%x, %r) {x[k] * r[k]} : tensor<8x64xf32>
             %y = "dry.matmul"(%z, %v) : (tensor<8x64xf32>, tensor<32x64xf32, #dry.enc<"uint4", ..>>)

    - A matrix becomes one [outputs, inputs] (`transpose_b` is set); the weight [O, C, *K] of a convolution is
      held as the matrix [O, taps * C] (`#dry.flat`). One that is read in a longer float, as in models in
      bf16, is copied plain, and widened, before it is read.
    - A matrix that is the left operand of a product becomes sparse where that is asked for; for codes it is
      left as it is, for no kernel reads them there.
    - `seen` has for a weight's key what calibration showed of x, which methods but "nearest" need.
    - Where a method scales by activations, all weights that read x are multiplied by one s[k] before they are
      rounded, and x by r = 1 / s, which is fused into what computes x. Convolutions are not scaled, nor are
      weights with other readers besides.
    - Where a method corrects biases, the mean error of the outputs in calibration is taken off the bias
      (%b becomes b.corrected), or added as one where there is none; but of no weight with other readers.
    - Patterns that are among `others` count for another pass, so that they may match nothing here. Any other
      that matches nothing, and an encoding that does not fit a weight, are the user's mistakes.
    """

    formats: Roundings = ()
    seen: Mapping[str, Seen] = field(default_factory=dict)
    tables: bool = False
    others: frozenset[str] = frozenset()
    name: ClassVar[str] = "quantize-weights"

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError for patterns and encodings that do not fit."""
        groups = asked(program, self.formats, tables=self.tables, others=self.others)
        times = Counter(key for group in groups for key in {reader.key for reader, _ in group})
        shared, made = frozenset(key for key, count in times.items() if count > 1), _Made()
        for group in groups:
            _Group(program, group, _copies(self.seen, group), shared, made).replace()
        erase_dead(main_block(program))
        drop_unused(program)


#: Coded weights, by the key of the weight and whether that is held [inputs, outputs].
_Made = dict[tuple[str, bool], Any]


@dataclass(frozen=True)
class _Group:
    """Readers of one value, and how their weights are rounded; `shared` are the keys of weights that other
    groups read too, `made` the coded weights that there are already, `changes` what is to be added to biases
    beside these."""

    program: Program
    members: Sequence[tuple[Reader, Rounding]]
    seen: Mapping[str, Seen]
    shared: frozenset[str]
    made: _Made
    changes: dict[tuple[str, bool], Array] = field(default_factory=dict)

    def replace(self) -> None:
        """Let all read coded weights."""
        for reader, rounding in self.members:
            _check(reader, rounding)
        some = [each for each in self.members if self._is_scaled(*each)]
        factors = self._factors(some) if some else None
        small = None if factors is None else self._divided(some[0][0], factors)
        shown = dict(self.seen)
        if factors is not None:
            shown |= dict.fromkeys(
                (reader.key for reader, _ in some), self.seen[some[0][0].key].divided(factors)
            )
        for reader, rounding in self.members:
            own = factors if (reader, rounding) in some else None
            place = reader.key, reader.turned
            if place not in self.made:
                with ir.InsertionPoint(reader.weight.owner), reader.op.operation.location:
                    self.made[place] = self._coded(reader, rounding, shown.get(reader.key), own)
            with ir.InsertionPoint(reader.op), reader.op.operation.location:
                let_read(reader, self.made[place], None if own is None else small)
            if place in self.changes:
                add_to_bias(self.program, reader.op, f"{reader.key}.bias", self.changes[place])

    def _is_scaled(self, reader: Reader, rounding: Rounding) -> bool:
        once = reader.kind == "product" and reader.key not in self.shared
        return once and self._method(reader, rounding).scaled

    def _method(self, reader: Reader, rounding: Rounding) -> Method:
        once = reader.kind in ("product", "conv") and reader.key not in self.shared
        method = rounding.chosen(self.seen.get(reader.key), biased=once and bias_of(reader.op) is not None)
        return method if once else replace(method, corrected=False)

    def _factors(self, some: Sequence[tuple[Reader, Rounding]]) -> Array | None:
        """What the columns of these weights are multiplied by; None where that gains nothing."""
        once = {reader.key: (reader, rounding) for reader, rounding in some}.values()
        members = [
            Member(
                reader.matrix(self.program.weights[reader.key]),
                rounding.encoding,
                self._method(reader, rounding),
            )
            for reader, rounding in once
        ]
        return scaled(members, self.seen[some[0][0].key])

    def _divided(self, reader: Reader, factors: Array) -> Any:
        """x divided by the factors, before its first reader."""
        x, rank = reader.x, reader.x.type.rank
        whole, last = (
            ir.AffineMap.get_identity(rank),
            last_dim(rank),
        )
        with ir.InsertionPoint(reader.op), reader.op.operation.location:
            kind = tensor_type(factors.shape, ir.F32Type.get())
            small = new_weight(self.program, f"{reader.key}.scaling", 1 / factors, kind)
            return mapped([x, small], empty_like(x), [whole, last, whole], _times)

    def _coded(self, reader: Reader, rounding: Rounding, seen: Seen | None, factors: Array | None) -> Any:
        """The weight as `rounding` holds it, at the insertion point, where this is known of what it reads."""
        matrix = reader.matrix(self.program.weights[reader.key])
        if factors is not None:
            matrix = matrix * factors
        method, encoding = self._method(reader, rounding), rounding.encoding.settled(matrix)
        parts = method.parts(matrix, encoding, seen)
        if method.corrected and seen is not None:
            left = encoding.decode(parts, matrix.shape) - matrix
            self.changes[reader.key, reader.turned] = -seen.mean_error(left)
        return coded_weight(self.program, f"{reader.key}.coded", parts, reader.held(encoding))


def _copies(seen: Mapping[str, Seen], group: Sequence[tuple[Reader, Rounding]]) -> dict[str, Seen]:
    """What calibration showed for a group: what is computed of it is as large, and goes with the group."""
    found = {reader.key: seen[reader.key] for reader, _ in group if reader.key in seen}
    copies = {id(each): replace(each) for each in found.values()}
    return {key: copies[id(each)] for key, each in found.items()}


def _check(reader: Reader, rounding: Rounding) -> None:
    """Raise UserError where a weight cannot be held as it should."""
    extents = reader.extents
    for problem in rounding.encoding.problems(extents):
        raise UserError(
            f"quantize: the weight {reader.key}, {extents[0]} x {extents[1]}, does not fit: {problem}",
            hint="give it another format, another group, or None, by its name: "
            f"quantize={{{reader.key!r}: ..}}",
        )


def _times(x: Any, factor: Any, _: Any) -> Any:
    if x.type != factor.type:
        factor = arith.TruncFOp(x.type, factor).result
    return arith.MulFOp(x, factor).result
