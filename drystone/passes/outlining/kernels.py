"""The function of one kernel: what an operation needs from outside, its move into the function, its name."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from drystone.ir.values import constant_value, is_tensor, nested, producer, producer_name, splat
from drystone.mlir import arith, func, ir, linalg, tensor
from drystone.passes.outlining.in_place import in_place

#: Named operations whose body does not read the old content of their destination.
_OVERWRITES = frozenset({"linalg.fill", "linalg.copy", "linalg.transpose", "linalg.broadcast", "linalg.map"})


@dataclass
class Needs:
    """A kernel being made: what its arguments stand for, in order of the first use."""

    inputs: list[Any] = field(default_factory=list)
    scalars: list[Any] = field(default_factory=list)

    def take(self, value: Any) -> None:
        """Note what a use of `value` needs from outside."""
        op = producer(value)
        if constant_value(value) is not None:
            return
        if op is not None and op.operation.name == "tensor.empty":
            for size in op.operation.operands:
                self.take(size)
            return
        group = self.inputs if is_tensor(value) else self.scalars
        if value not in group:
            group.append(value)

    def take_place(self, value: Any) -> None:
        """Note an index operand, which is passed even where it is a constant."""
        if value not in self.scalars:
            self.scalars.append(value)

    def take_destination(self, op: Any, number: int, value: Any) -> None:
        """Note what starting from `value` as a destination needs from outside."""
        start = _start(op, number, value)
        if start is not None and constant_value(start) is None:
            self.take(start)


def _start(op: Any, number: int, value: Any) -> Any:
    """What destination `number` of `op` holds at first: None where nothing that is read, the scalar it is
    filled with, or the tensor it is a copy of."""
    name = producer_name(value)
    if name == "tensor.empty" or not _reads(op, number):
        return None
    if name == "linalg.fill":
        return value.owner.operation.operands[0]
    return value


def _reads(op: Any, number: int) -> bool:
    """Whether an operation reads the old content of its destination."""
    name = op.operation.name
    if name == "linalg.generic":
        argument = op.operation.regions[0].blocks[0].arguments[number]
        return any(True for _ in argument.uses)
    return name not in _OVERWRITES


def destinations_in(op: Any) -> dict[int, int]:
    """Operand number of each tensor destination -> number of the result written to it."""
    operation = op.operation
    name, count = operation.name, len(operation.results)
    if name.startswith(("linalg.", "tm_tensor.")):
        first = len(operation.operands) - count
    elif name in ("tensor.insert_slice", "tensor.insert"):
        first = 1
    elif name == "scf.for":
        first = 3
    else:
        return {}
    return {first + i: i for i in range(count) if is_tensor(operation.results[i])}


@dataclass
class _Filler:
    """Moves an operation into the kernel made for it. `known` pairs values outside with those inside."""

    op: Any
    kernel: Any
    known: list[tuple[Any, Any]]

    def inside(self, value: Any) -> Any:
        """The value in the kernel that stands for one outside; constants and empties are made anew."""
        for outer, inner in self.known:
            if outer == value:
                return inner
        made = value.owner.operation.clone(ip=ir.InsertionPoint(self.op))
        for number, operand in enumerate(made.operands):
            made.operands[number] = self.inside(operand)
        self.known.append((value, made.results[0]))
        return made.results[0]

    def destination(self, number: int, value: Any, init: Any) -> Any:
        """What the operation starts from in place of destination `value`."""
        start = _start(self.op, number, value)
        if start is None:
            return init
        with ir.InsertionPoint(self.op), self.op.operation.location:
            if is_tensor(start) and constant_value(start) is None:
                return linalg.copy(self.inside(start), outs=[init])
            if is_tensor(start):
                one = splat(constant_value(start))
                if one is None:
                    return linalg.copy(self.inside(start), outs=[init])
                start = arith.ConstantOp(start.type.element_type, one).result
                return linalg.fill(start, outs=[init])
            return linalg.fill(self.inside(start), outs=[init])


def fill_body(kernel: Any, op: Any, body: Needs, destinations: dict[int, int], outside: list[Any]) -> None:
    """Move `op` into the kernel and let it read the kernel's arguments."""
    block = kernel.entry_block
    operation = op.operation
    results = list(operation.results)
    inputs = len(body.inputs)
    arguments = list(block.arguments)
    inits = arguments[inputs : inputs + len(results)]
    with ir.InsertionPoint(block), operation.location:
        last = func.ReturnOp(inits)
    operation.move_before(last.operation)
    stands = [*arguments[:inputs], *arguments[inputs + len(results) :]]
    filler = _Filler(op, kernel, list(zip([*body.inputs, *body.scalars], stands, strict=True)))
    for number, value in enumerate(operation.operands):
        if number in destinations:
            operation.operands[number] = filler.destination(number, value, inits[destinations[number]])
        else:
            operation.operands[number] = filler.inside(value)
    if outside:
        for inner in nested(op):
            for number, value in enumerate(inner.operation.operands):
                if value in outside:
                    inner.operation.operands[number] = filler.inside(value)
    with ir.InsertionPoint(last), operation.location:
        for number, value in enumerate(results):
            made = value if is_tensor(value) else tensor.from_elements(inits[number].type, [value])
            last.operation.operands[number] = made


def name_kernel(kernel: Any, call: Any, kind: str, names: set[str]) -> None:
    """Name a kernel by its text, note what it may do in place, and let `call` call it; one of `names`, the
    kernels there are, is called where the text is the same."""
    pairs = in_place(kernel)
    if pairs:
        kernel.operation.attributes["dry.in_place"] = ir.ArrayAttr.get(
            [ir.DenseI64ArrayAttr.get(pair) for pair in pairs]
        )
    digest = hashlib.sha256(kernel.operation.get_asm(use_local_scope=True).encode()).hexdigest()[:12]
    name = f"{kind}_{digest}"
    if name in names:
        kernel.operation.erase()
    else:
        names.add(name)
        kernel.operation.attributes["sym_name"] = ir.StringAttr.get(name)
    call.operation.attributes["callee"] = ir.FlatSymbolRefAttr.get(name)
