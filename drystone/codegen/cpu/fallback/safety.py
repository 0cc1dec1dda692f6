"""What keeps a fallback kernel within its memory and its process: checks reported, indices kept in range."""

from typing import Any

from drystone.mlir import arith, func, ir, memref, scf, walk

#: Operations of math with no LLVM intrinsic, or one lowered inexactly -> the function of libm for f64.
_LIBM = {
    "math.acos": "acos",
    "math.acosh": "acosh",
    "math.asin": "asin",
    "math.asinh": "asinh",
    "math.atan": "atan",
    "math.atan2": "atan2",
    "math.atanh": "atanh",
    "math.cbrt": "cbrt",
    "math.cosh": "cosh",
    "math.erf": "erf",
    "math.erfc": "erfc",
    "math.expm1": "expm1",
    "math.log1p": "log1p",
    "math.sinh": "sinh",
    "math.tan": "tan",
    "math.tanh": "tanh",
}
#: On an operation that keeps an index in range.
_KEPT = "drystone.kept"
#: Operations whose results are as trustworthy as their operands.
_ARITHMETIC = ("arith.", "affine.")


def collect_checks(function: Any) -> tuple[str, ...]:
    """Make the function return i32: 0, or 1 + the number of a cf.assert in it that failed, instead of ending
    the process. Their messages; none: the function stays as it is."""
    asserts = [op for op in walk(function) if op.operation.name == "cf.assert"]
    if not asserts:
        return ()
    i32 = ir.IntegerType.get_signless(32)
    block = function.regions[0].blocks[0]
    with ir.InsertionPoint.at_block_begin(block):
        status = memref.alloca(ir.MemRefType.get([], i32), [], [])
        memref.StoreOp(arith.ConstantOp(i32, 0), status, [])
    messages = []
    for number, op in enumerate(asserts):
        messages.append(str(op.operation.attributes["msg"].value))
        with ir.InsertionPoint(op):
            true = arith.ConstantOp(ir.IntegerType.get_signless(1), 1)
            failed = arith.xori(op.operation.operands[0], true)
            branch = scf.IfOp(failed)
            with ir.InsertionPoint(branch.then_block):
                memref.StoreOp(arith.ConstantOp(i32, number + 1), status, [])
                scf.YieldOp([])
        op.operation.erase()
    last = block.operations[len(block.operations) - 1]
    with ir.InsertionPoint(last):
        func.ReturnOp([memref.LoadOp(status, [])])
    last.operation.erase()
    kinds = [argument.type for argument in block.arguments]
    function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kinds, [i32]))
    return tuple(messages)


def clamp(function: Any) -> None:
    """Keep every index of a load or store that depends on data within its dimension."""
    for op in walk(function):
        name = op.operation.name
        if name in ("memref.load", "memref.store"):
            first = 1 if name == "memref.load" else 2
            for axis, index in enumerate(list(op.operation.operands)[first:]):
                if not _trusted(index):
                    with ir.InsertionPoint(op):
                        op.operation.operands[first + axis] = _within(
                            index, op.operation.operands[first - 1], axis, None
                        )


def clamp_slices(module: Any) -> None:
    """Keep slices that start where data says within what they are slices of."""
    for op in walk(module):
        if op.operation.name == "memref.subview":
            _clamp_slice(op)


def _clamp_slice(op: Any) -> None:
    groups = list(op.operation.attributes["operandSegmentSizes"])
    dynamic = ir.ShapedType.get_dynamic_size()
    sizes, strides = op.operation.attributes["static_sizes"], op.operation.attributes["static_strides"]
    offsets = list(op.operation.attributes["static_offsets"])
    places = [axis for axis, offset in enumerate(offsets) if offset == dynamic]
    for number, axis in enumerate(places):
        index = op.operation.operands[1 + number]
        if _trusted(index):
            continue
        with ir.InsertionPoint(op):
            if sizes[axis] == dynamic:
                before = sum(sizes[d] == dynamic for d in range(axis))
                size = op.operation.operands[1 + groups[1] + before]
            else:
                size = arith.ConstantOp(ir.IndexType.get(), sizes[axis]).result
            if strides[axis] == 1:
                op.operation.operands[1 + number] = _within(index, op.operation.operands[0], axis, size)


def _within(index: Any, source: Any, axis: int, size: Any) -> Any:
    """max(0, min(index, extent - size)), size 1 where None."""
    kind = ir.IndexType.get()
    extent = memref.DimOp(source, arith.ConstantOp(kind, axis)).result
    most = arith.subi(extent, arith.ConstantOp(kind, 1).result if size is None else size)
    kept = arith.maxsi(arith.minsi(index, most), arith.ConstantOp(kind, 0).result)
    kept.owner.attributes[_KEPT] = ir.UnitAttr.get()
    return kept


def _trusted(value: Any) -> bool:
    """Whether an index comes from loop bounds and constants alone."""
    owner = value.owner
    if isinstance(owner, ir.Block):
        # A loop's variable is within its bounds; what a loop carries may be anything.
        loop = owner.owner
        if loop.name == "scf.parallel":
            return all(_trusted(bound) for bound in loop.operands)
        return (
            loop.name == "scf.for" and value.arg_number == 0 and all(map(_trusted, list(loop.operands)[:2]))
        )
    if owner.name in ("memref.dim", "arith.constant") or _KEPT in owner.attributes:
        return True
    if owner.name.startswith(_ARITHMETIC):
        return all(_trusted(operand) for operand in owner.operands)
    return False


def call_libm(module: Any) -> None:
    """Replace operations of math by calls of libm, and narrow f64 in two steps (LLVM would call functions of
    the compiler's own library, which need not be there)."""
    declared: set[str] = set()
    for op in walk(module):
        name = op.operation.name
        if name in _LIBM:
            _call(module, op, _LIBM[name], declared)
        elif name == "arith.truncf":
            _narrow(op)


def _call(module: Any, op: Any, function: str, declared: set[str]) -> None:
    kind = op.operation.results[0].type
    double = isinstance(kind, ir.F64Type)
    wide = kind if double else ir.F32Type.get()
    callee = function if double else f"{function}f"
    operands = list(op.operation.operands)
    if callee not in declared:
        declared.add(callee)
        with ir.InsertionPoint.at_block_begin(module.body), ir.Location.unknown():
            func.FuncOp(callee, ([wide] * len(operands), [wide]), visibility="private")
    with ir.InsertionPoint(op), op.operation.location:
        given = [value if value.type == wide else arith.extf(wide, value) for value in operands]
        made = func.CallOp([wide], callee, given).results[0]
        if made.type != kind:
            made = arith.truncf(kind, made)
    op.operation.results[0].replace_all_uses_with(made)
    op.operation.erase()


def _narrow(op: Any) -> None:
    source, kind = op.operation.operands[0], op.operation.results[0].type
    if isinstance(source.type, ir.F64Type) and isinstance(kind, ir.F16Type | ir.BF16Type):
        with ir.InsertionPoint(op), op.operation.location:
            op.operation.operands[0] = arith.truncf(ir.F32Type.get(), source)
