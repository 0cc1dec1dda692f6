"""Values of the outlined `@main` in the text of the driver: tensors as views of memory, scalars copied over.

%a (argument 0, viewed from its 16th row)   ->   memref.view %input.0[%c2048][] : memref<?xi8> to memref<..>
%x = call @map_1f(%a, %e) (in the arena)    ->   memref.view %arena[%c4096][] : memref<?xi8> to memref<..>
%n = tensor.dim %a, %c0                     ->   an expression over the call's symbols
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from drystone.codegen.cpu.text import Copier, memref_type
from drystone.codegen.places import Places, View
from drystone.errors import InternalError
from drystone.ir.buffers import Buffer, Buffers, Call
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoded import storage_element
from drystone.ir.program import Program
from drystone.ir.steps import Copy
from drystone.ir.values import is_tensor, producer_name, tensors

#: A number known now, or the name of an index value.
Size = int | str

_OPERATIONS = {"add": "addi", "sub": "subi", "mul": "muli", "floordiv": "floordivsi", "mod": "remsi"}
#: Fields of struct drystone_call.
_WEIGHTS, _ARENA, _INPUTS, _OUTPUTS, _STATES, _SYMBOLS = range(6)


def kind_of(view: View[Size]) -> str:
    """The memref type of a view."""
    shape = "".join(f"{n if isinstance(n, int) else '?'}x" for n in view.extents)
    return f"memref<{shape}{view.element}>"


class Writer(Places[Size]):
    """The text of the driver under construction; see `driver`."""

    def __init__(self, program: Program, found: Buffers) -> None:
        super().__init__(program, found)
        self._lines: list[str] = []
        self._count = 0
        self._constants: dict[int, str] = {}
        self._bases: dict[str, str] = {}
        self._memrefs: dict[View[Size], str] = {}
        self._extracted: dict[Any, str] = {}
        self._scalars = Copier(self._known, self.line, "s")
        self._head: list[str] = []
        self._tables: dict[int, str] = {}

    # -- text --------------------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        """One more line."""
        self._lines.append(f"  {text}")

    def fresh(self, text: str) -> str:
        """The result of an operation."""
        self._count += 1
        self.line(f"%d{self._count} = {text}")
        return f"%d{self._count}"

    def tell(self, what: str, *numbers: int) -> None:
        """A call of one of the pool's functions that thread 0 does something in, with constants."""
        names = [self.fresh(f"arith.constant {number} : i64") for number in numbers]
        types = ", ".join(["!llvm.ptr", "i32", *("i64" for _ in names)])
        self.line(f"func.call @drystone_{what}({', '.join(['%call', '%thread', *names])}) : ({types}) -> ()")

    def ask(self, what: str, *numbers: Size) -> None:
        """A call of one of the pool's functions that all threads do something in, with numbers."""
        names = [
            self.fresh(
                f"arith.constant {number} : i64"
                if isinstance(number, int)
                else f"arith.index_cast {number} : index to i64"
            )
            for number in numbers
        ]
        types = ", ".join(["!llvm.ptr", "!llvm.ptr", "i32", *("i64" for _ in names)])
        given = ", ".join(["%call", "%team", "%thread", *names])
        self.line(f"func.call @drystone_{what}({given}) : ({types}) -> ()")

    def address(self, view: View[Size]) -> Size:
        """Where a view starts in memory."""
        text = f"memref.extract_aligned_pointer_as_index {view.base} : memref<?xi8> -> index"
        return self.arithmetic("addi", self.fresh(text), view.offset)

    def copy(self, copy: Copy, way: str) -> None:
        """A call of one of the pool's functions that copy within the arena: the bytes that the buffer has in
        this call."""
        value = next(value for value, name in self._found.of.items() if name == copy.buffer)
        size: Size = np.dtype(numpy_dtype(storage_element(value.type))).itemsize
        for extent in self.extents(value):
            size = self.arithmetic("muli", size, extent)
        pointer = self._table(_ARENA)
        names = [self.size(each) for each in (copy.source, copy.destination, size)]
        arguments = ", ".join([pointer, *names, "%team", "%thread"])
        types = ", ".join(["!llvm.ptr", *("index" for _ in names), "!llvm.ptr", "i32"])
        self.line(f"func.call @drystone_copy_{way}({arguments}) : ({types}) -> ()")

    def size(self, value: Size) -> str:
        """The name of an index value."""
        if isinstance(value, str):
            return value
        if value not in self._constants:
            self._constants[value] = f"%c{len(self._constants)}"
            self._head.append(f"  {self._constants[value]} = arith.constant {value} : index")
        return self._constants[value]

    def arithmetic(self, op: str, a: Size, b: Size) -> Size:
        """a op b, for muli and addi."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b if op == "muli" else a + b
        neutral = 1 if op == "muli" else 0
        if neutral in (a, b):
            return b if a == neutral else a
        return self.fresh(f"arith.{op} {self.size(a)}, {self.size(b)} : index")

    def text(self) -> str:
        """The whole function."""
        head = "func.func private @drystone_driver(%call: !llvm.ptr, %team: !llvm.ptr, %thread: i32) -> i32 {"
        return "\n".join([head, *self._head, *self._lines, "}"]) + "\n"

    # -- the call's arguments ----------------------------------------------------------------------------

    def _table(self, field: int) -> str:
        """A pointer field of the call."""
        if field not in self._tables:
            name = f"%table{field}"
            self._head += [
                f"  {name}_at = llvm.getelementptr %call[0, {field}] : (!llvm.ptr) -> !llvm.ptr, !call",
                f"  {name} = llvm.load {name}_at : !llvm.ptr -> !llvm.ptr",
            ]
            self._tables[field] = name
        return self._tables[field]

    def symbol(self, name: str) -> str:
        """A dynamic size of the call."""
        table, slot = self._table(_SYMBOLS), sorted(self._signature.symbols).index(name)
        key = f"%symbol.{slot}"
        if key not in self._bases:
            self._bases[key] = key
            self._head += [
                f"  {key}.at = llvm.getelementptr {table}[{slot}] : (!llvm.ptr) -> !llvm.ptr, i64",
                f"  {key}.value = llvm.load {key}.at : !llvm.ptr -> i64",
                f"  {key} = arith.index_cast {key}.value : i64 to index",
            ]
        return key

    def calculated(self, op: str, a: Size, b: Size) -> Size:
        """An operation on two sizes, as one of arith."""
        left, right = self.size(a), self.size(b)
        return self.fresh(f"arith.{_OPERATIONS[op]} {left}, {right} : index")

    def memory(self, buffer: Buffer) -> str:
        """The bytes that a buffer lies in."""
        if buffer.kind == "arena":
            if "%arena" not in self._bases:
                self._bases["%arena"] = "%arena"
                pointer = self._table(_ARENA)
                self._head.append(f"  %arena = call @drystone_bytes({pointer}) : (!llvm.ptr) -> memref<?xi8>")
            return "%arena"
        fields = {"input": _INPUTS, "output": _OUTPUTS, "state": _STATES, "weight": _WEIGHTS}
        key = f"%{buffer.kind}.{buffer.slot}"
        if key not in self._bases:
            self._bases[key] = key
            table = self._table(fields[buffer.kind])
            self._head += [
                f"  {key}.slot = arith.constant {buffer.slot} : i64",
                f"  {key} = call @drystone_entry({table}, {key}.slot) : (!llvm.ptr, i64) -> memref<?xi8>",
            ]
        return key

    # -- tensors -----------------------------------------------------------------------------------------

    def number(self, value: int) -> Size:
        """A known number."""
        return value

    def sum(self, a: Size, b: Size) -> Size:
        """Two sizes added."""
        return self.arithmetic("addi", a, b)

    def product(self, a: Size, b: Size) -> Size:
        """Two sizes multiplied."""
        return self.arithmetic("muli", a, b)

    def memref(self, view: View[Size]) -> str:
        """The name of a view as a memref."""
        if view not in self._memrefs:
            sizes = ", ".join(n for n in view.extents if isinstance(n, str))
            place = f"{view.base}[{self.size(view.offset)}][{sizes}]"
            self._memrefs[view] = self.fresh(f"memref.view {place} : memref<?xi8> to {kind_of(view)}")
        return self._memrefs[view]

    # -- scalars -----------------------------------------------------------------------------------------

    def scalar(self, value: Any) -> str:
        """The name of a scalar value of `@main`."""
        return self._scalars.name(value)

    def _known(self, value: Any) -> str | None:
        if value in self._extracted:
            return self._extracted[value]
        owner, made_by = value.owner, producer_name(value)
        if made_by in ("", "tensor.extract"):
            raise InternalError(f"@main uses a scalar before it is there: {owner}")
        if made_by == "tensor.dim":
            axis = int(owner.operands[1].owner.attributes["value"].value)
            return self.size(self.extent(owner.operands[0], axis))
        return None

    def extract(self, op: Any) -> None:
        """Load the element that a tensor.extract asks for."""
        view = self.view(op.operands[0])
        places = ", ".join(self.scalar(index) for index in list(op.operands)[1:])
        self._extracted[op.results[0]] = self.fresh(
            f"memref.load {self.memref(view)}[{places}] : {kind_of(view)}"
        )

    def arguments(self, call: Call, wanted: Sequence[str]) -> list[str]:
        """Names of what a kernel call is given: tensors, destinations, scalars; of the wanted types."""
        names, types = self._given(call)
        if len(types) != len(wanted):
            raise InternalError(f"kernel {call.name} takes {list(wanted)}, the program passes {types}")
        return [self._converted(*each) for each in zip(names, types, wanted, strict=True)]

    def _converted(self, name: str, kind: str, wanted: str) -> str:
        if kind == wanted:
            return name
        # Tiles know no index type: kernels of families take such scalars as integers.
        if kind != "index" or not wanted.startswith("i"):
            raise InternalError(f"a kernel takes {wanted} where the program passes {kind}")
        return self.fresh(f"arith.index_cast {name} : index to {wanted}")

    def _given(self, call: Call) -> tuple[list[str], list[str]]:
        given = tensors(call.op.operands)
        first = len(given) - len(call.op.results)
        types = [memref_type(v.type) for v in given]
        values = [*given[:first], *call.op.results]
        names = [self._as(self.view(v), kind) for v, kind in zip(values, types, strict=True)]
        rest = [v for v in call.op.operands if not is_tensor(v)]
        return [*names, *(self.scalar(v) for v in rest)], [*types, *(str(v.type) for v in rest)]

    def _as(self, view: View[Size], wanted: str) -> str:
        """A view as a memref of the wanted type; extents may be known here that the type leaves open."""
        name, kind = self.memref(view), kind_of(view)
        return name if kind == wanted else self.fresh(f"memref.cast {name} : {kind} to {wanted}")
