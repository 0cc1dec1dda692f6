"""The pass `sparsify-weights`: weights are pruned, and held without their zeros."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from drystone.errors import UserError
from drystone.ir.encoding import Codes, Encoding, Sparse, encode
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import ir
from drystone.passes.layout.lists import Lists
from drystone.passes.pruning import Pruning
from drystone.passes.quantizing.observe_weights import ObserveWeights
from drystone.passes.quantizing.quantize_products import INT8, Formats
from drystone.passes.quantizing.quantize_weights import QuantizeWeights
from drystone.passes.rewriting import erase_dead
from drystone.passes.rounding import Method, Seen
from drystone.passes.weight_readers import Reader, asked, asked_of, let_read
from drystone.passes.weights import coded_weight, drop_unused

#: Regular expressions of weights' keys, and how each is to be pruned (None: not at all); the first match
#: counts.
Prunings = tuple[tuple[str, Pruning | None], ...]
#: What is to be done where a format does not go with zeros.
_PLAIN = "do not quantize it"


@dataclass(frozen=True)
class SparsifyWeights:
    """Weights of products and convolutions, and embeddings with `tables`, are pruned as the first pattern of
    `prunings` says that matches all of their key, and become sparse.

    Before:  %y = "dry.matmul"(%x, %w) : (tensor<8x64xf32>, tensor<32x64xf32>)
    After:   %y = "dry.matmul"(%x, %v) : (tensor<8x64xf32>, tensor<32x64xf32, #dry.sparse<..>>)

    - A matrix becomes one [outputs, inputs] (`transpose_b` is set); the weight [O, C, *K] of a convolution is
      held as the matrix [O, taps * C] (`#dry.flat`): groups are of channels, blocks of outputs and channels.
    - `seen` has for a weight's key what calibration showed of x, which methods but magnitudes need; weights
      of which nothing is known (embeddings, convolutions of several groups) are pruned by magnitude.
    - Where zeros are yet to be chosen, weights have the level that all are to have together, or none.
    - N:M is held as groups (`Structured`), everything else in lists of blocks (`Compressed`).
    - What is left is held in the model's element, or in what the `rounding` says of the weight, where kernels
      of products read sparse matrices of that. Other formats, products in bytes (`in_bytes`), and patterns of
      both that match nothing and are not among `others`, are the user's mistakes.
    - A weight whose groups have no more inputs than are held stays as it is.
    """

    prunings: Prunings = ()
    seen: Mapping[str, Seen] = field(default_factory=dict)
    tables: bool = False
    rounding: QuantizeWeights = field(default_factory=QuantizeWeights)
    in_bytes: Formats = ()
    others: frozenset[str] = frozenset()
    name: ClassVar[str] = "sparsify-weights"

    @property
    def observer(self) -> ObserveWeights:
        """With this pass a program gives statistics of what weights are multiplied with that are pruned."""
        return ObserveWeights(self.prunings, self.tables, self.others, argument="sparsify")

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError for patterns and formats that do not fit."""
        if not self.prunings:
            return
        made, rounding = dict[Any, Any](), self.rounding
        prunings = tuple((pattern, None if each is None else each.for_now) for pattern, each in self.prunings)
        found = asked(program, prunings, tables=self.tables, others=self.others, argument="sparsify")
        asked(program, rounding.formats, tables=rounding.tables, others=rounding.others)
        for reader, pruning in (each for group in found for each in group):
            place = reader.key, reader.turned
            if place not in made:
                with ir.InsertionPoint(reader.weight.owner), reader.op.operation.location:
                    made[place] = self._pruned(program, reader, pruning)
            if made[place] is not None:
                with ir.InsertionPoint(reader.op), reader.op.operation.location:
                    let_read(reader, made[place])
        erase_dead(main_block(program))
        drop_unused(program)

    def _pruned(self, program: Program, reader: Reader, pruning: Pruning) -> Any:
        """The sparse weight at the insertion point; None where it stays as it is."""
        (outputs, inputs), zeros = reader.extents, pruning.settled
        problem = zeros.problem(outputs, inputs)
        if problem:
            raise _error(
                reader, f"of {outputs} x {inputs} {problem}", "give it another level, or other blocks"
            )
        if zeros.holds_all(outputs, inputs):
            return None
        encoding = Sparse(zeros.pattern(outputs, inputs), self._values(program, reader))
        listed = Lists((outputs, inputs), 0, 1).joined(encoding)
        if isinstance(listed, str):
            raise _error(reader, f"cannot be sparse in this format: {listed}", _PLAIN)
        matrix = pruning.pruned(reader.matrix(program.weights[reader.key]), self.seen.get(reader.key))
        return coded_weight(program, f"{reader.key}.pruned", encode(matrix, encoding), reader.held(encoding))

    def _values(self, program: Program, reader: Reader) -> Encoding:
        """What the numbers that are left are held in."""
        names = program.weights.names(reader.key)
        if asked_of(self.in_bytes, names) == INT8:
            raise _error(reader, "cannot be sparse where its products are computed in bytes", _PLAIN)
        among = reader.kind != "table" or self.rounding.tables
        rounding = asked_of(self.rounding.formats, names) if among else None
        if rounding is None:
            return Codes(str(reader.weight.type.element_type))
        if rounding.method not in (None, Method()):
            raise _error(reader, "is rounded after it is pruned, to the nearest numbers", "leave out method=")
        return rounding.encoding


def _error(reader: Reader, what: str, mend: str) -> UserError:
    """The error for a weight that cannot be pruned as it should."""
    return UserError(
        f"sparsify: the weight {reader.key} {what}",
        hint=f"{mend}, or leave it as it is: sparsify={{{reader.key!r}: None, ..}}",
    )
