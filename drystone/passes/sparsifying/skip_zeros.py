"""The pass `skip-zeros`: numbers below thresholds become 0, so that products leave out what meets them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir.build import mapped
from drystone.ir.program import Program
from drystone.ir.values import main_block, producer, shape
from drystone.ir.zeros import AT_MOST, factors_of
from drystone.mlir import arith, ir, math
from drystone.passes.generic import (
    dims_map,
    filled,
    is_identity,
    is_other_float,
    last_dim,
    maps_of,
    unwidened,
    widened_to,
)
from drystone.passes.quantizing.quantize_products import INT8, Formats
from drystone.passes.resolve_dims import ResolveDims
from drystone.passes.results import give
from drystone.passes.rewriting import erase_dead, tensor_type, uses
from drystone.passes.sparsifying.fixed_sets import FixedSet, Prompt, first_product
from drystone.passes.sparsifying.thresholds import Shown, edges, read_as, thresholded
from drystone.passes.weight_readers import Reader, asked, asked_of
from drystone.passes.weights import drop_unused, new_weight, weight_key


@dataclass(frozen=True)
class Left:
    """What part of the inputs of a product is left out, by magnitude; 0: those alone that are 0. gate: where
    the inputs are those of a gate times results of another product, the gate's (True: there has to be one;
    None: where there is one). prompt: it is neurons that a prompt leaves out for the rows that follow it.
    window: for how many calls rows of weights stay that are not read, where they come from a file as they are
    read; None: they do not."""

    level: float
    gate: bool | None = None
    prompt: Prompt | None = None
    window: int | None = None


#: Regular expressions of weights' keys, and what is left out of what they are multiplied with (None:
#: nothing); the first match counts.
Asked = tuple[tuple[str, Left | None], ...]


@dataclass(frozen=True)
class Site:
    """A tensor `value` [.., k] that gets thresholds, as operand `number` of the `users` reads it: the inputs
    of the products that are the `readers`, or what these are multiplied with before, number by number, which
    is then the `other` factor."""

    value: Any
    users: tuple[Any, ...]
    number: int
    readers: tuple[Reader, ...]
    left: Left
    other: Any = None

    @property
    def name(self) -> str:
        """The keys of the weights, the same in every compilation of a model."""
        return " ".join(dict.fromkeys(each.key for each in self.readers))

    @property
    def left_out(self) -> list[str]:
        """The keys of the weights of which rows are left out."""
        found = [each.key for each in self.readers]
        if self.other is not None:
            product = producer(_behind(self.other)[-1]).operation
            found.append(str(weight_key(unwidened(product.operands[1]))))
        return found

    def read(self, left: Any) -> None:
        """Let the users read a tensor instead, the value with zeros, that is made right before the first."""
        first = self.users[0]
        with ir.InsertionPoint(first), first.location:
            left = widened_to(left, first.operands[self.number].type.element_type)
        for user in self.users:
            user.operands[self.number] = left
        if self.other is not None:
            _compute_late(self.other, first)

    def norms(self, program: Program) -> Array:
        """The norm of what the weights of the readers have for each of their inputs, f32 [k]."""
        matrices = [each.matrix(program.weights[each.key]) for each in self.readers]
        squares: Array = sum((matrix**2).sum(0) for matrix in matrices)
        return np.sqrt(squares).astype(np.float32)


@dataclass(frozen=True)
class SkipZeros:
    """What the weights that `asked` names are multiplied with gets thresholds: numbers of a magnitude up to
    that of their channel become 0.

    Before:  %h = linalg.generic ins(%g, %u) {g * u} ; %y = "dry.matmul"(%h, %w)
    After:   %z = linalg.generic ins(%g, %t) {select(|g| <= t, 0, g)}
             %h = linalg.generic ins(%z, %u) {z * u} ; %y = "dry.matmul"(%h, %w)

    - Where the inputs are, number by number, those of a tensor times the results of a product with a weight
      (an MLP's gate and its up projection), it is that tensor's numbers, and the product comes after them:
      `pack-weights` lets it be computed for outputs alone that are not multiplied with 0.
    - Where a `Prompt` fixes what is left out, two states, f32 [1, k], say which neurons are live and what
      they have counted for (`fixed_sets`). The gate's product is then computed for live neurons alone, too.
             %now = tm_tensor.scatter ins(%ones : tensor<?x24xf32>, ..) outs(%live : tensor<1x24xf32>)
             %z = linalg.generic ins(%g, %now) {select(|now| <= 0, 0, g)}
    - `seen` has for a site's name what calibration showed of it; a level of 0 needs none.
    - Convolutions and embeddings are left as they are. Weights of which rows are to be left out, and that
      `held`, patterns with what else is asked for, or `in_bytes` name too, are the user's mistake: kernels
      read them as a whole.
    """

    asked: Asked = ()
    seen: Mapping[str, Shown] = field(default_factory=dict)
    in_bytes: Formats = ()
    held: tuple[tuple[str, object | None], ...] = ()
    name: ClassVar[str] = "skip-zeros"

    @property
    def observer(self) -> "ObserveZeros":
        """With this pass a program gives what thresholds are found by."""
        return ObserveZeros(self.asked)

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError for patterns and formats that do not fit."""
        for site in sites(program, self.asked):
            for key in site.left_out:
                names = program.weights.names(key)
                if asked_of(self.in_bytes, names) == INT8 or asked_of(self.held, names) is not None:
                    raise UserError(
                        f"skip: no rows of {key} can be left out: quantize= or sparsify= asks for it too",
                        hint="leave it out of these, or what it is multiplied with out of skip=",
                    )
                _open(program, key, site.left)
            if site.left.prompt is None:
                self._threshold(program, site)
            else:
                _fix(program, site, site.left.prompt)
        erase_dead(main_block(program))

    def _threshold(self, program: Program, site: Site) -> None:
        """Let the users of a site read what its thresholds leave."""
        first, k = site.users[0], shape(site.value)[-1] or 0
        seen = self.seen.get(site.name)
        given = np.zeros(k, np.float32) if seen is None else seen.thresholds(site.left.level)
        with ir.InsertionPoint(first), first.location:
            key = site.readers[0].key
            kind = tensor_type(given.shape, ir.F32Type.get())
            left = thresholded(site.value, new_weight(program, f"{key}.thresholds", given, kind))
        site.read(left)


@dataclass(frozen=True)
class ObserveZeros:
    """The results are, for every site of `SkipZeros`, the largest magnitude of each channel, f32 [k], and
    what errors of it weigh, [k]: the norm of the weights' column, times the magnitudes of the other factor
    summed over rows where there is one (CHESS: He et al. 2024, section 3.2), else the number of rows.

    Before:  %y = "dry.matmul"(%h, %w) ; return %y
    After:   %p = linalg.generic ins(%h) {max of |h|} ; %e = linalg.generic ins(%h, %n) {sum of n} ; return ..

    - They are named "peak" and "weight" and, behind a space, as the site.
    - With `weights` by such names, the result is instead how many numbers, times their channel's weight, are
      of a magnitude up to each of `edges()`, i32 [n], named "below".
    """

    asked: Asked = ()
    weights: Mapping[str, Array] = field(default_factory=dict)
    name: ClassVar[str] = "observe-zeros"

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError for a pattern that matches nothing."""
        found = dict[str, Any]()
        for site in sites(program, self.asked):
            if site.left.prompt is not None:
                continue
            first = site.users[0]
            with ir.InsertionPoint(first), first.location:
                value = widened_to(site.value, ir.F32Type.get())
                if site.name in self.weights:
                    constants = self.weights[site.name], edges()
                    found[f"below {site.name}"] = _below(value, *(_constant(program, c) for c in constants))
                else:
                    found[f"peak {site.name}"] = _peak(value)
                    found[f"weight {site.name}"] = _weights(program, site, value)
        give(program, found)
        erase_dead(main_block(program))
        drop_unused(program)


def sites(program: Program, pairs: Asked) -> list[Site]:
    """What gets thresholds, in order. Raises UserError for a pattern that matches nothing."""
    found = list[Site]()
    if pairs:  # extents that are read of a tensor would be reads of it
        ResolveDims().run(program)
    for group in asked(program, pairs, tables=False, argument="skip"):
        products = [(reader, left) for reader, left in group if reader.kind == "product"]
        for left in dict.fromkeys(left for _, left in products):
            readers = tuple(reader for reader, own in products if own == left)
            gated = None if left.gate is False else _gate(readers, left)
            if left.gate and gated is None:
                raise UserError(
                    f"skip: {readers[0].key} reads no gate times what another weight is multiplied with",
                    hint='give at="inputs", or leave at out',
                )
            users = tuple(reader.op.operation for reader in readers)
            found.append(gated or Site(unwidened(readers[0].x), users, 0, readers, left))
    return found


def _gate(readers: tuple[Reader, ...], left: Left) -> Site | None:
    """The site at the gate that inputs of products are multiplied with; None where there is none, or where
    something else reads the inputs too."""
    made = producer(_behind(readers[0].x)[-1])
    if made is None or made.operation.name != "linalg.generic" or len(made.operation.results) != 1:
        return None
    *_, last = made.operation.regions[0].blocks[0].operations
    maps, operands = maps_of(made), made.operation.operands
    read = [each for each in factors_of(last.operation.operands[0]) if read_as(made, each) is not None]
    places = [each.arg_number for each in read if is_identity(maps[each.arg_number])]
    computed = [number for number in places if _is_product(operands[number])]
    alone = _read_by(made.operation.results[0]) == {reader.op.operation for reader in readers}
    if len(places) != 2 or places[0] == places[1] or not computed or not is_identity(maps[-1]) or not alone:
        return None
    other = computed[-1]
    (number,) = (place for place in places if place != other)
    return Site(unwidened(operands[number]), (made.operation,), number, readers, left, operands[other])


def _behind(value: Any) -> list[Any]:
    """A tensor, and what it is another float of, and so on."""
    found, made = [value], producer(value)
    if made is not None and is_other_float(made):
        found += _behind(made.operation.operands[0])
    return found


def _read_by(value: Any) -> set[Any]:
    """The operations that read a tensor, or another float of it."""
    found = set[Any]()
    for user, _ in uses(value):
        found |= _read_by(user.results[0]) if is_other_float(user) else {user}
    return found


def _is_product(value: Any) -> bool:
    """Whether a tensor is the results of a product with a weight, that nothing else reads."""
    behind = _behind(value)
    made = producer(behind[-1])
    if made is None or made.operation.name != "dry.matmul" or any(len(uses(each)) != 1 for each in behind):
        return False
    return weight_key(unwidened(made.operation.operands[1])) is not None


def _compute_late(value: Any, user: Any) -> None:
    """Let a product's results be computed right before their only user."""
    for each in reversed(_behind(value)):
        each.owner.operation.move_before(user)


def _fix(program: Program, site: Site, how: Prompt) -> None:
    """Let the users of a site read what the set that a prompt fixes leaves."""
    first, start = site.users[0], first_product(site.value)
    if start is not None and start.operation.name == "dry.matmul":
        _open(program, weight_key(unwidened(start.operation.operands[1])), site.left)
    with ir.InsertionPoint(first if start is None else start), first.location:
        fixed = FixedSet.of(program, site.readers[0].key, site.value)
        now = fixed.now()
    with ir.InsertionPoint(first), first.location:
        left = fixed.masked(site.value, now)
    site.read(left)
    reader = site.readers[0].op.operation
    with ir.InsertionPoint(reader), reader.location:
        h = left if site.other is None else first.results[0]
        k = int(left.type.shape[-1])
        fixed.settle(program, h, site.norms(program), max(1, round((1 - site.left.level) * k)), how)


def _open(program: Program, key: str | None, left: Left) -> None:
    """Let rows of a weight come as they are read, where they are to."""
    if key is not None and left.window is not None:
        program.windows[key] = left.window


def _constant(program: Program, array: Array) -> Any:
    """An array as a weight."""
    return new_weight(program, "calibration", array, tensor_type(array.shape, ir.F32Type.get()))


def _over_rows(values: Sequence[Any], of: Any, k: int) -> Any:
    """The sum, or whatever `of` makes of a number and what there is, over all dimensions of tensors but the
    last, [k]; those of one dimension are the same for every row."""
    rank = values[0].type.rank
    maps = [last_dim(rank) if each.type.rank == 1 else ir.AffineMap.get_identity(rank) for each in values]
    iterators = ["reduction"] * (rank - 1) + ["parallel"]
    return mapped(values, filled(ir.F32Type.get(), 0.0, [k]), [*maps, last_dim(rank)], of, iterators)


def _peak(value: Any) -> Any:
    """The largest magnitudes of a tensor [.., k]."""

    def larger(number: Any, most: Any) -> Any:
        return arith.MaximumFOp(math.AbsFOp(number).result, most).result

    return _over_rows([value], larger, shape(value)[-1] or 0)


def _weights(program: Program, site: Site, value: Any) -> Any:
    """What errors of a site's channels weigh."""
    norms = _constant(program, site.norms(program))
    other = value if site.other is None else widened_to(site.other, ir.F32Type.get())

    def add(number: Any, norm: Any, total: Any) -> Any:
        size = norm if site.other is None else arith.MulFOp(math.AbsFOp(number).result, norm).result
        return arith.AddFOp(total, size).result

    return _over_rows([other, norms], add, shape(value)[-1] or 0)


def _below(value: Any, weights: Any, edges: Any) -> Any:
    """How many numbers of a tensor [.., k] times weights [k] have magnitudes up to each of the edges [n]."""
    rank, i32 = value.type.rank, ir.IntegerType.get_signless(32)
    maps = [dims_map(rank + 1, dims) for dims in (range(rank), [rank - 1], [rank], [rank])]

    def add(number: Any, weight: Any, edge: Any, count: Any) -> Any:
        size = arith.MulFOp(math.AbsFOp(number).result, weight).result
        under = arith.CmpFOp(AT_MOST, size, edge).result
        return arith.AddIOp(count, arith.ExtUIOp(i32, under).result).result

    iterators = ["reduction"] * rank + ["parallel"]
    return mapped([value, weights, edges], filled(i32, 0, shape(edges)), maps, add, iterators)
