"""The tile vocabulary: how a kernel is written once for every target.

A kernel family is a Python function that calls the methods of a `TileBuilder`. The builder records a
`TileProgram`: a small tree of statements over tiles (values of fixed shape) and index expressions. The
program is data: it prints (`str(program)`, which also names it), it runs in numpy (`codegen.interpret`), and
each target lowers its statements its own way.

Meaning of the statements
- A tensor parameter has a static or dynamic (None) extent per dimension and lies contiguous in row-major
  order.
- `grid`: a parallel loop nest; its body may run in any order, on any thread, and runs once per start.
- `rounds`: the whole grid again and again, each time with the number of the round; what a round wrote to
  memory all its steps share, the next one may read. A thread does the same steps in every round.
- `loop`: sequential, from `lower` in steps of `step` while below `upper`; carried tiles go round as in
  scf.for.
- `load`: element j of the tile's dimension for tensor dimension d is at `at[d] + j * steps[d]`; `shape[d]`
  None reads one position and drops the dimension. What lies outside the tensor reads as `fill`. A tensor that
  is held as another element than its own is decoded, unless the tile is wanted as it is `held`.
- `store`: the mirror of load; what lies outside the tensor is not written. A tile of the tensor's own element
  is encoded, one of the element it is held as is written as it is.
- `scatter`: each element to a position of its own, or left out; of several with one position one is there.
- `compress`: the elements of a row that are chosen, side by side.
- `prefetch`: a place that is stored to, or read, soon may come into the cache; nothing else happens.
- `gather`: each element of the tile from its own position; positions outside the tensor are clamped into it,
  unless all are promised to lie inside.
- `lookup`: each element is the number in a short list, or in a row of a tile, that the low bits of an integer
  say.
- `shuffle`: each byte is the one in a table of 64, made when the kernel runs, that six low bits say.
- A tensor `collapse`d names the same memory with neighbouring dimensions joined into one; a `part` of one of
  bytes names some of them as a tensor of its own.
- `dot`: acc[m, n] + a[m, k] b[k, n]. A load that only feeds the left side of dots is never held in registers.
  b may be interleaved, as dot units want it: [k / g, n * g] with b[k, n] at [k / g, n * g + k % g].
- `lane_dot`: every lane's own four bytes of a times its own four of b, added to acc.
- `apply`: an operation of the dialects arith or math on every element, tiles broadcast as in numpy.
- `reduce`: along one axis, kept with extent 1.
- `interleave`: rows of groups of g side by side: [k / g, n * g + k % g] of the result is [k, n].
- `split`: every element's bits as several shorter elements side by side, the lowest bits first.
- `reshape`: unit dimensions inserted or removed; nothing moves.
- `beside`: two bodies of which neither touches what the other one writes, so that their instructions may take
  turns; the tiles of the second can be used afterwards.
- `scratch`: working memory private to one grid step, used through load and store.
- `shared`: working memory of all steps and rounds of one call, garbage at its start.
- `same`: a promise that two dynamic extents are equal; lets a target leave out bounds checks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from drystone.codegen.elements import width as element_width
from drystone.codegen.index import Index, index
from drystone.codegen.operands import Scalar, Shared, Tensor, Tile, broadcast, distinct
from drystone.codegen.statements import (
    Apply,
    Beside,
    Compress,
    Dot,
    Full,
    Gather,
    Grid,
    Interleave,
    Iota,
    LaneDot,
    Load,
    Lookup,
    Loop,
    Prefetch,
    Reduce,
    Reshape,
    Scatter,
    Shuffle,
    Split,
    Statement,
    Store,
    Transpose,
    When,
)

__all__ = [
    "Apply",
    "Beside",
    "Compress",
    "Dot",
    "Full",
    "Gather",
    "Grid",
    "Index",
    "Interleave",
    "Iota",
    "LaneDot",
    "Load",
    "Lookup",
    "Loop",
    "Prefetch",
    "Reduce",
    "Reshape",
    "Rounds",
    "Scalar",
    "Scatter",
    "Shared",
    "Shuffle",
    "Split",
    "Statement",
    "Store",
    "Tensor",
    "Tile",
    "TileBuilder",
    "TileProgram",
    "Transpose",
    "When",
    "broadcast",
    "distinct",
    "index",
    "tile_program",
]


#: Where a tile starts in a tensor, and its extents there (None: one position, which is dropped).
Starts = Sequence[Index | int]
Sizes = Sequence[int | None]


@dataclass(frozen=True)
class Rounds:
    """The number of the round, and how many there are; the grid's extents do not depend on it."""

    var: Index
    extent: Index


@dataclass(frozen=True)
class TileProgram:
    """A recorded kernel: its family's name, parameters in call order, scratch, one top-level grid, the pairs
    of extents promised to be equal, the rounds of the grid if there are any, and shared memory."""

    family: str
    tensors: tuple[Tensor, ...]
    scalars: tuple[Scalar, ...]
    scratch: tuple[Tensor, ...]
    grid: Grid
    equal: tuple[tuple[Index, Index], ...] = ()
    rounds: Rounds | None = None
    shared: tuple[Shared, ...] = ()

    @property
    def memory(self) -> tuple[Tensor, ...]:
        """What the kernel is given: its tensors, then those of its shared memory."""
        return (*self.tensors, *(s.tensor for s in self.shared))

    def __str__(self) -> str:
        from drystone.codegen.printing import statements

        head = ", ".join([str(t) for t in self.tensors] + [f"{s.name}: {s.dtype}" for s in self.scalars])
        lines = [f"{self.family}({head})", *(f"  scratch {t}" for t in self.scratch)]
        lines += [f"  shared {s.tensor}" for s in self.shared]
        lines += [f"  same {a} = {b}" for a, b in self.equal]
        if self.rounds is not None:
            lines.append(f"  rounds {self.rounds.var} to {self.rounds.extent}")
        statements((self.grid,), 1, lines)
        return "\n".join(lines) + "\n"


@dataclass
class TileBuilder:
    """Records the statements of one kernel. Made by `tile_program`; families only call its methods."""

    _scratch: list[Tensor] = field(default_factory=list)
    _bodies: list[list[Statement]] = field(default_factory=lambda: [[]])
    _equal: list[tuple[Index, Index]] = field(default_factory=list)
    _shared: list[Shared] = field(default_factory=list)
    _rounds: Rounds | None = None
    _tiles: int = 0
    _vars: int = 0

    def _tile(self, shape: Sequence[int], dtype: str) -> Tile:
        self._tiles += 1
        return Tile(self._tiles - 1, tuple(shape), dtype)

    def _var(self) -> Index:
        self._vars += 1
        return Index("var", (f"i{self._vars - 1}",))

    def _emit(self, statement: Statement) -> None:
        self._bodies[-1].append(statement)

    @contextmanager
    def _body(self) -> Iterator[list[Statement]]:
        self._bodies.append([])
        yield self._bodies[-1]
        self._bodies.pop()

    def scratch(self, shape: Sequence[int], dtype: str) -> Tensor:
        """Working memory of one grid step."""
        tensor = Tensor(f"s{len(self._scratch)}", dtype, tuple(shape), scratch=True)
        self._scratch.append(tensor)
        return tensor

    def shared(self, shape: Sequence[Index | int], dtype: str) -> Tensor:
        """Working memory of the call; an extent is a number or one of a parameter."""
        extents = tuple(map(index, shape))
        if any(e.kind not in ("const", "dim") for e in extents):
            raise ValueError(f"shared memory of {[str(e) for e in extents]}")
        tensor = Tensor(f"w{len(self._shared)}", dtype, tuple(e.constant for e in extents))
        self._shared.append(Shared(tensor, extents))
        for axis, extent in enumerate(extents):
            self.same(tensor.dim(axis), extent)
        return tensor

    def same(self, a: Index | int, b: Index | int) -> None:
        """Promise that two extents are equal whenever the kernel is called."""
        if index(a) != index(b):
            self._equal.append((index(a), index(b)))

    def grid(self, axes: Sequence[tuple[Index | int, int]], body: Callable[..., None]) -> None:
        """Run body(start, ...) for the starts of every axis (extent, step), in parallel. Once, at the top."""
        names = tuple(self._var() for _ in axes)
        with self._body() as statements:
            body(*names)
        extents = tuple(index(extent) for extent, _ in axes)
        self._emit(Grid(names, extents, tuple(step for _, step in axes), tuple(statements)))

    def rounds(self, extent: Index | int, body: Callable[[Index], None]) -> None:
        """Run the grid that body(round) makes `extent` times, one after the other. Once, around the grid."""
        self._rounds = Rounds(self._var(), index(extent))
        body(self._rounds.var)

    def loop(
        self,
        upper: Index | int,
        step: int,
        body: Callable[..., Sequence[Tile] | Tile | None],
        carry: Sequence[Tile] = (),
        lower: Index | int = 0,
    ) -> tuple[Tile, ...]:
        """body(start, *carried) gives the tiles carried on; the last ones are returned."""
        var = self._var()
        carried = tuple(self._tile(tile.shape, tile.dtype) for tile in carry)
        with self._body() as statements:
            out = body(var, *carried)
        yielded = () if out is None else (out,) if isinstance(out, Tile) else tuple(out)
        if [(t.shape, t.dtype) for t in yielded] != [(t.shape, t.dtype) for t in carried]:
            raise ValueError(f"loop carries {carried} but its body yields {yielded}")
        results = tuple(self._tile(tile.shape, tile.dtype) for tile in carry)
        self._emit(
            Loop(
                var,
                index(lower),
                index(upper),
                step,
                carried,
                tuple(carry),
                tuple(statements),
                yielded,
                results,
            )
        )
        return results

    def when(self, left: Index | int, right: Index | int, body: Callable[[], None]) -> None:
        """Run body() where left < right."""
        with self._body() as statements:
            body()
        self._emit(When(index(left), index(right), tuple(statements)))

    def beside(self, first: Callable[[], None], second: Callable[[], Sequence[Tile]]) -> Sequence[Tile]:
        """first() and second(), whose instructions may take turns; the tiles that the second gives."""
        with self._body() as ones:
            first()
        with self._body() as others:
            out = second()
        self._emit(Beside(tuple(ones), tuple(others)))
        return out

    def load(
        self,
        source: Tensor,
        at: Starts,
        shape: Sizes,
        *,
        steps: Sequence[int] | None = None,
        fill: float = 0.0,
        held: bool = False,
    ) -> Tile:
        """A tile of `source`, with `held` of the element in memory; see the module's text."""
        result = self._tile([n for n in shape if n is not None], source.held if held else source.dtype)
        where = tuple(index(i) for i in at)
        self._emit(Load(result, source, where, tuple(shape), tuple(steps or [1] * len(where)), fill))
        return result

    def gather(self, source: Tensor, indices: Sequence[Tile], *, inside: bool = False) -> Tile:
        """A tile of elements of `source` at positions given by one integer tile per dimension; `inside`: a
        promise that all of them lie in it."""
        if len(indices) != len(source.shape):
            raise ValueError(f"gather from {source} with {len(indices)} indices")
        result = self._tile(broadcast([tile.shape for tile in indices]), source.dtype)
        self._emit(Gather(result, source, tuple(indices), inside))
        return result

    def lookup(self, index: Tile, numbers: Sequence[float] | Tile) -> Tile:
        """For each element of an integer tile (i32) the f32 that its low bits are the place of in a list, or
        in a row of a tile; one row of indices is used with every row of that."""
        count = numbers.shape[-1] if isinstance(numbers, Tile) else len(numbers)
        if count & (count - 1) or index.dtype != "i32":
            raise ValueError(f"lookup of {index.dtype} among {count} numbers")
        if not isinstance(numbers, Tile):
            result = self._tile(index.shape, "f32")
            self._emit(Lookup(result, index, tuple(numbers)))
            return result
        if numbers.dtype != "f32" or count > 16:
            raise ValueError(f"lookup among {count} numbers {numbers.dtype} of a tile")
        outer = broadcast([index.shape[:-1], numbers.shape[:-1]])
        result = self._tile([*outer, index.shape[-1]], "f32")
        self._emit(Lookup(result, index, numbers))
        return result

    def shuffle(self, table: Tile, index: Tile, dtype: str | None = None) -> Tile:
        """For each byte of an index tile (ui8) the byte of a table, [1, 64], that its six low bits say;
        dtype: what it is taken for, if that is another one than the table's."""
        if table.shape != (1, 64) or element_width(table.dtype) != 8 or index.dtype != "ui8":
            raise ValueError(f"shuffle of {table.shape} {table.dtype} by {index.dtype}")
        result = self._tile(index.shape, dtype or table.dtype)
        self._emit(Shuffle(result, table, index))
        return result

    def store(
        self,
        target: Tensor,
        at: Starts,
        value: Tile,
        shape: Sizes | None = None,
        *,
        steps: Sequence[int] | None = None,
    ) -> None:
        """Write a tile; `shape` (as in load) defaults to the tile's own where the ranks agree."""
        sizes = tuple(value.shape if shape is None else shape)
        if tuple(n for n in sizes if n is not None) != value.shape or len(sizes) != len(target.shape):
            raise ValueError(f"store of {value.shape} into {target} with sizes {sizes}")
        where = tuple(index(i) for i in at)
        self._emit(Store(value, target, where, sizes, tuple(steps or [1] * len(where))))

    def scatter(self, target: Tensor, indices: Sequence[Tile], value: Tile, keep: Tile) -> None:
        """Write those elements of a tile that `keep` (i1) says to positions given by one integer tile per
        dimension, which all lie inside."""
        if len(indices) != len(target.shape) or any(t.shape != value.shape for t in (*indices, keep)):
            raise ValueError(f"scatter of {value.shape} into {target} with {len(indices)} indices")
        self._emit(Scatter(value, target, tuple(indices), keep))

    def compress(self, target: Tensor, at: Index | int, value: Tile, keep: Tile) -> None:
        """Write those elements of one row [1, n] that `keep` (i1) says side by side from `at` on into a
        tensor of one dimension, inside of which all lie."""
        if len(target.shape) != 1 or value.shape[0] != 1 or keep.shape != value.shape:
            raise ValueError(f"compress of {value.shape} into {target} by {keep.shape}")
        self._emit(Compress(value, target, index(at), keep))

    def prefetch(
        self, target: Tensor, at: Starts, shape: Sizes, *, read: bool = False, far: bool = False
    ) -> None:
        """Ask for the memory that a store to this place writes to, or a load reads; `shape` as in load."""
        self._emit(Prefetch(target, tuple(map(index, at)), tuple(shape), read, far))

    def full(self, value: float | int | Scalar | Index, shape: Sequence[int], dtype: str) -> Tile:
        """A tile of one value."""
        result = self._tile(shape, dtype)
        self._emit(Full(result, value))
        return result

    def iota(self, start: Index | int, shape: Sequence[int], axis: int, dtype: str = "i64") -> Tile:
        """Positions start, start + 1, ... along `axis`."""
        result = self._tile(shape, dtype)
        self._emit(Iota(result, index(start), axis))
        return result

    def apply(self, op: str, *args: Tile, dtype: str | None = None, **attributes: str) -> Tile:
        """One arith or math operation on every element; dtype is that of the first argument unless given."""
        result = self._tile(broadcast([tile.shape for tile in args]), dtype or args[0].dtype)
        self._emit(Apply(result, op, args, tuple(sorted(attributes.items()))))
        return result

    def dot(self, acc: Tile, a: Tile, b: Tile, *, tiles: bool = False) -> Tile:
        """acc + a @ b; b as it is or interleaved; `tiles`: in tile registers."""
        (m, n), k, (rows, columns) = acc.shape, a.shape[1], b.shape
        if a.shape[0] != m or k % rows or columns != n * (k // rows):
            raise ValueError(f"dot of {a.shape} and {b.shape} into {acc.shape}")
        result = self._tile(acc.shape, acc.dtype)
        self._emit(Dot(result, acc, a, b, tiles))
        return result

    def lane_dot(self, acc: Tile, a: Tile, b: Tile) -> Tile:
        """acc [m, n] (i32) and, for each of its elements, the products of four neighbouring bytes of a
        [m, 4 n] (ui8) with those of b (i8)."""
        rows, lanes = acc.shape
        if a.shape != (rows, 4 * lanes) or a.shape != b.shape or (a.dtype, b.dtype) != ("ui8", "i8"):
            raise ValueError(f"lane dot of {a.shape} {a.dtype} and {b.shape} {b.dtype} into {acc.shape}")
        result = self._tile(acc.shape, acc.dtype)
        self._emit(LaneDot(result, acc, a, b))
        return result

    def reduce(self, op: str, arg: Tile, axis: int) -> Tile:
        """Combine along `axis`, which stays with extent 1."""
        shape = list(arg.shape)
        shape[axis] = 1
        result = self._tile(shape, arg.dtype)
        self._emit(Reduce(result, op, arg, axis))
        return result

    def transpose(self, arg: Tile, permutation: Sequence[int] = (1, 0)) -> Tile:
        """The tile with its dimensions permuted."""
        result = self._tile([arg.shape[p] for p in permutation], arg.dtype)
        self._emit(Transpose(result, arg, tuple(permutation)))
        return result

    def interleave(self, arg: Tile, group: int) -> Tile:
        """The rows of every `group` side by side, element by element."""
        rows, columns = arg.shape
        if rows % group:
            raise ValueError(f"{rows} rows in groups of {group}")
        result = self._tile([rows // group, columns * group], arg.dtype)
        self._emit(Interleave(result, arg))
        return result

    def split(self, arg: Tile, dtype: str) -> Tile:
        """The bits of integers of 32 bits as shorter integers side by side."""
        count = 32 // element_width(dtype)
        result = self._tile([*arg.shape[:-1], arg.shape[-1] * count], dtype)
        self._emit(Split(result, arg))
        return result

    def reshape(self, arg: Tile, shape: Sequence[int]) -> Tile:
        """The tile with unit dimensions inserted or removed."""
        if [n for n in shape if n != 1] != [n for n in arg.shape if n != 1]:
            raise ValueError(f"reshape of {arg.shape} to {tuple(shape)} moves elements")
        if tuple(shape) == arg.shape:
            return arg
        result = self._tile(shape, arg.dtype)
        self._emit(Reshape(result, arg))
        return result

    def element(self, tile: Tile, within: tuple[int, int] | None = None) -> Index:
        """The only element of an integer tile, as an index. within: a promise of the least and the largest
        that it can be, which lets a target leave out bounds checks."""
        return Index("element", (tile.number, *(within or ())))


def tile_program(
    family: str,
    tensors: Sequence[Tensor],
    body: Callable[[TileBuilder], None],
    scalars: Sequence[Scalar] = (),
) -> TileProgram:
    """Record what `body` does to a builder; it must make exactly one top-level grid."""
    builder = TileBuilder()
    body(builder)
    (top,) = builder._bodies[0]
    if not isinstance(top, Grid):
        raise ValueError(f"{family}: a tile program is one grid, not {type(top).__name__}")
    return TileProgram(
        family,
        tuple(tensors),
        tuple(scalars),
        tuple(builder._scratch),
        top,
        tuple(builder._equal),
        builder._rounds,
        tuple(builder._shared),
    )
