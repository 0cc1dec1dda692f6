"""The pass `encode-caches`: what attention keeps of keys and values is held as codes."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar, TypeVar

from drystone.caches import Caches, Held, Keep
from drystone.errors import UserError
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.passes.caches import cached_states, chosen_positions, kept_positions, split_heads
from drystone.passes.caches.read_caches import Cache, found
from drystone.passes.rewriting import erase_dead
from drystone.passes.weight_readers import first_match
from drystone.passes.weights import drop_unused

Kind = TypeVar("Kind")
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
      they are; attention masks by these (`kept_positions`). Its rows may be held as codes then. With `heavy`
      or `snap` the places differ from head to head (`chosen_positions`), and a state in f32, "k.weights", has
      the sums by which they are chosen: of the weights of an attention that is two products and a softmax
      (`position_weights`).
    - `Heads` make a state, and the attention that reads it, several: one for the heads that are held alike
      (`split_heads`). The states of some heads are called after these, "k.heads_0_1".
    - Of a row with an infinity or a NaN, the scores or results that it takes part in are not finite.
    - Only states in f32 that nothing else reads. Of a state "k" in bytes the codes keep the name, the
      peaks are a state "k.peak".
    - A pattern that matches no such state is the user's mistake.
    """

    caches: Caches = ()
    name: ClassVar[str] = "encode-caches"

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError for a pattern that matches nothing."""
        held = _chosen(program, self.caches)
        if not held:
            return
        held = split_heads.split(program, held)
        kept = {name: each for name, each in held.items() if isinstance(each, Keep)}
        for each, policy in ((True, chosen_positions.keep), (False, kept_positions.keep)):
            some = {name: keep for name, keep in kept.items() if (keep.chosen > 0) == each}
            if some:
                policy(program, _by_number(program, some))
        codes = {name: each.encoding if isinstance(each, Keep) else each for name, each in held.items()}
        cached_states.hold(program, _by_number(program, codes))
        erase_dead(main_block(program))
        drop_unused(program)


def _by_number(program: Program, held: Mapping[str, Kind | None]) -> dict[int, tuple[Cache, Kind]]:
    """The states that have such names, and are to be held as something else."""
    named = ((cache, held.get(cache.spec.name)) for cache in found(program))
    return {cache.number: (cache, each) for cache, each in named if each is not None}


def _chosen(program: Program, caches: Caches) -> dict[str, Held]:
    """What states are to be held as something else, by name, and as what. Raises UserError for a pattern that
    matches nothing."""
    chosen, names, matched = dict[str, Held](), list[str](), set[str | None]()
    for cache in found(program) if caches else ():
        names.append(cache.spec.name)
        pattern = first_match((each for each, _ in caches), names[-1:])
        matched.add(pattern)
        held = None if pattern is None else dict(caches)[pattern]
        if held is not None:
            chosen[names[-1]] = held
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
