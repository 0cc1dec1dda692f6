"""Loads and stores: offsets into flat memory, and the guards of what is not proven to lie inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from drystone.codegen.cpu.tiles.rounded import PACKED, Rounded, packed, rounded, runs
from drystone.codegen.cpu.tiles.usage import memory_of
from drystone.codegen.cpu.tiles.values import Interleaved, Row, Value
from drystone.codegen.elements import width
from drystone.codegen.ranges import Facts, Linear
from drystone.codegen.tile import Index, Load, Prefetch, Store, index
from drystone.errors import InternalError

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering

#: Bytes that come into a cache at once.
_LINE = 64


@dataclass(frozen=True)
class Axis:
    """One dimension of the tensor in an access: start, step, tile axis (None: one position), extent, stride
    in memory, and whether positions may lie below 0 or beyond the end."""

    at: Linear
    step: int
    axis: int | None
    extent: Index
    stride: Index
    below: bool
    beyond: bool

    @property
    def guarded(self) -> bool:
        """Whether anything is to be checked."""
        return self.below or self.beyond


def unproven(s: Load | Store | Prefetch, dim: int, facts: Facts) -> tuple[bool, bool]:
    """Whether an access may lie below 0, or beyond the end, in a dimension."""
    tensor = s.source if isinstance(s, Load) else s.target
    return facts.outside(s.at[dim], ((s.sizes[dim] or 1) - 1) * s.steps[dim] + 1, tensor.dim(dim))


class Access:
    """Where the elements of a load or store lie."""

    def __init__(self, low: "Lowering", s: Load | Store | Prefetch) -> None:
        self.low = low
        self.shape = tuple(n for n in s.sizes if n is not None)
        tensor = s.source if isinstance(s, Load) else s.target
        self.code = tensor.held
        self.name, self.flat = low.memory(tensor)
        self.axes: list[Axis] = []
        axis = 0
        for dim, (at, size, step) in enumerate(zip(s.at, s.sizes, s.steps, strict=True)):
            stride = index(1)
            for inner in range(dim + 1, len(tensor.shape)):
                extent = tensor.dim(inner)
                stride = stride * low.facts.equal.get(extent, extent)
            safe = (id(s), dim) in low.assumed
            below, beyond = (False, False) if safe else unproven(s, dim, low.facts)
            place = None if size is None else axis
            axis += size is not None
            start = low.facts.linear(at)
            self.axes.append(Axis(start, step, place, tensor.dim(dim), stride, below, beyond))

    @property
    def along(self) -> Axis | None:
        """The dimension that runs along the vector."""
        last = len(self.shape) - 1
        return next((a for a in self.axes if a.axis is not None and a.axis == last), None)

    def position(self, a: Axis, place: Sequence[int]) -> Linear:
        """The position in one dimension of a tile's element."""
        return a.at + Linear((), 0 if a.axis is None else place[a.axis] * a.step)

    def offset(self, place: Sequence[int], clamped: Sequence[Axis]) -> str:
        """The flat offset of an element; positions in the `clamped` dimensions are moved into the tensor."""
        low, total = self.low, Linear()
        for a in self.axes:
            where = self.position(a, place)
            if a in clamped and a.guarded:
                where = Linear(((Index("name", (self.clamp(a, where),)), 1),))
            factor = a.stride.constant
            if factor is not None:
                total += where * factor
            elif where.terms:
                product = low.emit.binary("arith.muli", low.form(where), low.index(a.stride))
                total += Linear(((Index("name", (product,)), 1),))
            else:
                total += low.facts.linear(a.stride) * where.constant
        return low.form(total)

    def clamp(self, a: Axis, where: Linear) -> str:
        """A position moved into the tensor."""
        emit, name = self.low.emit, self.low.form(where)
        if a.beyond:
            last = self.low.form(self.low.facts.linear(a.extent) - Linear((), 1))
            name = emit.binary("arith.minsi", name, last)
        # Last, so that an empty tensor is read at its start and not before it.
        return emit.binary("arith.maxsi", name, emit.number(0)) if a.below or a.beyond else name

    def inside(self, place: Sequence[int], axes: Sequence[Axis]) -> str | None:
        """Whether a position lies inside in all of `axes`; None where that is known."""
        emit, held = self.low.emit, None
        for a in axes:
            if not a.guarded:
                continue
            where = self.low.form(self.position(a, place))
            checks = []
            if a.below:
                checks.append(emit.compare("sge", where, emit.number(0)))
            if a.beyond:
                checks.append(emit.compare("slt", where, self.low.index(a.extent)))
            for check in checks:
                held = check if held is None else emit.binary("arith.andi", held, check, "i1")
        return held

    def lanes(self, place: Sequence[int], live: int) -> str | None:
        """The mask of a vector that starts at `place`; None where all lanes are live."""
        low, emit, a = self.low, self.low.emit, self.along
        mask = None
        kind = low.vector("i1")
        if live < low.lanes:
            mask = emit.ramp([int(i < live) for i in range(low.lanes)], "i1")
        if a is None or not a.guarded:
            return mask
        where = self.position(a, place)
        checks = []
        if a.beyond:
            left = low.form(low.facts.linear(a.extent) - where)
            if a.step != 1:
                left = emit.arithmetic("ceildiv", left, emit.number(a.step), nonnegative=False)
            checks.append(emit.pure(f"vector.create_mask {left} : {kind}"))
        if a.below:
            first = low.spread(low.from_index(low.form(where), "i32"), "i32")
            steps = emit.ramp([i * a.step for i in range(low.lanes)], "i32")
            zero = emit.constant(0, low.vector("i32"))
            sums = emit.binary("arith.addi", first, steps, low.vector("i32"))
            checks.append(emit.compare("sge", sums, zero, low.vector("i32")))
        for check in checks:
            mask = check if mask is None else emit.binary("arith.andi", mask, check, kind)
        return mask

    def strides(self) -> str | None:
        """Offsets of a vector's lanes from its first, as i32; None where they are neighbours."""
        low, a = self.low, self.along
        if a is None:
            return low.emit.constant(0, low.vector("i32"))
        constant = a.stride.constant
        if constant is not None:
            if constant * a.step == 1:
                return None
            return low.emit.ramp([i * a.step * constant for i in range(low.lanes)], "i32")
        stride = low.spread(low.from_index(low.index(a.stride), "i32"), "i32")
        steps = low.emit.ramp([i * a.step for i in range(low.lanes)], "i32")
        return low.emit.binary("arith.muli", stride, steps, low.vector("i32"))


class Loaded(Value):
    """A tile that is read from memory when it is asked for."""

    def __init__(self, low: "Lowering", s: Load) -> None:
        super().__init__(low, s.result.number, s.result.shape, s.result.dtype)
        self.access, self.fill = Access(low, s), s.fill
        self.code = self.access.code
        self.reads = frozenset({memory_of(s.source)})
        self.direct = True
        self.unseen: set[int] = set()
        for dim, a in enumerate(self.access.axes):
            if a.guarded and low.usage.rows_unseen(s, dim, low.facts.equal):
                self.unseen.add(dim)

    def _checked(self, axes: Sequence[Axis]) -> list[Axis]:
        return [a for dim, a in enumerate(self.access.axes) if a in axes and dim not in self.unseen]

    @property
    def _memory(self) -> str:
        """The element that is loaded; flags are bytes in memory."""
        return "i8" if self.code == "i1" else self.code

    def _loaded(self, op: str) -> str:
        """Emit a load, and decode what it gives."""
        low, vector = self.low, not self.scalar and op.startswith("vector")
        name = low.emit.fresh(op)
        if self.code != "i1":
            return low.convert(name, self.code, self.dtype, vector=vector)
        kinds = [low.vector(t) if vector else t for t in ("i8", "i1")]
        return low.emit.pure(f"arith.trunci {name} : {kinds[0]} to {kinds[1]}")

    def make(self, row: Row, j: int) -> str:
        if self.scalar:
            return self._element((*row, 0) if self.shape else ())
        low, access = self.low, self.access
        place = (*row, j * low.lanes)
        others = [a for a in access.axes if a is not access.along]
        offset = access.offset(place, others)
        mask, strides = access.lanes(place, self.live(j)), access.strides()
        inside = access.inside(place, self._checked(others))
        kind, held = self.kind, low.vector(self._memory)
        memory = f"{access.name}[{offset}]"
        fill = low.emit.constant(self.fill, held)
        if strides is not None:
            every = mask or low.emit.constant(1, low.vector("i1"))
            types = f"{access.flat}, {low.vector('i32')}, {low.vector('i1')}, {held} into {held}"
            part = self._loaded(f"vector.gather {memory} [{strides}], {every}, {fill} : {types}")
        elif mask is not None:
            types = f"{access.flat}, {low.vector('i1')}, {held} into {held}"
            part = self._loaded(f"vector.maskedload {memory}, {mask}, {fill} : {types}")
        else:
            part = self._loaded(f"vector.load {memory} : {access.flat}, {held}")
        if inside is None:
            return part
        return low.emit.pure(f"arith.select {inside}, {part}, {low.emit.constant(self.fill, kind)} : {kind}")

    def element(self, position: tuple[int, ...]) -> str:
        """One element, straight from memory while that holds it."""
        return self._element(position) if self.direct else super().element(position)

    def word(self, position: tuple[int, ...], count: int) -> str:
        """Neighbouring elements, which lie side by side."""
        low, access = self.low, self.access
        key = (self.number, "word", position, count)
        known = low.emit.recall(key)
        if known is not None:
            return known
        offset = access.offset(position, access.axes)
        one = low.word(f"{access.name}[{offset}] : {access.flat}", count, self.code)
        inside = access.inside(position, self._checked(access.axes))
        if inside is not None:
            one = low.emit.pure(f"arith.select {inside}, {one}, {low.emit.constant(0, 'i32')} : i32")
        return low.emit.remember(key, one)

    def wide(self, row: Row, j: int, group: int) -> str:
        """Straight from memory; what lies outside is zero."""
        low, access, along = self.low, self.access, self.access.along
        count = low.lanes * group
        if along is None or along.below or access.strides() is not None or self.last % count:
            raise InternalError(f"the lanes of an interleaved operand lie elsewhere: {access.name}")
        kind, place = f"vector<{count}x{self.code}>", (*row, j * count)
        others = [a for a in access.axes if a is not along]
        memory = f"{access.name}[{access.offset(place, others)}]"
        inside = access.inside(place, self._checked(others))
        zero = low.emit.constant(0, kind)
        if along.guarded:
            left = low.form(low.facts.linear(along.extent) - access.position(along, place))
            mask = low.emit.pure(f"vector.create_mask {left} : vector<{count}xi1>")
            types = f"{access.flat}, vector<{count}xi1>, {kind} into {kind}"
            part = low.emit.fresh(f"vector.maskedload {memory}, {mask}, {zero} : {types}")
        else:
            part = low.emit.fresh(f"vector.load {memory} : {access.flat}, {kind}")
        return part if inside is None else low.emit.pure(f"arith.select {inside}, {part}, {zero} : {kind}")

    def _element(self, position: tuple[int, ...]) -> str:
        low, access = self.low, self.access
        key = (self.number, "element", position)
        known = low.emit.recall(key)
        if known is not None:
            return known
        offset = access.offset(position, access.axes)
        one = self._loaded(f"memref.load {access.name}[{offset}] : {access.flat}")
        inside = access.inside(position, self._checked(access.axes))
        if inside is not None:
            fill = low.emit.constant(self.fill, self.dtype)
            one = low.emit.pure(f"arith.select {inside}, {one}, {fill} : {self.dtype}")
        return low.emit.remember(key, one)


def store(low: "Lowering", s: Store) -> None:
    """Write a tile, row by row; a row that lies outside is skipped by a branch."""
    value, access = low.value(s.value), Access(low, s)
    if isinstance(value, Interleaved) and value.paired() and _plain(access, value):
        _store_pairs(low, value, access)
        return
    found = rounded(low, value)
    if found is not None and _plain(access, value):
        _store_rounded(low, value, found, access)
        return
    checked = access.axes if value.scalar else [a for a in access.axes if a is not access.along]
    for row in value.rows():
        parts = [value.part(row, j) for j in range(value.vectors)]
        places = [((*row, j * low.lanes) if value.shape else ()) for j in range(value.vectors)]
        inside = access.inside(places[0], checked)
        masks = [None if value.scalar else access.lanes(p, value.live(j)) for j, p in enumerate(places)]
        if inside is None:
            _write_row(low, value, access, places, parts, masks)
        else:
            with low.emit.region(f"scf.if {inside} {{"):
                _write_row(low, value, access, places, parts, masks)


def prefetch(low: "Lowering", s: Prefetch) -> None:
    """Ask for every line of a tile, row by row; rows outside are moved inside."""
    access = Access(low, s)
    last = access.shape[-1] if access.shape else 1
    line, way = _LINE * 8 // width(access.code), "read" if s.read else "write"
    near = 2 if s.far else 3
    for row in product(*map(range, access.shape[:-1])):
        for column in range(0, last, line):
            place = (*row, column) if access.shape else ()
            memory = f"{access.name}[{access.offset(place, access.axes)}]"
            low.emit.line(f"memref.prefetch {memory}, {way}, locality<{near}>, data : {access.flat}")


def _plain(access: Access, value: Value) -> bool:
    """Whether rows lie in memory as they are, all of them inside."""
    return access.code == value.dtype and access.strides() is None and not any(a.guarded for a in access.axes)


def _store_pairs(low: "Lowering", value: Interleaved, access: Access) -> None:
    """Write rows of pairs, two vectors' worth at a time."""
    count = 2 * low.lanes
    kind = f"vector<{count}x{value.dtype}>"
    for row in value.rows():
        for j in range(value.last // count):
            memory = f"{access.name}[{access.offset((*row, j * count), ())}]"
            low.emit.line(f"vector.store {value.wide(row, j, 2)}, {memory} : {access.flat}, {kind}")


def _store_rounded(low: "Lowering", value: Value, found: Rounded, access: Access) -> None:
    """Write rows of rounded bytes, as many as one register holds at a time."""
    places = list(value.places())
    for first in range(0, len(places), PACKED):
        some = places[first : first + PACKED]
        if len(some) < PACKED:
            some += [some[-1]] * (PACKED - len(some))
        whole, kind = packed(low, found, some), f"vector<{PACKED * low.lanes}xi8>"
        for row, j, at, count in runs(places[first : first + PACKED]):
            memory = f"{access.name}[{access.offset((*row, j * low.lanes), ())}]"
            part, held = whole, f"vector<{count * low.lanes}xi8>"
            if count < PACKED:
                cut = f"offsets = [{at * low.lanes}], sizes = [{count * low.lanes}], strides = [1]"
                part = low.emit.pure(f"vector.extract_strided_slice {whole} {{{cut}}} : {kind} to {held}")
            low.emit.line(f"vector.store {part}, {memory} : {access.flat}, {held}")


def _write_row(
    low: "Lowering",
    value: Value,
    access: Access,
    places: list[tuple[int, ...]],
    parts: list[str],
    masks: list[str | None],
) -> None:
    for place, given, mask in zip(places, parts, masks, strict=True):
        memory = f"{access.name}[{access.offset(place, ())}]"
        element = "i8" if access.code == "i1" else access.code
        held = element if value.scalar else low.vector(element)
        if value.dtype == "i1":
            part = low.emit.pure(f"arith.extui {given} : {value.kind} to {held}")
        else:
            part = low.convert(given, value.dtype, element, vector=not value.scalar)
        strides = None if value.scalar else access.strides()
        if value.scalar:
            low.emit.line(f"memref.store {part}, {memory} : {access.flat}")
        elif strides is not None:
            every = mask or low.emit.constant(1, low.vector("i1"))
            types = f"{access.flat}, {low.vector('i32')}, {low.vector('i1')}, {held}"
            low.emit.line(f"vector.scatter {memory} [{strides}], {every}, {part} : {types}")
        elif mask is not None:
            low.emit.line(
                f"vector.maskedstore {memory}, {mask}, {part} : {access.flat}, {low.vector('i1')}, {held}"
            )
        else:
            low.emit.line(f"vector.store {part}, {memory} : {access.flat}, {held}")
