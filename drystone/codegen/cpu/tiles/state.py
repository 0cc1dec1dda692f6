"""The state of lowering one tile program, and the helpers every statement's lowering uses."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from drystone.codegen.cpu.tiles.emit import Emitter
from drystone.codegen.cpu.tiles.usage import Body, Usage, stores, uses
from drystone.codegen.elements import is_float, width
from drystone.codegen.ranges import Facts, Linear
from drystone.codegen.tile import Index, Tensor, Tile, TileProgram
from drystone.targets.target import CpuTarget

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.values import Value


def memref(tensor: Tensor) -> str:
    """The type of a parameter."""
    extents = "".join("?x" if n is None else f"{n}x" for n in tensor.shape)
    return f"memref<{extents}{tensor.held}>"


class Lowering:
    """One version of a program's body being lowered: the emitter, what is known of indices, the values of
    tiles."""

    def __init__(self, program: TileProgram, emit: Emitter, target: CpuTarget, usage: Usage) -> None:
        self.program, self.emit, self.target, self.usage = program, emit, target, usage
        self.lanes = target.lanes(32)
        self.facts = Facts()
        #: (statement's id, dimension) of accesses that the version's condition has made safe.
        self.assumed: set[tuple[int, int]] = set()
        self.values: dict[int, Value] = {}
        #: Rows of every tile register for the kernel's first product in them; None before there is one.
        self.tile_rows: list[int] | None = None
        self.later: list[frozenset[int]] = [frozenset()]

    # Types and conversions

    def vector(self, dtype: str) -> str:
        """The vector type every program of this width uses for an element: `lanes` of them."""
        return f"vector<{self.lanes}x{dtype}>"

    def spread(self, scalar: str, dtype: str) -> str:
        """A scalar in all lanes."""
        return self.emit.pure(f"vector.broadcast {scalar} : {dtype} to {self.vector(dtype)}")

    def gathered(self, elements: Sequence[str], dtype: str) -> str:
        """A vector of scalars."""
        return self.emit.pure(f"vector.from_elements {', '.join(elements)} : {self.vector(dtype)}")

    def convert(self, value: str, before: str, after: str, *, vector: bool) -> str:
        """A number in another element type; integers are signed."""
        if before == after:
            return value
        if "bf16" in (before, after):
            return self._convert_bf16(value, before, after, vector=vector)
        if (before, after) == ("f64", "f16"):  # the machine has no such step
            value, before = self.convert(value, "f64", "f32", vector=vector), "f32"
        if is_float(before):
            op = ("extf" if width(after) > width(before) else "truncf") if is_float(after) else "fptosi"
        elif is_float(after):
            op = "sitofp"
        else:
            op = "extsi" if width(after) > width(before) else "trunci"
        kinds = [self.vector(t) if vector else t for t in (before, after)]
        return self.emit.pure(f"arith.{op} {value} : {kinds[0]} to {kinds[1]}")

    def _convert_bf16(self, value: str, before: str, after: str, *, vector: bool) -> str:
        """To or from bf16, in integers where the machine has no instruction: LLVM would call a library."""
        emit = self.emit
        kinds = {t: self.vector(t) if vector else t for t in ("i1", "i16", "i32", "f32", "bf16")}
        wide, half = kinds["i32"], emit.constant(16, kinds["i32"])
        if before == "bf16":
            bits = emit.pure(f"arith.bitcast {value} : {kinds['bf16']} to {kinds['i16']}")
            bits = emit.pure(f"arith.extui {bits} : {kinds['i16']} to {wide}")
            bits = emit.binary("arith.shli", bits, half, wide)
            single = emit.pure(f"arith.bitcast {bits} : {wide} to {kinds['f32']}")
            return self.convert(single, "f32", after, vector=vector)
        single = self.convert(value, before, "f32", vector=vector)
        if vector and self.target.dot("bf16", "bf16") is not None:  # numbers below 2^-126 become zero
            return emit.pure(f"arith.truncf {single} : {kinds['f32']} to {kinds['bf16']}")
        bits = emit.pure(f"arith.bitcast {single} : {kinds['f32']} to {wide}")
        # To nearest, ties to even; NaN keeps its upper bits and one that keeps it NaN.
        last = emit.binary("arith.shrui", bits, half, wide)
        odd = emit.binary("arith.andi", last, emit.constant(1, wide), wide)
        up = emit.binary("arith.addi", odd, emit.constant(0x7FFF, wide), wide)
        rounded = emit.binary("arith.shrui", emit.binary("arith.addi", bits, up, wide), half, wide)
        quiet = emit.binary("arith.ori", last, emit.constant(0x40, wide), wide)
        nan = emit.pure(f"arith.cmpf uno, {single}, {single} : {kinds['f32']}")
        rounded = emit.pure(f"arith.select {nan}, {quiet}, {rounded} : {kinds['i1']}, {wide}")
        rounded = emit.pure(f"arith.trunci {rounded} : {wide} to {kinds['i16']}")
        return emit.pure(f"arith.bitcast {rounded} : {kinds['i16']} to {kinds['bf16']}")

    def word(self, place: str, count: int, dtype: str) -> str:
        """`count` neighbouring elements in memory as one i32."""
        kind = f"vector<{count}x{dtype}>"
        loaded = self.emit.fresh(f"vector.load {place}, {kind}")
        one = self.emit.pure(f"vector.bitcast {loaded} : {kind} to vector<1xi32>")
        return self.emit.pure(f"vector.extract {one}[0] : i32 from vector<1xi32>")

    def from_index(self, value: str, dtype: str) -> str:
        """An index as an integer."""
        return self.emit.pure(f"arith.index_cast {value} : index to {dtype}")

    # Tensors

    def memory(self, tensor: Tensor) -> tuple[str, str]:
        """The flat memory of a tensor, as a name and its type. Flags lie one to a byte and are read as i8."""
        base = tensor.base or tensor
        held = "i8" if base.dtype == "i1" else base.held
        total = 1
        for extent in base.shape:
            total = -1 if extent is None or total < 0 else total * extent
        flat = f"memref<{'?' if total < 0 else total}x{base.held}>"
        name = f"%{base.name}"
        if base.scratch:
            name, flat = self.stack(total, held, base.name), f"memref<{total}x{held}>"
        elif not base.shape:
            name = self.emit.at_entry(
                f"memref.reinterpret_cast {name} to offset: [0], sizes: [1], strides: [1] "
                f": {memref(base)} to {flat}"
            )
        elif len(base.shape) > 1:
            axes = ", ".join(map(str, range(len(base.shape))))
            name = self.emit.at_entry(f"memref.collapse_shape {name} [[{axes}]] : {memref(base)} into {flat}")
        if tensor.offset is not None:
            at, size = self.emit.number(tensor.offset), math.prod(n or 0 for n in tensor.shape)
            kind = f"memref<{size}x{tensor.held}>"
            name = self.emit.at_entry(f"memref.view {name}[{at}][] : {flat} to {kind}")
            flat = kind
        if base.dtype == "i1" and not base.scratch:
            bytes_ = flat.replace("xi1>", "xi8>")
            name = self.emit.at_entry(f"builtin.unrealized_conversion_cast {name} : {flat} to {bytes_}")
            flat = bytes_
        return name, flat

    def stack(self, elements: int, dtype: str, key: str) -> str:
        """Aligned memory on the stack, allocated at the function's entry, one for each key."""
        text = f"memref.alloca() {{alignment = 64 : i64}} : memref<{elements}x{dtype}>"
        return self.emit.at_entry(text, (key, text))

    # Index expressions

    def index(self, e: Index) -> str:
        """The name of an index expression's value."""
        match e.kind:
            case "const":
                return self.emit.number(e.args[0])
            case "var":
                return self.emit.vars[e]
            case "name":
                return str(e.args[0])
            case "dim":
                return self.extent(e)
            case "scalar":
                scalar = next(s for s in self.program.scalars if s.name == e.args[0])
                name = f"%{scalar.name}"
                if scalar.dtype == "index":
                    return name
                return self.emit.at_entry(f"arith.index_cast {name} : {scalar.dtype} to index")
            case "distinct":
                pair = [next(t for t in self.program.tensors if t.name == name) for name in e.args]
                text = "memref.extract_aligned_pointer_as_index %{} : {} -> index"
                a, b = (self.emit.at_entry(text.format(t.name, memref(t))) for t in pair)
                differ = self.emit.at_entry(f"arith.cmpi ne, {a}, {b} : index")
                return self.emit.at_entry(f"arith.index_castui {differ} : i1 to index")
            case "element":
                value = self.values[e.args[0]]
                one = value.element((0,) * len(value.shape))
                return self.emit.pure(f"arith.index_cast {one} : {value.dtype} to index")
        a, b = e.args
        sure = e.kind in ("floordiv", "mod", "ceildiv") and self.facts.nonnegative(self.facts.linear(a))
        return self.emit.arithmetic(e.kind, self.index(a), self.index(b), nonnegative=sure)

    def extent(self, e: Index) -> str:
        """A dynamic extent."""
        tensor = next(t for t in self.program.memory if t.name == e.args[0])
        axis = self.emit.number(e.args[1])
        return self.emit.at_entry(f"memref.dim %{tensor.name}, {axis} : {memref(tensor)}")

    def form(self, form: Linear) -> str:
        """The name of a linear form's value; sums are built outer variables first, so that inner loops share
        what does not change in them."""
        depth = {var: i for i, var in enumerate(self.facts.bounds)}
        total: str | None = None
        for atom, factor in sorted(form.terms, key=lambda term: self._depth(term[0], depth)):
            term = self.index(atom)
            if factor != 1:
                term = self.emit.binary("arith.muli", term, self.emit.number(int(factor)))
            total = term if total is None else self.emit.binary("arith.addi", total, term)
        if total is None:
            return self.emit.number(int(form.constant))
        if form.constant:
            total = self.emit.binary("arith.addi", total, self.emit.number(int(form.constant)))
        return total

    def _depth(self, e: Index, depth: dict[Index, int]) -> int:
        if e.kind == "var":
            return depth.get(e, len(depth))
        if e.kind in ("element", "name"):
            return len(depth)
        return max((self._depth(arg, depth) for arg in e.args if isinstance(arg, Index)), default=-1)

    # Values

    def value(self, tile: Tile) -> "Value":
        """The value of a tile."""
        return self.values[tile.number]

    def settle(self, memory: frozenset[str], wanted: frozenset[int]) -> None:
        """Before `memory` is written: make now those of the `wanted` tiles that would read it later."""
        for number in sorted(wanted & self.values.keys()):
            if self.values[number].reads & memory:
                self.values[number].settle()

    def enter(self, body: Body, held: frozenset[int] = frozenset()) -> None:
        """Before a region is entered: make the tiles it uses, so that they are made once; all but those read
        from memory element by element, and those `held` in tile registers."""
        self.settle(stores(body), uses(body) | self.later[-1])
        for number in sorted((uses(body) & self.values.keys()) - held):
            value = self.values[number]
            if not (value.direct and value.reads and self.usage.only_left(number)):
                value.parts()
