"""Sets of neurons that a prompt fixes: calls of many rows say which are live, calls of one row read these.

Two states hold which neurons are live (1 or 0; at first all are) and what each has counted for so far. A call
of many rows (a prompt, or a part of one) computes every neuron, adds to the counts, and makes those live that
have the most. A call of one row (a decoder's step) leaves the others out and changes nothing. Which of the
two a call is its extents say: tensors of what only one of them does have no rows in the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir.bounds import Bounds
from drystone.ir.build import mapped, scatter, sort
from drystone.ir.program import Program, TensorSpec
from drystone.ir.values import is_tensor, producer, shape
from drystone.ir.zeros import AT_MOST
from drystone.mlir import arith, ir, linalg, math, tensor
from drystone.passes.dims import apply, as_value, empty_like, extent, sizes_of
from drystone.passes.generic import collapse, compare, dims_map, expand, filled, last_dim, leading, widened_to
from drystone.passes.layout.moves import cut
from drystone.passes.results import add_states, keep
from drystone.passes.rewriting import tensor_type
from drystone.passes.weights import new_weight

#: What the squares of a row sum to at least.
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Prompt:
    """How a prompt fixes the neurons that are live.

    core: None: neurons count for their squares, those of each row over the row's sum (GRIFFIN: Dong et al.
    2024, section 4.2), times the squared norms of what they meet; else each row has a vote for each neuron
    among this part of its positive numbers, the largest (CoreInfer: Wang et al. 2024, section 3)."""

    core: float | None = None


@dataclass(frozen=True)
class FixedSet:
    """The set of the neurons of a tensor [.., rows, k]: its name, the states' arguments, live and counts f32
    [1, k], and extents: 1 where a call has many rows, else 0, and how many of its rows count, all or none."""

    name: str
    live: Any
    counts: Any
    prompts: Any
    rows: Any

    @staticmethod
    def of(program: Program, name: str, value: Any) -> "FixedSet":
        """New states, at the insertion point. Raises UserError where calls are not of both kinds."""
        rows = as_value(1 if value.type.rank < 2 else extent(value, value.type.rank - 2))
        least, most = Bounds(program).of(rows)
        if least > 1 or most < 2:
            raise UserError(
                f"skip: a prompt fixes no neurons of what {name} is multiplied with: calls have "
                f"{least if least == most else f'{least} to {most}'} rows of it",
                hint='compile for calls of one row and of more (dynamic_shapes), or leave per="prompt" out',
            )
        k = shape(value)[-1] or 0
        first = {"live": np.ones((1, k), np.float32), "counts": np.zeros((1, k), np.float32)}
        states = [(TensorSpec(f"{name}.{part}", "f32", each.shape), each) for part, each in first.items()]
        prompts = apply(lambda r: ir.AffineExpr.get_floor_div(r + (most - 2), most), rows)
        counted = apply(lambda r, many: r + many - 1, rows, prompts)
        live, counts = add_states(program, states)
        return FixedSet(name, live, counts, prompts, counted)

    @property
    def _k(self) -> int:
        return int(self.live.type.shape[-1])

    def masked(self, value: Any, now: Any) -> Any:
        """A tensor of floats [.., k] where neurons are live `now`, f32 [k], else 0."""

        def of(number: Any, live: Any, _: Any) -> Any:
            none = arith.ConstantOp(live.type, 0.0).result
            out = arith.CmpFOp(AT_MOST, math.AbsFOp(live).result, none).result
            return arith.SelectOp(out, arith.ConstantOp(number.type, 0.0).result, number).result

        same = ir.AffineMap.get_identity(value.type.rank)
        return mapped([value, now], empty_like(value), [same, last_dim(value.type.rank), same], of)

    def now(self) -> Any:
        """Which neurons a call computes, f32 [k], at the insertion point: all of them for many rows."""
        ones = filled(ir.F32Type.get(), 1.0, [self.prompts, self._k])
        return collapse(scatter(self.live, ones, self._at(), [0]), [[0, 1]])

    def settle(self, program: Program, h: Any, norms: Array, live: int, how: Prompt) -> None:
        """Let the states hold what follows from a call's numbers, [.., rows, k], at the insertion point:
        so many are live. norms: of what they meet, f32 [k]."""
        rank = h.type.rank
        sizes = [*sizes_of(h, range(rank - 2)), self.rows, self._k]
        some = widened_to(cut(h, [0] * rank, sizes, [1] * rank), ir.F32Type.get())
        counts = self._squares(program, some, norms) if how.core is None else self._votes(some, how.core)
        most = self._most(counts, live)
        zeros = filled(ir.F32Type.get(), 0.0, [self.prompts, self._k])
        ones = filled(ir.F32Type.get(), 1.0, sizes_of(most, [0]))
        keep(program, self.counts, counts)
        keep(program, self.live, scatter(scatter(self.live, zeros, self._at(), [0]), ones, most, [0, 1]))

    def _at(self) -> Any:
        """The place of what calls of many rows write to states, i64 [1 or 0, 1]."""
        return filled(ir.IntegerType.get_signless(64), 0, [self.prompts, 1])

    def _squares(self, program: Program, h: Any, norms: Array) -> Any:
        """The counts with the squares of rows."""
        kind = tensor_type(norms.shape, ir.F32Type.get())
        weight = new_weight(program, f"{self.name}.squares", norms**2, kind)

        def add(x: Any, total: Any) -> Any:
            return arith.AddFOp(total, arith.MulFOp(x, x).result).result

        def part(x: Any, row: Any, norm: Any, total: Any) -> Any:
            least = arith.ConstantOp(row.type, _TINY).result
            share = arith.DivFOp(arith.MulFOp(x, x).result, arith.MaximumFOp(row, least).result).result
            return arith.AddFOp(total, arith.MulFOp(share, norm).result).result

        return self._over_rows(h, _along(h, 0.0, add), [weight], part)

    def _votes(self, h: Any, core: float) -> Any:
        """The counts with the votes of rows."""
        f32, i64 = ir.F32Type.get(), ir.IntegerType.get_signless(64)

        def least(x: Any, positive: Any, found: Any) -> Any:
            """Down from the largest, the last one that is voted for."""
            place = arith.IndexCastOp(i64, linalg.IndexOp(h.type.rank - 1).result).result
            allowed = arith.MulFOp(positive, arith.ConstantOp(f32, core).result).result
            votes = arith.CmpFOp(arith.CmpFPredicate.OLT, arith.SIToFPOp(f32, place).result, allowed).result
            other = arith.ConstantOp(f32, float("inf")).result
            down = arith.NegFOp(x).result
            return arith.MinimumFOp(found, arith.SelectOp(votes, down, other).result).result

        def positive(x: Any, count: Any) -> Any:
            return arith.AddFOp(count, _one_where(_above(x, 0.0), f32)).result

        def vote(x: Any, limit: Any, total: Any) -> Any:
            votes = arith.CmpFOp(arith.CmpFPredicate.OGE, x, limit).result
            chosen = arith.AndIOp(votes, _above(x, 0.0)).result
            return arith.AddFOp(total, _one_where(chosen, f32)).result

        negated = mapped([h], empty_like(h), [ir.AffineMap.get_identity(h.type.rank)] * 2, _negative)
        (down,) = sort(negated)
        limits = _along(down, float("inf"), least, [_along(h, 0.0, positive)])
        return self._over_rows(h, limits, [], vote)

    def _over_rows(self, h: Any, row: Any, neuron: Sequence[Any], of: Any) -> Any:
        """The counts, [1, k], with what `of` makes of numbers [.., rows, k], of what is given for each row
        [.., rows], and for each neuron [k]."""
        rank = h.type.rank
        counts = collapse(self.counts, [[0, 1]])
        maps = [ir.AffineMap.get_identity(rank), leading(rank), *(last_dim(rank) for _ in (*neuron, counts))]
        iterators = ["reduction"] * (rank - 1) + ["parallel"]
        return expand(mapped([h, row, *neuron], counts, maps, of, iterators), [[0, 1]], [1, self._k])

    def _most(self, counts: Any, n: int) -> Any:
        """The places [0, neuron] of the n neurons with the largest counts, i64 [n, 2], the first of equal
        ones; none in a call of one row."""
        i64 = ir.IntegerType.get_signless(64)
        sizes, same = [self.prompts, self._k], ir.AffineMap.get_identity(2)
        only = ir.AffineMap.get(2, 0, [ir.AffineExpr.get_constant(0), ir.AffineExpr.get_dim(1)])
        ranks = mapped([counts], tensor.EmptyOp(sizes, ir.F32Type.get()).result, [only, same], _negative)

        def number(_: Any) -> Any:
            return arith.IndexCastOp(i64, linalg.IndexOp(1).result).result

        _, order = sort(ranks, mapped([], tensor.EmptyOp(sizes, i64).result, [same], number))
        first = cut(order, [0, 0], [self.prompts, n], [1, 1])

        def place(neuron: Any, _: Any) -> Any:
            none = arith.ConstantOp(i64, 0).result
            is_row = compare("eq", linalg.IndexOp(2).result, arith.ConstantOp(ir.IndexType.get(), 0).result)
            return arith.SelectOp(is_row, none, neuron).result

        into = tensor.EmptyOp([self.prompts, n, 2], i64).result
        made = mapped([first], into, [dims_map(3, [0, 1]), ir.AffineMap.get_identity(3)], place)
        return collapse(made, [[0, 1], [2]])


def first_product(value: Any) -> Any:
    """The first product that maps make a tensor of; what makes the tensor where there is none, and None for
    an argument."""
    made = producer(value)
    if made is None or made.operation.name != "linalg.generic":
        return made
    read = [first_product(each) for each in made.operation.operands if is_tensor(each)]
    products = [each for each in read if each is not None and each.operation.name == "dry.matmul"]
    for one in products:
        if not any(other.operation.is_before_in_block(one.operation) for other in products):
            return one
    return made


def _negative(x: Any, *_: Any) -> Any:
    return arith.NegFOp(x).result


def _above(x: Any, limit: float) -> Any:
    """Whether a float is above a number."""
    return arith.CmpFOp(arith.CmpFPredicate.OGT, x, arith.ConstantOp(x.type, limit).result).result


def _one_where(flag: Any, element: Any) -> Any:
    """1 where something is true, else 0."""
    return arith.UIToFPOp(element, flag).result


def _along(h: Any, first: float, of: Any, more: Sequence[Any] = ()) -> Any:
    """What `of` makes of the numbers [.., rows, k] of each row, one after the other, and of what is given for
    each row, [.., rows]."""
    rank, row = h.type.rank, leading(h.type.rank)
    init = filled(ir.F32Type.get(), first, sizes_of(h, range(rank - 1)))
    iterators = ["parallel"] * (rank - 1) + ["reduction"]
    same = ir.AffineMap.get_identity(rank)
    return mapped([h, *more], init, [same, *(row for _ in (*more, init))], of, iterators)
