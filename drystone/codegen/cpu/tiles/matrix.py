"""Products in tile registers (AMX): sums stay in them from the start of a loop to its end.

Sums take tiles 0 to 3, the left operand 4 and 5, the right one 6 and 7; tile numbers are constants, for LLVM
spills tiles that are values carried round a loop. The shape of every tile is set when a kernel is entered,
for its first product; a product of other rows, or one of rows that lie outside the left operand, sets it
anew and puts it back.

    %acc = loop k (%zero) { dot } ; store %scratch, %acc
    ->  tilezero 0..3 ; loop k { tileload 4..7 ; tdp 0..3 } ; tilestore 0..3
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from drystone.codegen.cpu.tiles.access import Access, Loaded, unproven
from drystone.codegen.cpu.tiles.usage import Body, inner
from drystone.codegen.cpu.tiles.values import Full, Row, Value
from drystone.codegen.elements import width
from drystone.codegen.ranges import Facts, loop_facts
from drystone.codegen.tile import Dot, Load, Loop, Store, Tile
from drystone.errors import InternalError
from drystone.targets.dots import DotUnit

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering

#: Rows and columns (of 32 bits) of a tile, and the first tiles of the left and the right operand.
_SIDE = 16
_LEFT, _RIGHT = 4, 6
#: Bytes of the description of all tiles; in it: the palette, bytes per row and rows of tile 0.
_CONFIG, _PALETTE, _BYTES, _ROWS = 64, 0, 16, 48
_TILES = 8


def unit_of(low: "Lowering", s: Dot) -> DotUnit | None:
    """The tile unit that does a product; None where its shape is not one of tiles."""
    unit = low.target.dot(s.a.dtype, s.b.dtype, tiles=True) if s.tiles else None
    rows, columns = s.acc.shape
    shaped = rows <= 2 * _SIDE and columns in (_SIDE, 2 * _SIDE)
    if unit is None or not shaped or s.group != unit.group or s.a.shape[1] > unit.depth:
        return None
    return unit if s.acc.dtype == unit.acc else None


def summed(low: "Lowering", loop: Loop, number: int) -> Dot | None:
    """The product in tile registers that carried tile `number` of a loop sums up, here or further in."""
    carried = loop.carried[number]
    users = low.usage.users[carried.number]
    if len(users) != 1:
        return None
    user = users[0][0]
    if isinstance(user, Dot) and user.acc == carried and loop.yielded[number] == user.result:
        return user if unit_of(low, user) is not None else None
    if isinstance(user, Loop) and carried in user.initial:
        inside = user.initial.index(carried)
        return summed(low, user, inside) if loop.yielded[number] == user.results[inside] else None
    return None


def _statement(body: Body, number: int, facts: Facts) -> tuple[Load, Facts] | None:
    """The load that makes a tile, however deep in a body, and what is known there."""
    for s in body:
        if isinstance(s, Load) and s.result.number == number:
            return s, facts
        inside = loop_facts(facts, s) if isinstance(s, Loop) else facts
        found = _statement(inner(s), number, inside)
        if found is not None:
            return found
    return None


class InTiles(Value):
    """Sums in tile registers, until they are stored; afterwards in memory on the stack."""

    def __init__(self, low: "Lowering", tile: Tile) -> None:
        super().__init__(low, tile.number, tile.shape, tile.dtype)
        self.laid: str | None = None

    @property
    def _memory(self) -> str:
        return f"memref<{self.shape[0] * self.shape[1]}x{self.dtype}>"

    def settle(self) -> None:
        """Lay the sums down."""
        if self.laid is None:
            name = self.low.stack(self.shape[0] * self.shape[1], self.dtype, f"sums {self.number}")
            self.lay(_address(self.low, name, self._memory, self.low.emit.number(0)), self.shape[1])
            self.laid = name

    def lay(self, address: str, apart: int) -> None:
        """Store the tiles, rows `apart` elements from each other."""
        for i, (row, column) in enumerate(_places(self.shape)):
            place = _offset(self.low, address, (row * apart + column) * width(self.dtype) // 8)
            _memory_operation(self.low, "tilestored64", i, place, apart * width(self.dtype) // 8)

    def make(self, row: Row, j: int) -> str:
        self.settle()
        at = self.low.emit.number(row[0] * self.shape[1] + j * self.low.lanes)
        return self.low.emit.fresh(f"vector.load {self.laid}[{at}] : {self._memory}, {self.kind}")


def enter(low: "Lowering", loop: Loop, number: int, s: Dot) -> InTiles:
    """Begin the sums of carried tile `number`: the value it has inside the loop."""
    start = low.value(loop.initial[number])
    if isinstance(start, InTiles) and start.laid is None:
        return InTiles(low, loop.carried[number])  # the sums of a loop around this one
    zero = isinstance(start, Full) and start.constant == 0
    if not zero and not (isinstance(start, Loaded) and start.code == s.acc.dtype):
        raise InternalError("sums in tile registers start at zero or are read from memory")
    if low.tile_rows is None:
        low.tile_rows = _rows(s)
    _set_rows(low, loop, s)
    for i, place in enumerate(_places(s.acc.shape)):
        if isinstance(start, Loaded):
            _load(low, i, start.access, place)
        else:
            low.emit.line(f'llvm.call_intrinsic "llvm.x86.tilezero"({_tile(low, i)}) : (i8) -> ()')
    return InTiles(low, loop.carried[number])


def leave(low: "Lowering", loop: Loop, number: int, s: Dot) -> None:
    """The result of a loop; where it set rows of its own, its sums are laid down and the usual rows put
    back."""
    value = InTiles(low, loop.results[number])
    low.values[value.number] = value
    if isinstance(low.value(loop.initial[number]), InTiles) or low.tile_rows is None:
        return
    if _left_rows(low, loop, s) is not None or _rows(s) != low.tile_rows:
        value.settle()
        _configure(low, low.tile_rows)


def dot(low: "Lowering", s: Dot, unit: DotUnit) -> None:
    """One step of the sums."""
    a, b = low.value(s.a), low.value(s.b)
    if not isinstance(a, Loaded) or not isinstance(b, Loaded):
        raise InternalError("operands of tile registers are read from memory")
    for row in range(0, s.acc.shape[0], _SIDE):
        _load(low, _LEFT + row // _SIDE, a.access, (row, 0))
    for column in range(s.acc.shape[1] // _SIDE):
        _load(low, _RIGHT + column, b.access, (0, column * _SIDE * s.group))
    for i, (row, column) in enumerate(_places(s.acc.shape)):
        tiles = [_tile(low, n) for n in (i, _LEFT + row // _SIDE, _RIGHT + column // _SIDE)]
        low.emit.line(f'llvm.call_intrinsic "{unit.intrinsic}"({", ".join(tiles)}) : (i8, i8, i8) -> ()')
    low.values[s.result.number] = InTiles(low, s.result)


def store(low: "Lowering", value: InTiles, s: Store) -> bool:
    """Store sums straight into scratch of their width; False where that is not how they are to be stored."""
    if not s.target.scratch or len(s.at) != 2 or s.at[1].constant != 0 or value.laid is not None:
        return False
    if s.target.shape[1] != value.shape[1] or s.target.held != value.dtype or any(unproven(s, 0, low.facts)):
        return False
    name, flat = low.memory(s.target)
    start = low.form(low.facts.linear(s.at[0]) * (value.shape[1] * width(value.dtype) // 8))
    value.lay(_address(low, name, flat, start), value.shape[1])
    return True


def configured(low: "Lowering") -> tuple[list[str], list[str]]:
    """The lines that begin and end a kernel that uses tile registers."""
    if low.tile_rows is None:
        return [], []
    lines, low.emit.lines = low.emit.lines, []
    _configure(low, low.tile_rows)
    begin, low.emit.lines = low.emit.lines, lines
    return begin, ['  llvm.call_intrinsic "llvm.x86.tilerelease"() : () -> ()']


def _left_rows(low: "Lowering", loop: Loop, s: Dot) -> str | None:
    """How many rows of the left operand there are from its start on; None where all lie inside."""
    found = _statement(loop.body, s.a.number, loop_facts(low.facts, loop))
    if found is None:
        raise InternalError("the left operand of tile registers is read inside the loop of the sums")
    load, facts = found
    dim = next(d for d, size in enumerate(load.sizes) if size is not None)
    if (id(load), dim) in low.assumed or not any(unproven(load, dim, facts)):
        return None
    left = low.form(low.facts.linear(load.source.dim(dim)) - low.facts.linear(load.at[dim]))
    if load.steps[dim] == 1:
        return left
    return low.emit.arithmetic("ceildiv", left, low.emit.number(load.steps[dim]), nonnegative=False)


def _rows(s: Dot) -> list[int]:
    """The rows of every tile for a product."""
    rows = [_SIDE] * _RIGHT + [s.b.shape[0]] * (_TILES - _RIGHT)
    for i, (row, _) in enumerate(_places(s.acc.shape)):
        rows[i] = rows[_LEFT + row // _SIDE] = min(_SIDE, s.acc.shape[0] - row)
    return rows


def _set_rows(low: "Lowering", loop: Loop, s: Dot) -> None:
    """Set the tiles' rows where they are not the usual ones; those outside the left operand are taken out."""
    usual, left = _rows(s), _left_rows(low, loop, s)
    if left is None:
        if usual != low.tile_rows:
            _configure(low, usual)
        return
    emit = low.emit
    rows: list[int | str] = [*usual]
    for i, (row, _) in enumerate(_places(s.acc.shape)):
        some = emit.binary("arith.subi", left, emit.number(row))
        # A tile has a row at least: where none is left, the operand's last one, and its sums are dropped.
        some = emit.binary("arith.maxsi", some, emit.number(1))
        some = emit.binary("arith.minsi", some, emit.number(usual[i]))
        rows[i] = rows[_LEFT + row // _SIDE] = some
    _configure(low, rows)


def _configure(low: "Lowering", rows: Sequence[int | str]) -> None:
    """Describe all tiles: their rows, of 64 bytes; those of the left operand have 4 bytes for each row of the
    right one."""
    emit, flat = low.emit, f"memref<{_CONFIG}xi8>"
    name = low.stack(_CONFIG, "i8", "tile shapes")
    depth = rows[_RIGHT]
    assert isinstance(depth, int)
    wide = [4 * depth if _LEFT <= i < _RIGHT else 64 for i in range(_TILES)]
    spelled = {_PALETTE: 1, **{_BYTES + 2 * i: wide[i] for i in range(_TILES)}}
    for at in range(_CONFIG):
        count = rows[at - _ROWS] if _ROWS <= at < _ROWS + _TILES else spelled.get(at, 0)
        value = emit.constant(count, "i8") if isinstance(count, int) else low.from_index(count, "i8")
        emit.line(f"memref.store {value}, {name}[{emit.number(at)}] : {flat}")
    address = _address(low, name, flat, emit.number(0))
    emit.line(f'llvm.call_intrinsic "llvm.x86.ldtilecfg"({_pointer(low, address)}) : (!llvm.ptr) -> ()')


def _places(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Where each tile of the sums starts."""
    return [(row, column) for row in range(0, shape[0], _SIDE) for column in range(0, shape[1], _SIDE)]


def _tile(low: "Lowering", number: int) -> str:
    return low.emit.at_entry(f"llvm.mlir.constant({number} : i8) : i8")


def _load(low: "Lowering", tile: int, access: Access, place: tuple[int, int]) -> None:
    """Load a tile that starts at `place` of an operand; rows outside are moved inside."""
    rows, columns = (next(a for a in access.axes if a.axis == axis) for axis in range(2))
    if columns.guarded or columns.stride.constant != 1 or columns.step != 1:
        raise InternalError(f"tile registers read rows, not {access.name}")
    size = width(access.code) // 8
    stride = low.index(rows.stride)
    apart = low.emit.binary("arith.muli", stride, low.emit.number(size * rows.step))
    offset = access.offset(place, access.axes)
    address = _address(
        low, access.name, access.flat, low.emit.binary("arith.muli", offset, low.emit.number(size))
    )
    low.emit.line(
        f'llvm.call_intrinsic "llvm.x86.tileloadd64"({_tile(low, tile)}, {_pointer(low, address)}, '
        f"{low.from_index(apart, 'i64')}) : (i8, !llvm.ptr, i64) -> ()"
    )


def _memory_operation(low: "Lowering", name: str, tile: int, address: str, apart: int) -> None:
    stride = low.from_index(low.emit.number(apart), "i64")
    low.emit.line(
        f'llvm.call_intrinsic "llvm.x86.{name}"({_tile(low, tile)}, {_pointer(low, address)}, {stride}) '
        ": (i8, !llvm.ptr, i64) -> ()"
    )


def _address(low: "Lowering", name: str, flat: str, offset: str) -> str:
    """An address as an index: of memory, and so many bytes on."""
    base = low.emit.at_entry(f"memref.extract_aligned_pointer_as_index {name} : {flat} -> index")
    return low.emit.binary("arith.addi", base, offset)


def _offset(low: "Lowering", address: str, bytes_: int) -> str:
    return low.emit.binary("arith.addi", address, low.emit.number(bytes_)) if bytes_ else address


def _pointer(low: "Lowering", address: str) -> str:
    number = low.from_index(address, "i64")
    return low.emit.pure(f"llvm.inttoptr {number} : i64 to !llvm.ptr")
