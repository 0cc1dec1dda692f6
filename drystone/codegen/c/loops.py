"""Kernels that no family takes: the loops that upstream passes make of them, printed as functions of C.

MLIR's loops -> the LLVM dialect, in which everything is one of few operations on scalars, pointers and
structures of them -> assignments, labels and gotos.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.c import scalars
from drystone.codegen.c.scalars import identifier
from drystone.codegen.c.structures import is_scalar, parts_of, path_into
from drystone.codegen.cpu.empty import empty
from drystone.codegen.cpu.fallback.lower import lower
from drystone.codegen.cpu.tiles.lower import TO_LLVM
from drystone.errors import InternalError
from drystone.ir.values import is_tensor
from drystone.mlir import ir, parse, run_pipeline

_SAME = {
    "fneg": "negf",
    "fpext": "extf",
    "fptrunc": "truncf",
    "icmp": "cmpi",
    "fcmp": "cmpf",
    "sext": "extsi",
    "zext": "extui",
    "trunc": "trunci",
    "shl": "shli",
    "ashr": "shrsi",
    "lshr": "shrui",
    "and": "andi",
    "or": "ori",
    "xor": "xori",
    "sdiv": "divsi",
    "udiv": "divui",
    "srem": "remsi",
    "urem": "remui",
    "fadd": "addf",
    "fsub": "subf",
    "fmul": "mulf",
    "fdiv": "divf",
    "frem": "remf",
    "add": "addi",
    "sub": "subi",
    "mul": "muli",
    "intr.maximum": "maximumf",
    "intr.minimum": "minimumf",
    "intr.maxnum": "maxnumf",
    "intr.minnum": "minnumf",
    "intr.smax": "maxsi",
    "intr.smin": "minsi",
    "intr.umax": "maxui",
    "intr.umin": "minui",
}
#: Intrinsics that are operations of math of another name.
_MATH = {"fabs": "absf", "pow": "powf", "powi": "fpowi", "abs": "absi", "fmuladd": "fma"}


@dataclass(frozen=True)
class Functions:
    """Functions of C, and the messages of the kernel's own checks.

    The kernel's is `int NAME(const struct dry_tensor *tensors, scalars..)`, which does all of it and gives 0
    or 1 + the number of the check that failed.
    """

    text: str
    checks: tuple[str, ...]


def functions_of(kernel: Any, name: str) -> Functions:
    """An outlined kernel function as C. Raises InternalError where it cannot be lowered."""
    arguments = list(kernel.operation.regions[0].blocks[0].arguments)
    made = empty(kernel, name) or lower(kernel, name)
    module = parse(made.text, kernel.operation.context)
    with module.context, ir.Location.unknown():
        run_pipeline(module, TO_LLVM)
        text = "\n".join(_Module(module, name).text())
    return Functions(f"{text}\n{_whole(arguments, name, bool(made.checks))}", made.checks)


def _whole(arguments: Sequence[Any], name: str, checked: bool) -> str:
    """The function that does all units of a kernel: memory is passed as the fields of memrefs."""
    ranks = [len(list(a.type.shape)) for a in arguments if is_tensor(a)]
    rest = [str(a.type) for a in arguments if not is_tensor(a)]
    given = []
    for number, rank in enumerate(ranks):
        extents = [f"t[{number}].extents[{axis}]" for axis in range(rank)]
        strides = [" * ".join(extents[axis + 1 :]) or "1" for axis in range(rank)]
        given += [f"t[{number}].at", f"t[{number}].at", "0", *extents, *strides]
    given += [f"s{number}" for number in range(len(rest))]
    declared = "".join(f", {scalars.valued(kind)} s{number}" for number, kind in enumerate(rest))
    passed = ", ".join(given)
    call = f"{name}_units({', '.join([*given, '0', f'{name}_grid({passed})'])})"
    body = f"return {call};" if checked else f"{call};\n    return 0;"
    return f"static int {name}(const struct dry_tensor *t{declared}) {{\n    {body}\n}}\n"


class _Module:
    """A module of the LLVM dialect, printed."""

    def __init__(self, module: Any, kernel: str) -> None:
        self._module, self._kernel = module, kernel
        self._structures: dict[str, str] = {}
        self._types: list[str] = []
        self._names: dict[Any, str] = {}

    def text(self) -> Iterator[str]:
        heads, bodies = [], []
        for op in self._module.body.operations:
            operation = op.operation
            if operation.name == "llvm.mlir.global":
                bodies.append(self._global(operation))
            elif len(operation.regions[0].blocks):
                heads.append(f"{self._head(operation)};")
                bodies.append(self._function(operation))
        yield from [*self._types, *heads, *bodies]

    def _name(self, symbol: str) -> str:
        own = f"{symbol}_units" if symbol == self._kernel else symbol
        return identifier(own)

    def _type(self, kind: str) -> str:
        """A type of the LLVM dialect in C, declared if it is a structure."""
        kind = kind.removeprefix("!llvm.")
        if kind == "ptr":
            return "char *"
        if kind == "void":
            return "void"
        array = re.fullmatch(r"array<(\d+) x (.*)>", kind)
        parts = parts_of(kind)
        if array is None and parts is None:
            return scalars.valued(kind)
        if kind not in self._structures:
            if array is not None:
                fields = f"{self._memory(array[2])} e[{array[1]}];"
            else:
                fields = " ".join(f"{self._type(part)} f{i};" for i, part in enumerate(parts or ()))
            self._structures[kind] = f"struct {self._kernel}_{len(self._structures)}"
            self._types.append(f"{self._structures[kind]} {{ {fields} }};")
        return self._structures[kind]

    def _memory(self, kind: str) -> str:
        """The type that a value has in memory."""
        return scalars.held(kind) if is_scalar(kind) else self._type(kind)

    def _global(self, op: Any) -> str:
        """A constant: its elements in a row."""
        kind = re.sub(r"array<\d+ x ", "", str(op.attributes["global_type"]).removeprefix("!llvm."))
        element = kind.rstrip(">")
        value = op.attributes["value"]
        count = 1
        for extent in re.findall(r"array<(\d+) x ", str(op.attributes["global_type"])):
            count *= int(extent)
        dense = ir.DenseElementsAttr(value)
        each = [
            scalars.constant(n, element)
            for n in ([dense.get_splat_value().value] if dense.is_splat else dense)
        ]
        texts = each * count if len(each) == 1 else each
        name = self._name(op.attributes["sym_name"].value)
        return f"static const {scalars.held(element)} {name}[] = {{ {', '.join(texts)} }};"

    def _head(self, op: Any) -> str:
        kind = str(op.attributes["function_type"].value)
        result = kind.removeprefix("!llvm.func<").split(" (")[0]
        block = op.regions[0].blocks[0]
        declared = [f"{self._type(str(a.type))} {self._value(a)}" for a in block.arguments]
        name = self._name(op.attributes["sym_name"].value)
        return f"static {self._type(result)} {name}({', '.join(declared) or 'void'})"

    def _function(self, op: Any) -> str:
        head = self._head(op)
        blocks = list(op.regions[0].blocks)
        declared, lines = [], []
        for block in blocks:
            values = [v for inner in block.operations for v in inner.operation.results]
            for value in [*([] if block == blocks[0] else block.arguments), *values]:
                declared.append(f"    {self._type(str(value.type))} {self._value(value)};")
        for block in blocks:
            lines.append(f"b{blocks.index(block)}:;")
            for inner in block.operations:
                lines += [f"    {line}" for line in self._line(inner.operation, blocks)]
        return "\n".join([f"{head} {{", *declared, *lines, "}"])

    def _value(self, value: Any) -> str:
        return self._names.setdefault(value, f"v{len(self._names)}")

    def _goto(self, blocks: Sequence[Any], block: Any, values: Sequence[Any]) -> str:
        """A jump with values for the block's arguments, all of which change at once."""
        moved = []
        for number, (argument, value) in enumerate(zip(block.arguments, values, strict=True)):
            moved.append(f"{self._type(str(argument.type))} n{number} = {self._value(value)};")
        moved += [f"{self._value(argument)} = n{number};" for number, argument in enumerate(block.arguments)]
        return f"{{ {' '.join([*moved, f'goto b{blocks.index(block)};'])} }}"

    def _line(self, op: Any, blocks: Sequence[Any]) -> Iterator[str]:
        name, given = op.name.removeprefix("llvm."), [self._value(value) for value in op.operands]
        result = f"{self._value(op.results[0])} = " if len(op.results) else ""
        match name:
            case "br":
                yield self._goto(blocks, op.successors[0], list(op.operands))
            case "cond_br":
                first = len(op.successors[0].arguments)
                values = list(op.operands)[1:]
                yield f"if ({given[0]}) {self._goto(blocks, op.successors[0], values[:first])}"
                yield f"else {self._goto(blocks, op.successors[1], values[first:])}"
            case "return":
                yield f"return {given[0]};" if given else "return;"
            case "mlir.poison" | "mlir.undef":
                return
            case "mlir.zero":
                yield f"memset(&{self._value(op.results[0])}, 0, sizeof {self._value(op.results[0])});"
            case "mlir.addressof":
                symbol = ir.FlatSymbolRefAttr(op.attributes["global_name"]).value
                yield f"{result}(char *){self._name(symbol)};"
            case "call":
                callee = self._name(ir.FlatSymbolRefAttr(op.attributes["callee"]).value)
                yield f"{result}{callee}({', '.join(given)});"
            case "extractvalue" | "insertvalue":
                path = "".join(path_into(str(op.operands[0].type), list(op.attributes["position"])))
                yield from self._field(op, given, path)
            case "load":
                kind = str(op.results[0].type)
                place = f"*({self._memory(kind)} *){given[0]}"
                yield f"{result}{scalars.loaded(kind, place) if is_scalar(kind) else place};"
            case "store":
                kind = str(op.operands[0].type)
                value = scalars.stored(kind, given[0]) if is_scalar(kind) else given[0]
                yield f"*({self._memory(kind)} *){given[1]} = {value};"
            case "alloca":
                kind = str(ir.TypeAttr(op.attributes["elem_type"]).value)
                yield f"{result}__builtin_alloca({given[0]} * sizeof({self._memory(kind)}));"
            case "getelementptr":
                yield f"{result}{self._element(op, given)};"
            case "ptrtoint" | "inttoptr":
                yield f"{result}({self._type(str(op.results[0].type))})(uintptr_t){given[0]};"
            case _:
                yield f"{result}{self._scalar(op, name, given)};"

    def _field(self, op: Any, given: Sequence[str], path: str) -> Iterator[str]:
        if op.name == "llvm.extractvalue":
            yield f"{self._value(op.results[0])} = {given[0]}{path};"
        else:
            yield f"{self._value(op.results[0])} = {given[0]};"
            yield f"{self._value(op.results[0])}{path} = {given[1]};"

    def _element(self, op: Any, given: Sequence[str]) -> str:
        """The address of an element: the first index counts whole ones, the others go into arrays."""
        kind = str(ir.TypeAttr(op.attributes["elem_type"]).value).removeprefix("!llvm.")
        rest = iter(given[1:])
        dynamic = -(2**31)
        places = [next(rest) if i == dynamic else str(i) for i in op.attributes["rawConstantIndices"]]
        terms = [given[0]]
        for number, place in enumerate(places):
            if number:
                array = re.fullmatch(r"array<\d+ x (.*)>", kind)
                if array is None:
                    raise InternalError(f"an address inside of {kind} cannot be written in C")
                kind = array[1]
            terms.append(f"{place} * (int64_t)sizeof({self._memory(kind)})")
        return " + ".join(terms)

    def _scalar(self, op: Any, name: str, given: Sequence[str]) -> str:
        attributes = {n: str(op.attributes[n]).split(" : ")[0] for n in op.attributes}
        kinds, kind = [str(v.type) for v in op.operands], str(op.results[0].type)
        if name == "mlir.constant":
            return scalars.expression("arith.constant", [], [], kind, attributes)
        if name in ("intr.ctlz", "intr.cttz", "intr.abs"):
            given, kinds = given[:1], kinds[:1]
        if name.startswith("intr.") and name not in _SAME:
            own = name.removeprefix("intr.")
            return scalars.expression(f"math.{_MATH.get(own, own)}", given, kinds, kind, attributes)
        return scalars.expression(f"arith.{_SAME.get(name, name)}", given, kinds, kind, attributes)
