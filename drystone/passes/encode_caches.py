"""The pass `encode-caches`: what attention keeps of keys and values is held in bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from drystone.errors import UserError
from drystone.ir.build import scatter
from drystone.ir.encoding import encode, part_key
from drystone.ir.formats import int8_row
from drystone.ir.program import Program, TensorSpec
from drystone.ir.values import main_block, operand_groups
from drystone.mlir import func, ir
from drystone.passes.quantize_products import rounded_rows
from drystone.passes.results import declare
from drystone.passes.rewriting import erase_dead, ops, tensor_type, uses
from drystone.passes.weight_readers import first_match
from drystone.passes.weights import drop_unused

#: The largest code.
_LARGEST = np.float32(127)
_SCATTER = "tm_tensor.scatter"
#: Positions of keys and values among the operands of attention, and of their peaks among its groups.
_KEYS, _VALUES, _PEAKS = 1, 2, 6

#: Regular expressions of states' names, and the format of each (None: as it is); the first match counts.
Caches = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class EncodeCaches:
    """States that attention reads as keys or values, and rows are written to, are held as bytes with the peak
    of every row, where `caches`, pairs of a regular expression and a format (None: as it is), name "int8":
    the first that matches all of a state's name.

    Before:  %k' = tm_tensor.scatter ins(%rows, %at) outs(%k : tensor<1x2x64x32xf32>)
             %y = "dry.attention"(%q, %k', ..) ; return %y, %k'
    After:   %c, %p = "dry.round_rows"(%rows)
             %k' = tm_tensor.scatter ins(%c, %at) outs(%k : tensor<1x2x64x32xi8>)
             %p' = tm_tensor.scatter ins(%p, %at) outs(%s : tensor<1x2x64xf32>)
             %y = "dry.attention"(%q, %k', .., %p') ; return %y, %k', %p'

    - A row is what a position of a head has: it is rounded once, when it is written. Attention multiplies a
      score by the key's scale, peak / 127, and a weight by the value's, not every number.
    - Of a row with an infinity or a NaN, the scores or results that it takes part in are not finite.
    - Only states in f32 that nothing else reads. Of a state "k" the codes keep the name, the
      peaks are a state "k.peak".
    - A pattern that matches no such state is the user's mistake.
    """

    caches: Caches = ()
    name: ClassVar[str] = "encode-caches"

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError for a pattern that matches nothing."""
        chosen = _chosen(program, self.caches)
        if not chosen:
            return
        _Caches(program).replace(chosen)
        erase_dead(main_block(program))
        drop_unused(program)


@dataclass(frozen=True)
class _Cache:
    """A state that can be held in bytes: its number, the operation that writes rows to it, and what reads it
    afterwards: operations and the number of the operand."""

    number: int
    write: Any
    reads: tuple[tuple[Any, int], ...]


def _found(program: Program) -> Iterator[_Cache]:
    """The states that can be held in bytes."""
    signature, block = program.signature, main_block(program)
    for number, spec in enumerate(signature.states):
        written = uses(block.arguments[len(signature.inputs) + number])
        if spec.dtype != "f32" or len(spec.shape) != 4 or len(written) != 1 or not _is_write(*written[0]):
            continue
        write = written[0][0]
        kept = len(signature.outputs) + number
        reads = [use for use in uses(write.results[0]) if (use[0].name, use[1]) != ("func.return", kept)]
        if reads and all(op.name == "dry.attention" and at in (_KEYS, _VALUES) for op, at in reads):
            yield _Cache(number, write, tuple(reads))


def _is_write(op: Any, operand: int) -> bool:
    """Whether an operation puts whole rows in the place of some that a tensor has."""
    if op.name != _SCATTER or operand != len(op.operands) - 1:
        return False
    body = op.regions[0].blocks[0]
    new = body.operations[0].operation.operands[0] == body.arguments[0]
    last = op.operands[operand].type.rank - 1
    return new and last not in ir.DenseI64ArrayAttr(op.attributes["dimension_map"])


def _chosen(program: Program, caches: Caches) -> list[_Cache]:
    """The states that are to be held in bytes. Raises UserError for a pattern that matches nothing."""
    chosen, names, matched = [], list[str](), set[str | None]()
    for cache in _found(program) if caches else ():
        names.append(program.signature.states[cache.number].name)
        pattern = first_match((each for each, _ in caches), names[-1])
        matched.add(pattern)
        if pattern is not None and dict(caches)[pattern] is not None:
            chosen.append(cache)
    for pattern, _ in caches:
        if pattern not in matched:
            raise UserError(
                f"caches: {pattern!r} matches no state that attention reads as keys or values",
                hint=f"these can be held as codes: {', '.join(names)}"
                if names
                else "a cache is a buffer of f32 [.., positions, .., width] that index_copy_ or index_put_ "
                "writes rows to, and scaled_dot_product_attention reads as it is afterwards",
            )
    return chosen


@dataclass(frozen=True)
class _Caches:
    """Puts states of bytes in the place of others."""

    program: Program

    def replace(self, chosen: Sequence[_Cache]) -> None:
        """Hold the chosen states in bytes."""
        signature, block = self.program.signature, main_block(self.program)
        (last,) = ops(block, "func.return")
        results = list(last.operation.operands)[len(signature.outputs) :]
        by_number = {cache.number: cache for cache in chosen}
        states: list[tuple[TensorSpec, str, Any]] = []
        reads: dict[Any, dict[int, tuple[Any, Any]]] = {}
        for number, (spec, key, result) in enumerate(
            zip(signature.states, signature.initial, results, strict=True)
        ):
            argument = block.arguments[len(signature.inputs) + number]
            if (cache := by_number.get(number)) is None:
                argument.replace_all_uses_with(block.add_argument(argument.type, argument.location))
                states.append((spec, key, result))
                continue
            codes, peaks = self._written(cache, argument)
            for op, operand in cache.reads:
                reads.setdefault(op, {})[operand] = (codes, peaks)
            states += zip(self._specs(spec), self._initial(key), (codes, peaks), strict=True)
        for op, values in reads.items():
            _read(op, values)
        with ir.InsertionPoint(last), last.operation.location:
            outputs = list(last.operation.operands)[: len(signature.outputs)]
            func.ReturnOp([*outputs, *(result for _, _, result in states)])
        last.operation.erase()
        for cache in chosen:
            cache.write.erase()
        self._retype([spec for spec, _, _ in states], [key for _, key, _ in states])

    def _written(self, cache: _Cache, argument: Any) -> tuple[Any, Any]:
        """The new codes and peaks of a state."""
        op, block = cache.write, argument.owner
        rows, at = list(op.operands)[:2]
        dims = list(ir.DenseI64ArrayAttr(op.attributes["dimension_map"]))
        kinds = (ir.IntegerType.get_signless(8), ir.F32Type.get())
        shapes = (list(argument.type.shape), list(argument.type.shape)[:-1])
        own = [
            block.add_argument(tensor_type(extents, kind), argument.location)
            for extents, kind in zip(shapes, kinds, strict=True)
        ]
        with ir.InsertionPoint(op), op.location:
            made = rounded_rows(rows)
            return scatter(own[0], made.codes, at, dims), scatter(own[1], made.peak, at, dims)

    def _specs(self, spec: TensorSpec) -> tuple[TensorSpec, TensorSpec]:
        return (
            TensorSpec(spec.name, "i8", spec.shape),
            TensorSpec(part_key(spec.name, "peak"), "f32", spec.shape[:-1]),
        )

    def _initial(self, key: str) -> tuple[str, str]:
        """The first codes and peaks of a state."""
        weights = self.program.weights
        parts = encode(weights[key], int8_row(3))
        codes, peaks = parts["codes"], _LARGEST * parts["scale"]
        return weights.add(f"{key}.int8", codes), weights.add(f"{key}.peak", peaks)

    def _retype(self, specs: Sequence[TensorSpec], keys: Sequence[str]) -> None:
        """Drop the arguments of the old states, and say what the new ones are."""
        signature, block = self.program.signature, main_block(self.program)
        for _ in signature.states:
            block.erase_argument(len(signature.inputs))
        declare(self.program)
        self.program.signature = replace(signature, states=tuple(specs), initial=tuple(keys))


def _read(op: Any, values: dict[int, tuple[Any, Any]]) -> None:
    """Let attention read codes, with their peaks, as keys, values or both."""
    operation, groups = op.operation, operand_groups(op)
    for operand, (codes, peaks) in values.items():
        groups[operand], groups[_PEAKS + operand - _KEYS] = [codes], [peaks]
    named = {name: operation.attributes[name] for name in operation.attributes}
    named["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get([len(group) for group in groups])
    operands = [value for group in groups for value in group]
    with ir.InsertionPoint(op), operation.location:
        made = ir.Operation.create(operation.name, [operation.results[0].type], operands, named)
    operation.results[0].replace_all_uses_with(made.results[0])
    operation.erase()
