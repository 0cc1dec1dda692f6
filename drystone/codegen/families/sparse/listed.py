"""Matrices of which kernels read a list of elements for every output."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from drystone.codegen.families.codes.decoding import CodedMatrix, parts
from drystone.codegen.families.sparse.structured import values_of
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder
from drystone.errors import InternalError
from drystone.ir.encoding import Codes, Compressed, Joined, Sparse, Stacked, Words

#: Steps of a grid for each thread, where each turns columns of its own, so that all end at about the same
#: time. Registers of sums that are under way at once.
_STEPS_OF_THREAD, _CHAINS = 2, 4


@dataclass(frozen=True)
class ListedMatrix:
    """A matrix of `outputs` lists, or the one that a tensor's first axis and all others together are, as a
    kernel is given it: `Joined` parts, each a tensor that lies in the parameter's bytes. In strips, the lists
    of the first `strip` columns come first, then the next ones'."""

    pattern: Compressed
    tensors: Mapping[str, Tensor]
    outputs: int  #: lists
    depth: int  #: columns
    group: int = 1  #: neighbouring inputs of a block that lie side by side
    coded: CodedMatrix | None = None  #: codes of blocks, in panels of outputs of one after the other
    factor: Tile | None = None  #: of bytes: their scale, [1, 1]

    @property
    def block(self) -> tuple[int, int]:
        """Outputs and inputs of a block."""
        axis = self.pattern.axis
        return self.pattern.block[axis], self.pattern.block[1 - axis]

    @staticmethod
    def of(encoding: Joined, shape: Sequence[int], tensor: Tensor) -> "ListedMatrix":
        """The matrix that lies in a parameter."""
        base = encoding.base
        if not isinstance(base, Sparse) or not isinstance(base.pattern, Compressed):
            raise InternalError(f"no kernel reads lists of {encoding}")
        axis, pattern, values = base.pattern.axis, base.pattern, base.values
        named, matrix = parts(encoding, shape, tensor), (shape[0], prod(shape[1:]))
        made = ListedMatrix(pattern, named, -(-matrix[axis] // pattern.block[axis]), matrix[1 - axis])
        if isinstance(values, Stacked) and isinstance(values.base, Codes):
            layout, inputs = values.base.layout, made.block[1]
            assert isinstance(layout, Words)
            held = values_of(values.base, named, layout.width, inputs)
            return replace(made, coded=held if isinstance(held, CodedMatrix) else None)
        pack = values.pack if isinstance(values, Codes) else None
        if pack is None:
            return made
        # A block's inputs down, its outputs, each with a group of inputs, across; or the other way round.
        (outputs, inputs), group = made.block, (pack.inner_tiles or (1,))[0]
        down = pack.outer_perm == (0, axis + 1, 2 - axis)
        inner = (outputs, inputs) if down else (inputs // group, outputs * group)
        held = named["values"].reshaped((pattern.count, *inner))
        return replace(made, tensors=named | {"values": held}, group=group)

    @property
    def strip(self) -> int:
        """Columns of a strip."""
        return self.pattern.strip or self.depth

    @property
    def strips(self) -> int:
        """How many there are."""
        return -(-self.depth // self.strip)

    def bounds(self, t: TileBuilder, strip: Index, output: Index) -> tuple[Index, Index]:
        """Where the list of an output in a strip begins, and where it ends."""
        at, count = strip * self.outputs + output, self.pattern.count
        starts = self.tensors["starts"]
        first, end = (t.element(t.load(starts, [at + d], [None]), (0, count)) for d in (0, 1))
        return first, end

    def column(self, t: TileBuilder, j: Index) -> Index:
        """The column of an element or block, counted from its strip's first."""
        last = -(-self.strip // self.block[1]) - 1
        return t.element(t.load(self.tensors["index"], [j], [None]), (0, max(last, 0)))

    def columns(self, t: TileBuilder, j: Index, count: int) -> Tile:
        """The columns of some elements, counted from their strip's first, [1, count], i32."""
        held = t.reshape(t.load(self.tensors["index"], [j], [count]), (1, count))
        return held if held.dtype == "i32" else t.apply("arith.extsi", held, dtype="i32")

    def prepared(self, t: TileBuilder) -> "ListedMatrix":
        """With what its elements are multiplied with, where these are bytes."""
        scale = None if self.block != (1, 1) else self.tensors.get("values.scale")
        if scale is None:
            return self
        return replace(self, factor=t.reshape(t.load(scale, [], []), (1, 1)))

    def numbers(self, t: TileBuilder, j: Index, count: int) -> Tile:
        """Some elements, [1, count]."""
        held = t.reshape(t.load(self.tensors["values"], [j], [count]), (1, count))
        if self.factor is None:
            return held
        real = t.apply("arith.sitofp", held, dtype=self.factor.dtype)
        return t.apply("arith.mulf", real, self.factor)


def steps_of_outputs(groups: int | None, threads: int) -> int:
    """Parts of the outputs that are steps of a grid, where each turns what it multiplies with, for so many
    groups of rows (None: rows that are not turned): one for each thread where all turn the same, which takes
    its time, none where each thread has as many groups of its own, and enough for all to be busy else."""
    if groups is None:
        return _STEPS_OF_THREAD * threads
    if groups % threads == 0:
        return 1
    return threads if groups == 1 else -(-_STEPS_OF_THREAD * threads // groups)


def added(
    t: TileBuilder,
    sums: Tile,
    bounds: tuple[Index, Index],
    product: Callable[[Index, Tile], Tile],
    lanes: int,
) -> Tile:
    """sums [1, width] and the products with the elements of a list, each of which `product` adds to a tile:
    several side by side where the sums are few registers, of so many lanes, so that none waits for the one
    before."""
    first, end = bounds
    chains = max(1, _CHAINS * lanes // sums.shape[-1])

    def several(i: Index, *accs: Tile) -> list[Tile]:
        return [product(first + i * chains + c, acc) for c, acc in enumerate(accs)]

    if chains > 1:
        zeros = [t.full(0, sums.shape, sums.dtype) for _ in range(chains - 1)]
        rounds = (end - first) // chains
        sums, *others = t.loop(rounds, 1, several, [sums, *zeros])
        first = first + rounds * chains
        for other in others:
            sums = t.apply("arith.addf", sums, other)
    return t.loop(end, 1, product, [sums], lower=first)[0]
