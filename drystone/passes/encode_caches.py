"""The pass `encode-caches`: what attention keeps of keys and values is held as codes."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar

from drystone.caches import Caches, Held
from drystone.errors import UserError
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import ir
from drystone.passes.cached_states import KEYS, VALUES, Cache, hold
from drystone.passes.rewriting import erase_dead, uses
from drystone.passes.weight_readers import first_match
from drystone.passes.weights import drop_unused

_SCATTER = "tm_tensor.scatter"
#: So many names are shown where a pattern matches none.
_SHOWN = 4


@dataclass(frozen=True)
class EncodeCaches:
    """States that attention reads as keys or values, and rows are written to, are held as codes where
    `caches`, pairs of a regular expression and a format (None: as it is), says so: the first that matches all
    of a state's name.

    Before:  %k' = tm_tensor.scatter ins(%rows, %at) outs(%k : tensor<1x2x64x32xf32>)
             %y = "dry.attention"(%q, %k', ..) ; return %y, %k'
    After:   ("int8")
             %c, %p = "dry.round_rows"(%rows)
             %k' = tm_tensor.scatter ins(%c, %at) outs(%k : tensor<1x2x64x32xi8>)
             %p' = tm_tensor.scatter ins(%p, %at) outs(%s : tensor<1x2x64xf32>)
             %y = "dry.attention"(%q, %k', .., %p') ; return %y, %k', %p'
             (a `Cache`)
             %k' = "dry.write_rows"(%k, %rows, %at) : tensor<1x2x64x32xf32, #dry.joined<..>>
             %y = "dry.attention"(%q, %k', ..) ; return %y, %k'

    - A row is what a position of a head has. In bytes it is rounded once, when it is written. Attention
      multiplies a score by the key's scale, peak / 127, and a weight by the value's, not every number.
    - A `Cache` is one state of bytes, whose type says what they are: codes in strings along the positions,
      scales and minima in f16 and, where the newest rows are read as they were written, a ring of these.
    - A `Keep` is a state with fewer positions, and one of i64 beside the keys, "k.places", that says which
      they are; attention masks by these (`kept_positions`).
    - Of a row with an infinity or a NaN, the scores or results that it takes part in are not finite.
    - Only states in f32 that nothing else reads. Of a state "k" in bytes the codes keep the name, the
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
        hold(program, chosen)
        erase_dead(main_block(program))
        drop_unused(program)


def _found(program: Program) -> Iterator[Cache]:
    """The states that can be held as codes."""
    signature, block = program.signature, main_block(program)
    for number, spec in enumerate(signature.states):
        written = uses(block.arguments[len(signature.inputs) + number])
        if spec.dtype != "f32" or len(spec.shape) != 4 or len(written) != 1 or not _is_write(*written[0]):
            continue
        write = written[0][0]
        kept = len(signature.outputs) + number
        reads = [use for use in uses(write.results[0]) if (use[0].name, use[1]) != ("func.return", kept)]
        if reads and all(op.name == "dry.attention" and at in (KEYS, VALUES) for op, at in reads):
            yield Cache(number, write, tuple(reads))


def _is_write(op: Any, operand: int) -> bool:
    """Whether an operation puts whole rows in the place of some that a tensor has."""
    if op.name != _SCATTER or operand != len(op.operands) - 1:
        return False
    body = op.regions[0].blocks[0]
    new = body.operations[0].operation.operands[0] == body.arguments[0]
    last = op.operands[operand].type.rank - 1
    return new and last not in ir.DenseI64ArrayAttr(op.attributes["dimension_map"])


def _chosen(program: Program, caches: Caches) -> dict[int, tuple[Cache, Held]]:
    """The states that are to be held as codes, by number, and in what. Raises UserError for a pattern that
    matches nothing."""
    chosen, names, matched = dict[int, tuple[Cache, Held]](), list[str](), set[str | None]()
    for cache in _found(program) if caches else ():
        names.append(program.signature.states[cache.number].name)
        pattern = first_match((each for each, _ in caches), names[-1])
        matched.add(pattern)
        held = None if pattern is None else dict(caches)[pattern]
        if held is not None:
            chosen[cache.number] = cache, held
    for pattern, _ in caches:
        if pattern not in matched:
            raise UserError(
                f"caches: {pattern!r} matches no state that attention reads as keys or values",
                hint=f"these can be held as codes: {_nearest(pattern, names)}"
                if names
                else "a cache is a buffer of f32 [.., positions, .., width] that index_copy_ or index_put_ "
                "writes rows to, and scaled_dot_product_attention reads as it is afterwards",
            )
    return chosen


def _nearest(pattern: str, names: list[str]) -> str:
    """Some names, those most like a pattern first."""
    plain = pattern.replace("\\", "").replace(".*", "")
    shown = list(dict.fromkeys([*get_close_matches(plain, names, _SHOWN, 0.0), *names]))[:_SHOWN]
    more = f", and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more
