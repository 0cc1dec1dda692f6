"""The pass `shrink-channels`: whole channels, neurons and heads go, and tensors are smaller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.build import integer
from drystone.ir.elements import widen
from drystone.ir.program import Program
from drystone.ir.shapes import channel_axis, layouts
from drystone.ir.values import main_block, producer_name
from drystone.mlir import ir
from drystone.passes.quantizing.observe_weights import ObserveWeights
from drystone.passes.rewriting import erase_dead, ops
from drystone.passes.rounding import Seen
from drystone.passes.sparsifying.tied_dims import Group, is_free
from drystone.passes.sparsifying.ties import tied_groups
from drystone.passes.weight_readers import asked_of, first_match, no_match, readers_of
from drystone.passes.weights import drop_unused, model_name, weight_key
from drystone.sparse_weight import Removed

#: From so many units on multiples of what are left, where it divides them.
_STEPS = ((64, 8), (16, 4))


@dataclass(frozen=True)
class Removal:
    """What part of a weight's outputs goes: `heads` of attention, or channels and neurons; whether
    calibration has to say which, or is not asked."""

    level: float
    heads: bool = False
    calibrated: bool = False
    plain: bool = False

    def left(self, units: int) -> int:
        """How many of so many are left: the nearest number, of many the nearest multiple of some that
        registers hold."""
        step = next((step for few, step in _STEPS if units >= few and units % step == 0), 1)
        return max(1, step * round((1 - self.level) * units / step))


#: Regular expressions of weights' keys, and what is removed of their outputs (None: nothing); the first match
#: counts.
Removals = tuple[tuple[str, Removal | None], ...]


@dataclass(frozen=True)
class ShrinkChannels:
    """Outputs of weights go, as `removals` say, with all that is computed of them and with the inputs of the
    weights that read that.

    Before:  %h = "dry.matmul"(%x, %u) : tensor<8x64xf32> ; %r = linalg.generic ins(%h) {relu}
             %y = "dry.matmul"(%r, %d) : (tensor<8x64xf32>, tensor<16x64xf32>) -> tensor<8x16xf32>
    After:   %h = "dry.matmul"(%x, %u) : tensor<8x32xf32> ; %r = linalg.generic ins(%h) {relu}
             %y = "dry.matmul"(%r, %d) : (tensor<8x32xf32>, tensor<16x32xf32>) -> tensor<8x16xf32>

    - What the program gives is what it gave with zeros in the inputs of the weights that read what goes.
    - Dimensions that belong together (`tied_groups`: what a batch norm or an activation is computed of, both
      sides of a residual, a depthwise convolution, queries, keys and values of a head) shrink together, or
      stay where one cannot: inputs, results and states of the model, what is normalized or summed over.
    - Those go that contribute least to what is computed of them: the squares of the norms of a unit's inputs,
      which `seen` has, times those of their columns in the weights that read them; without, norms of the rows
      that compute them stand for the former. One unit is always left; of 16 and more a multiple of 4, of 64
      and more of 8, where that divides them.
    - Weights keep their names. What went, or why it did not, is noted in the program.
    """

    removals: Removals = ()
    seen: Mapping[str, Seen] = field(default_factory=dict)
    name: ClassVar[str] = "shrink-channels"

    @property
    def observer(self) -> ObserveWeights:
        """With this pass a program gives statistics of what its weights are multiplied with."""
        return ObserveWeights(((".*", True),), argument="sparsify")

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError for patterns that match no weight."""
        if not self.removals:
            return
        groups = tied_groups(program)
        self._check(program, groups)
        sizes: dict[Any, dict[int, Array]] = {}
        for group in groups:
            removal = self._asked(program, group)
            if removal is None or removal.heads != group.heads:
                continue
            names = tuple(dict.fromkeys(model_name(key) for key, _ in group.outputs))
            kept = self.kept(program, group, removal)
            program.removed.append(Removed(names, removal.heads, group.units, len(kept), group.why))
            for place, dim in group.nodes if len(kept) < group.units else ():
                sizes.setdefault(place, {})[dim] = _positions(place, dim, group.units, kept)
        _Shrinker(program, sizes).run()
        erase_dead(main_block(program))
        drop_unused(program)

    def kept(self, program: Program, group: Group, removal: Removal) -> Array:
        """The units of a group that are left, ascending."""
        if group.why:
            return np.arange(group.units)
        scores = self._scores(program, group, {} if removal.plain else self.seen)
        return np.sort(np.argsort(-scores, kind="stable")[: removal.left(group.units)])

    def _check(self, program: Program, groups: Sequence[Group]) -> None:
        """Raise UserError for a pattern that matches no outputs."""
        patterns, matched = [pattern for pattern, _ in self.removals], set[str | None]()
        keys = list(dict.fromkeys(key for group in groups for key, _ in group.outputs))
        matched |= {first_match(patterns, program.weights.names(key)) for key in keys}
        for pattern, removal in self.removals:
            if removal is not None and pattern not in matched:
                none = "no product or convolution reads a weight of the model as it is"
                raise no_match(pattern, keys, "whose outputs can go", none, "sparsify")

    def _asked(self, program: Program, group: Group) -> Removal | None:
        """What goes of a group: what is asked for the outputs of all its weights."""
        wanted = {asked_of(self.removals, program.weights.names(key)) for key, _ in group.outputs}
        return wanted.pop() if len(wanted) == 1 else None

    def _scores(self, program: Program, group: Group, known_of: Mapping[str, Seen]) -> Array:
        """How much each unit contributes, where this is known of what weights are multiplied with."""
        readers = {reader.key: reader for reader in readers_of(program, tables=False)}
        made, read, known = np.zeros(group.units), np.zeros(group.units), True
        for key, dim in dict.fromkeys(group.outputs):
            made += _squares(widen(program.weights[key]), dim, group.units)
        for key, dim in dict.fromkeys(group.inputs):
            seen = known_of.get(key)
            known = known and seen is not None
            if seen is None:
                read += _squares(widen(program.weights[key]), dim, group.units)
            else:
                weighed = readers[key].matrix(program.weights[key]) * seen.size
                read += _squares(readers[key].array(weighed), dim, group.units)
        return read if known else read * made


def _squares(array: Array, dim: int, units: int) -> Array:
    """The sum of squares of each unit along a dimension."""
    turned = np.moveaxis(array.astype(np.float64), dim, 0)
    return np.asarray(np.square(turned.reshape(units, -1)).sum(1))


def _positions(place: Any, dim: int, units: int, kept: Array) -> Array:
    """The positions of units along a dimension."""
    value = place[0].operands[place[1]] if isinstance(place, tuple) else place
    each = value.type.shape[dim] // units
    return np.asarray((kept[:, None] * each + np.arange(each)).ravel())


@dataclass(frozen=True)
class _Shrinker:
    """Gives tensors their new sizes. sizes: for places the positions that are left along dimensions."""

    program: Program
    sizes: Mapping[Any, Mapping[int, Array]]

    def run(self) -> None:
        """Rewrite the program."""
        done = set[str]()
        for op in ops(main_block(self.program)):
            operation = op.operation
            for number, value in enumerate(operation.operands):
                if is_free(value) and (operation, number) in self.sizes:
                    operation.operands[number] = _resized(value, self._kind(value, (operation, number)), op)
            for result in operation.results:
                if result in self.sizes:
                    kind = self._kind(result, result)
                    if operation.name == "dry.weight" and (key := str(weight_key(result))) not in done:
                        done.add(key)
                        self._cut(key, self.sizes[result])
                    if operation.name == "dry.conv" and _is_depthwise(operation):
                        operation.attributes["groups"] = integer(_channels(operation, kind))
                    result.set_type(kind)
            _renew(operation)

    def _kind(self, value: Any, place: Any) -> Any:
        """The type of a place."""
        extents = list(value.type.shape)
        for dim, positions in self.sizes[place].items():
            extents[dim] = len(positions)
        return ir.RankedTensorType.get(extents, value.type.element_type, encoding=value.type.encoding)

    def _cut(self, key: str, left: Mapping[int, Array]) -> None:
        """Keep these positions of a weight."""
        array = self.program.weights[key]
        for dim, positions in left.items():
            array = array.take(positions, dim)
        self.program.weights.replace(key, np.ascontiguousarray(array))


def _resized(value: Any, kind: Any, before: Any) -> Any:
    """What has one value everywhere, or none, in another size."""
    with ir.InsertionPoint(before), before.operation.location:
        made = value.owner.operation.clone()
        if producer_name(value) == "linalg.fill":
            made.operands[1] = _resized(value.owner.operands[1], kind, made)
        elif producer_name(value) == "arith.constant":
            number = made.attributes["value"].maybe_downcast().get_splat_value()
            made.attributes["value"] = ir.DenseElementsAttr.get_splat(kind, number)
    made.results[0].set_type(kind)
    return made.results[0]


def _renew(op: Any) -> None:
    """Let attributes that repeat sizes say them anew."""
    if op.name == "tensor.expand_shape":
        op.attributes["static_output_shape"] = ir.DenseI64ArrayAttr.get(list(op.results[0].type.shape))
    elif op.name == "tensor.extract_slice":
        op.attributes["static_sizes"] = ir.DenseI64ArrayAttr.get(list(op.results[0].type.shape))


def _is_depthwise(conv: Any) -> bool:
    """Whether every channel of the result, whose size is as before, is a group of its own."""
    return bool(1 < conv.attributes["groups"].value == _channels(conv, conv.results[0].type))


def _channels(conv: Any, kind: Any) -> int:
    """The channels of a convolution's result of this type."""
    made = layouts(conv.attributes["layout"].value)[1]
    return int(kind.shape[channel_axis(made, kind.rank)])
