"""What linalg.generic operations become: maps and sums of codes, moves of them."""

from typing import Any

import numpy as np

from drystone.ir.values import dims_of, is_tensor, shape
from drystone.mlir import arith, ir, tensor
from drystone.passes.generic import body, is_filled_with_zero, is_parallel, maps_of
from drystone.passes.integers.code import Code
from drystone.passes.integers.fixed import Leaf, Sum
from drystone.passes.integers.held import is_copy, is_order, is_real_tensor
from drystone.passes.integers.making import Maker, spread, stored
from drystone.passes.integers.regions import Native, Region, predicate_of, refused
from drystone.passes.regions import copy_body
from drystone.passes.weights import weight_key

#: What an extent known at the call is taken to be at most where numbers are summed along it.
_UNKNOWN = 2.0**20


def make_generic(maker: Maker, op: Any) -> None:
    """Put operations on codes in the place of a linalg.generic."""
    results = list(op.operation.results)
    if is_copy(op):
        _copy(maker, op)
    elif is_order(op):
        _order(maker, op)
    elif is_parallel(op):
        for number, value in enumerate(results):
            _map(maker, op, number, value)
    else:
        _total(maker, op)


def _copy(maker: Maker, op: Any) -> None:
    """A move of codes."""
    operation = op.operation
    result, source = operation.results[0], operation.operands[0]
    codes = maker.code(source, maker.holding.of(result))
    operands = [codes, maker.empty(result, codes.type.element_type)]
    _made(maker, op, operands, result)


def _made(maker: Maker, op: Any, operands: list[Any], result: Any) -> None:
    """The same operation on codes."""
    operation, kind = op.operation, operands[0].type.element_type
    named = {key: operation.attributes[key] for key in operation.attributes}
    made = ir.Operation.create("linalg.generic", [operands[-1].type], operands, named, regions=1)
    block = made.regions[0].blocks.append(*[kind] * len(operands))
    with ir.InsertionPoint(block):
        known = dict(zip(body(op).arguments, block.arguments, strict=True))
        ir.Operation.create("linalg.yield", operands=copy_body(body(op), known))
    maker.codes[result, maker.holding.of(result).bits] = made.results[0]


def _order(maker: Maker, op: Any) -> None:
    """The largest or least code along dimensions, or its place: comparisons are those of codes."""
    operation = op.operation
    source, results = operation.operands[0], list(operation.results)
    held = maker.holding.of(source)
    starts = list(operation.operands)[1:]
    inits = [maker.code(start, held) if is_real_tensor(start) else start for start in starts]
    codes = maker.code(source, held)
    named = {key: operation.attributes[key] for key in operation.attributes}
    made = ir.Operation.create(
        "linalg.generic", [init.type for init in inits], [codes, *inits], named, regions=1
    )
    block = made.regions[0].blocks.append(*(value.type.element_type for value in (codes, *inits)))
    with ir.InsertionPoint(block):
        known = dict(zip(body(op).arguments, block.arguments, strict=True))
        for inner in list(body(op).operations)[:-1]:
            known[inner.operation.results[0]] = _ordered(inner.operation, known)
        yielded = [known[value] for value in list(body(op).operations)[-1].operation.operands]
        ir.Operation.create("linalg.yield", operands=yielded)
    for old, new in zip(results, made.results, strict=True):
        if is_real_tensor(old):
            maker.codes[old, held.bits] = new
        else:
            old.replace_all_uses_with(new)


def _ordered(op: Any, known: dict[Any, Any]) -> Any:
    """An operation of a body that compares, on codes."""
    operands = [known.get(value, value) for value in op.operands]
    if op.name == "arith.cmpf":
        return arith.CmpIOp(predicate_of(op), *operands).result
    names = {"maximumf": "MaxSIOp", "maxnumf": "MaxSIOp", "minimumf": "MinSIOp", "minnumf": "MinSIOp"}
    replaced = names.get(op.name.removeprefix("arith."))
    if replaced is not None:
        return getattr(arith, replaced)(*operands).result
    made = op.clone()
    for number, operand in enumerate(operands):
        made.operation.operands[number] = operand
    return made.operation.results[0]


class _Inputs:
    """What a linalg.generic reads: tensors with maps, and what the arguments of its body are."""

    def __init__(self, maker: Maker, op: Any, largest: float) -> None:
        self.maker, self.op = maker, op
        self.reads: list[tuple[Any, Any]] = []
        known: dict[Any, Any] = {}
        natives: dict[Any, int] = {}
        count = len(op.operation.results)
        block = body(op)
        inputs = zip(list(block.arguments)[:-count], list(op.operation.operands), maps_of(op), strict=False)
        for argument, value, map_ in inputs:
            if not is_tensor(value):
                raise refused(op, "reads a number that is computed")
            key = weight_key(value)
            real = is_real_tensor(value)
            array = None
            if key is not None and real:
                array = spread(np.asarray(maker.program.weights[key]), map_)
            if array is not None:
                known[argument] = array
                continue
            if real:
                known[argument] = maker.leaf(maker.holding.of(value), len(self.reads))
                value = maker.code(value)
            else:
                natives[argument] = len(self.reads)
            self.reads.append((value, map_))
        self.region = Region(op, known, natives, largest, maker.table, self._picked)

    def _picked(self, op: Any, region: Region) -> Sum:
        """The number that the body picks of a tensor."""
        value = op.operands[0]
        held = self.maker.holding.of(value)
        with ir.InsertionPoint(self.op):
            codes = self.maker.code(value, held)

        def copy(code: Code) -> Any:
            at = [region.native(code, each) for each in list(op.operands)[1:]]
            return None if code.values is None else tensor.ExtractOp(codes, at).result

        low, high = held.limits
        return Sum.term(Native(copy, low, high), held.unit) + Sum.of(-held.zero * held.unit)


def _map(maker: Maker, op: Any, number: int, result: Any) -> None:
    """One result of a map."""
    block, real = body(op), is_real_tensor(result)
    count = len(op.operation.results)
    held = maker.holding.of(result) if real else None
    inputs = _Inputs(maker, op, 1e30 if held is None else held.unit * held.limits[1])
    for argument in list(block.arguments)[-count:]:
        if any(True for _ in argument.uses):
            raise refused(op, "updates a tensor")
    value = list(block.operations)[-1].operation.operands[number]
    out = maps_of(op)[len(op.operation.operands) - count + number]
    if held is None:
        _integers(maker, inputs, value, result, out)
        return
    total = inputs.region.sum(value)
    made = maker.map(result, inputs.reads, out, lambda code: stored(code, total, held), held.bits)
    maker.codes[result, held.bits] = made


def _integers(maker: Maker, inputs: _Inputs, value: Any, result: Any, out: Any) -> None:
    """A result that is integers already: what compares numbers."""
    bits = result.type.element_type.width

    def element(code: Code) -> Any:
        if bits == 1:
            return code.wide(inputs.region.condition(value).make(code))
        return code.wide(inputs.region.native(code, value))

    result.replace_all_uses_with(maker.map(result, inputs.reads, out, element, bits))


def _total(maker: Maker, op: Any) -> None:
    """A sum along dimensions: of integers, then rounded to codes."""
    operation, block = op.operation, body(op)
    result = operation.results[0]
    last = list(block.operations)[-1].operation.operands[0]
    before = block.arguments[len(operation.operands) - 1]
    made = None if isinstance(last.owner, ir.Block) else last.owner
    starts = len(operation.results) == 1 and is_filled_with_zero(operation.operands[-1])
    if made is None or made.name != "arith.addf" or before not in list(made.operands) or not starts:
        raise refused(op, "is a reduction other than a sum or a maximum")
    (term,) = [value for value in made.operands if value != before]
    held = maker.holding.of(result)
    inputs = _Inputs(maker, op, held.unit * held.limits[1])
    of, count = inputs.region.sum(term), _terms(op)
    _, unit, size = of.whole(Code())
    bits = 32 if size * count < 2**31 else 64
    maps, identity = maps_of(op), ir.AffineMap.get_identity(result.type.rank)
    kinds = [str(each).split("<")[1].rstrip(">") for each in operation.attributes["iterator_types"]]
    summed = maker.map(result, inputs.reads, maps[-1], lambda code: of.whole(code)[0], bits, kinds)
    total = Sum.term(Leaf(0, -size * count, size * count), unit)
    codes = maker.map(
        result, [(summed, identity)], identity, lambda code: stored(code, total, held), held.bits
    )
    maker.codes[result, held.bits] = codes


def _terms(op: Any) -> float:
    """How many numbers each sum is of, at most."""
    maps, operands = maps_of(op), list(op.operation.operands)
    kept = set(dims_of(maps[-1]))
    found = 1.0
    for dim in range(maps[0].n_dims):
        if dim in kept:
            continue
        places = [
            shape(value)[dims_of(map_).index(dim)]
            for value, map_ in zip(operands, maps, strict=True)
            if is_tensor(value) and dim in dims_of(map_)
        ]
        found *= next((float(n) for n in places if n is not None), _UNKNOWN)
    return found
