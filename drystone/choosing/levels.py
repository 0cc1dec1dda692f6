"""Levels of zeros for weights: the model changes least where so many of all numbers are zeros."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from drystone.choosing.changes import Changes
from drystone.choosing.choose import Option, choose
from drystone.choosing.zeros import Trial
from drystone.dtypes import Array
from drystone.ir.program import Program
from drystone.passes import ExposeWeights, Quantization, SparsifyWeights, copy_of, run
from drystone.passes.fusing.fold_weights import FoldWeights
from drystone.passes.pruning import Blocks, Free, Pruning
from drystone.passes.rounding import Seen
from drystone.passes.weight_readers import Reader, asked
from drystone.runtime.accuracy import Call
from drystone.runtime.fitted import Fitted
from drystone.runtime.manifest import ChosenFormat

#: What levels are tried about the one that is asked for, and the most.
_ABOUT = (-0.4, -0.3, -0.2, -0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
_MOST = 0.98
#: Pruned weights, by their keys.
Arrays = Mapping[str, Array]


def with_levels(
    quantized: Quantization,
    program: Program,
    build: Callable[[Quantization], Fitted],
    calls: Sequence[Call],
) -> tuple[Quantization, tuple[ChosenFormat, ...]]:
    """The passes with a level for every weight whose level is free, and what was chosen: as many numbers are
    zeros in all as if each weight had the level that is asked for, and the model changes no more on the
    calibration's calls than it would then.

    What a level changes is the squared error that it leaves of a layer's outputs times how much the model
    changes for such an error in this layer, measured with this layer alone pruned, as for formats
    (`choosing.choose`). `program` is imported, and stays; `build` compiles the model anew.
    """
    sparse = quantized.sparse
    if not any(_is_free(pruning) for _, pruning in sparse.prunings):
        return quantized, ()
    # What reads weights is known for as long as the program is.
    copy = copy_of(program)
    run(copy, (FoldWeights(),))
    free = _free(copy, sparse)
    arrays = {key: array for key, (_, _, array) in free.items()}
    changes = Changes(build(Quantization(ExposeWeights(tuple(free)))), arrays, calls)
    options, levels = dict[str, list[Option]](), dict[str, list[float]]()
    for key, (reader, pruning, array) in free.items():
        options[key], levels[key] = _options(key, reader, pruning, array, sparse.seen.get(key), changes)
    limit = sum(_at(own, levels[key], _level(free[key][1])).size for key, own in options.items())
    found = choose(options, limit)
    assert found is not None, "the level that is asked for keeps the limit"
    chosen = {key: levels[key][options[key].index(each)] for key, each in zip(options, found, strict=True)}
    uniform = {key: _level(pruning) for key, (_, pruning, _) in free.items()}
    made = [_pruned(free, each, sparse.seen) for each in (uniform, chosen)]
    if changes.of(made[1]) > changes.of(made[0]):
        chosen = uniform
    said = []
    for key, level in chosen.items():
        each = _at(options[key], levels[key], level)
        bits = 8 * arrays[key].itemsize * each.size / arrays[key].size
        said.append(ChosenFormat(key, each.format, bits, each.change))
    return replace(quantized, sparse=_settled(sparse, free, chosen)), tuple(said)


#: By the keys of weights what reads them, how they are pruned, and their arrays.
_Free = Mapping[str, tuple[Reader, Pruning, Array]]


def _free(program: Program, sparse: SparsifyWeights) -> _Free:
    """The weights whose levels are free."""
    found = asked(program, sparse.prunings, tables=sparse.tables, argument="sparsify")
    return {
        reader.key: (reader, pruning, program.weights[reader.key])
        for group in found
        for reader, pruning in group
        if _is_free(pruning) and reader.kind != "table"
    }


def _is_free(pruning: Pruning | None) -> bool:
    """Whether its level is to be chosen so that all weights together have one."""
    return pruning is not None and isinstance(pruning.zeros, Free) and pruning.zeros.level is not None


def _level(pruning: Pruning) -> float:
    """The level that all weights together are to have."""
    assert isinstance(pruning.zeros, Free) and pruning.zeros.level is not None
    return pruning.zeros.level


def _at(options: Sequence[Option], levels: Sequence[float], level: float) -> Option:
    return options[levels.index(level)]


def _options(
    key: str, reader: Reader, pruning: Pruning, array: Array, seen: Seen | None, changes: Changes
) -> tuple[list[Option], list[float]]:
    """All that can be chosen for a weight, and the levels of these."""
    matrix, asked_for = reader.matrix(array), _level(pruning)
    trial = Trial(matrix, seen, pruning, lambda found: changes.by(key, reader.array(found)))
    tried = sorted({round(asked_for + each, 3) if each else asked_for for each in _ABOUT})
    tried = [each for each in tried if 0 < each <= max(_MOST, asked_for)]
    tried = [each for each in tried if not Blocks(each).problem(*matrix.shape)]
    cost = trial.slope(Blocks(each) for each in tried if each >= asked_for) * trial.left(Blocks(asked_for))
    options, levels = [Option("", array.size, 0.0, 0.0)], [0.0]
    for level in tried:
        numbers = trial.simple(Blocks(level))
        change = cost * trial.error(numbers)
        options.append(Option(str(Blocks(level)), int(np.count_nonzero(numbers)), change, 0.0))
        levels.append(level)
    return options, levels


def _pruned(free: _Free, levels: Mapping[str, float], seen: Mapping[str, Seen]) -> Arrays:
    """The weights with these levels."""
    found = {}
    for key, (reader, pruning, array) in free.items():
        matrix = reader.matrix(array)
        level = levels[key]
        numbers = replace(pruning, zeros=Blocks(level)).pruned(matrix, seen.get(key)) if level else matrix
        found[key] = reader.array(numbers)
    return found


def _settled(sparse: SparsifyWeights, free: _Free, levels: Mapping[str, float]) -> SparsifyWeights:
    """The pass with these levels; what else is matched has the level that is asked for."""
    own = tuple(
        (re.escape(key), replace(free[key][1], zeros=Blocks(level)) if level else None)
        for key, level in levels.items()
    )
    rest = tuple(
        (pattern, each.for_now if each is not None and _is_free(each) else each)
        for pattern, each in sparse.prunings
    )
    return replace(sparse, prunings=(*own, *rest), others=sparse.others.union(p for p, _ in sparse.prunings))
