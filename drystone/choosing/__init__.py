"""A format for every weight, chosen so that the model changes least within a budget of bytes."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from drystone import scheduling
from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir import formats
from drystone.ir.elements import widen
from drystone.ir.encoding import BY_RANGE, Encoding, encode
from drystone.ir.program import Program
from drystone.options import Budget, byte_count
from drystone.passes import ExposeWeights, Quantization, QuantizeWeights, Rounding
from drystone.passes.coded import Panels
from drystone.passes.expose_weights import WEIGHTS
from drystone.passes.pack_weights import panel_width
from drystone.passes.quantize_weights import BEST
from drystone.passes.rounding import Method, Seen, output_error
from drystone.passes.weight_readers import Reader, first_match, readers_of
from drystone.quantizing import Call, arguments
from drystone.runtime.fitted import Fitted
from drystone.runtime.manifest import ChosenFormat
from drystone.targets.target import CpuTarget

#: What is chosen from, beside leaving a weight as it is.
CANDIDATES = ("w2", "w3", "w4", "q5_k", "q6_k", "q8_0")
#: The format at which the effect of a weight on the model is measured, and the one at which it is measured
#: what rounding with feedback leaves of the error of rounding to the nearest.
_PROBE, _COMPARED = "w3", "w4"


@dataclass(frozen=True)
class Weight:
    """A weight: what gives it as f64 [n, k], these extents, what calibration showed of its inputs (None:
    nothing), its bytes as it is, and what says its bytes in an encoding (None: the encoding itself)."""

    matrix: Callable[[], Array]
    shape: tuple[int, int]
    seen: Seen | None
    bytes: int
    stored: Callable[[Encoding], int] | None = None

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return self.shape[0] * self.shape[1]

    def size(self, encoding: Encoding) -> int:
        """Its bytes in an encoding."""
        return encoding.bytes(self.shape) if self.stored is None else self.stored(encoding)

    @property
    def moment(self) -> Array:
        """x^T x; where nothing is known of x, that of inputs that do not depend on each other."""
        return np.eye(self.shape[1]) if self.seen is None else self.seen.moment


#: By how much the model's results change where the weight of this key is another matrix [n, k].
Effect = Callable[[str, Array], float]


def choose(weights: Mapping[str, Weight], effect: Effect, limit: int, beside: int = 0) -> list[ChosenFormat]:
    """A format for every weight, so that all, and what takes `beside` bytes, take at most `limit` bytes.
    Raises UserError where none can.

    What a format changes is the squared error that it leaves of a layer's outputs, tr((W - Q) H (W - Q)^T),
    times how much the model changes for such an error in this layer, which is measured: by its results with
    that layer alone rounded. Changes of several layers are taken for independent, as in MixDQ (Zhao et al.
    2024), and the sum is least (`scheduling.select`).
    """
    held = {name: formats.TABLE[name]() for name in CANDIDATES}
    items, names = [], []
    for key, weight in weights.items():
        fitting = {name: each for name, each in held.items() if not any(each.problems(weight.shape))}
        changes = _changes(key, weight, fitting, effect)
        sizes = [weight.size(each) for each in fitting.values()]
        pairs = [*zip(sizes, changes, strict=True), (weight.bytes, 0.0)]
        items.append([scheduling.Option(size, change) for size, change in pairs])
        names.append([*fitting, ""])
    found = scheduling.select(items, limit - beside)
    if found is None:
        raise _too_small(weights, items, limit, beside)
    return [
        ChosenFormat(key, own[n], 8 * options[n].size / weights[key].count, options[n].cost)
        for key, own, options, n in zip(weights, names, items, found.chosen, strict=True)
    ]


def _changes(key: str, weight: Weight, held: Mapping[str, Encoding], effect: Effect) -> list[float]:
    """What each format changes of the model."""
    matrix, moment = weight.matrix(), weight.moment
    nearest = {name: _nearest(matrix, encoding) for name, encoding in held.items()}
    errors = {name: output_error(each - matrix, moment) for name, each in nearest.items()}
    probe = _PROBE if _PROBE in errors else next(iter(errors), "")
    slope = effect(key, nearest[probe]) / errors[probe] if probe and errors[probe] > 0 else 0.0
    left = 1.0
    if weight.seen is not None and errors.get(_COMPARED, 0.0) > 0:
        encoding = held[_COMPARED]
        parts = Method(fed_back=True).parts(matrix, encoding, weight.seen)
        better = encoding.decode(parts, matrix.shape) - matrix
        left = min(1.0, output_error(better, moment) / errors[_COMPARED])
    return [slope * left * error for error in errors.values()]


def _nearest(matrix: Array, encoding: Encoding) -> Array:
    return encoding.decode(encode(matrix, encoding, search=BY_RANGE), matrix.shape)


def settled(
    quantized: Quantization,
    auto: Collection[str],
    program: Program,
    build: Callable[[Quantization], Fitted],
    calls: Sequence[object],
    budget: Budget,
    target: CpuTarget,
) -> tuple[Quantization, tuple[ChosenFormat, ...]]:
    """The passes with a format for every weight of the `auto` patterns, and what was chosen; what factors of
    activations take is kept free. program: the imported one, which stays as it is; `build` compiles the model
    anew. Raises UserError for a budget that no choice keeps."""
    weights = quantized.weights
    assert isinstance(weights, QuantizeWeights)
    readers = {reader.key: reader for reader in _readers(program, weights, auto)}
    arrays = {key: program.weights[key] for key in readers}
    known = {key: _weight(reader, arrays[key], weights.seen.get(key)) for key, reader in readers.items()}
    if budget.weights is not None:
        known = {
            key: replace(each, stored=_stored(readers[key], each, target)) for key, each in known.items()
        }
    changed = Changes(build(Quantization(ExposeWeights(tuple(known)))), arrays, [*map(arguments, calls)])

    def effect(key: str, matrix: Array) -> float:
        return changed.by(key, readers[key].array(matrix))

    method = next(each.method for pattern, each in weights.formats if pattern in auto and each is not None)
    limit, beside = _limit(program, known, budget)
    if (method or BEST).scaled:
        products = [reader for reader in readers.values() if reader.kind == "product"]
        beside += sum(4 * inputs for inputs in {reader.x: reader.extents[1] for reader in products}.values())
    found = tuple(choose(known, effect, limit, beside))
    own = tuple(
        (re.escape(each.weight), Rounding(formats.TABLE[each.format](), method) if each.format else None)
        for each in found
    )
    others = (*own, *((pattern, None if pattern in auto else each) for pattern, each in weights.formats))
    names = weights.others.union(auto)
    return replace(quantized, weights=replace(weights, formats=others, others=names)), found


def _readers(program: Program, weights: QuantizeWeights, auto: Collection[str]) -> list[Reader]:
    """The readers of weights whose first pattern is one of these."""
    patterns = [pattern for pattern, _ in weights.formats]
    found = readers_of(program, tables=weights.tables)
    return [reader for reader in found if first_match(patterns, reader.key) in auto]


def _weight(reader: Reader, array: Array, seen: Seen | None) -> Weight:
    """A weight of the program."""
    return Weight(lambda: reader.matrix(array), reader.extents, seen, array.nbytes)


def _stored(reader: Reader, weight: Weight, target: CpuTarget) -> Callable[[Encoding], int]:
    """What says the bytes of a weight as the compiled model has it: in panels where kernels read its codes,
    else decoded."""
    panels = Panels(weight.shape, 0, panel_width(target, weight.shape[0]))

    def size(encoding: Encoding) -> int:
        joined = panels.joined(encoding) if reader.kind == "product" else ""
        return weight.bytes if isinstance(joined, str) else joined.bytes(weight.shape)

    return size


def _limit(program: Program, weights: Mapping[str, Weight], budget: Budget) -> tuple[int, int]:
    """The bytes that these weights and others may take, and those of the others."""
    own = None if budget.bits is None else int(budget.bits * sum(each.count for each in weights.values()) / 8)
    if budget.weights is None:
        return own or 0, 0
    beside = sum(program.weights[key].nbytes for key in program.weights if key not in weights)
    whole = byte_count(budget.weights)
    return (whole if own is None else min(whole, own + beside)), beside


class Changes:
    """How far the results of a model that takes its weights as arguments are from its own for other ones."""

    def __init__(self, exposed: Fitted, arrays: Mapping[str, Array], calls: Sequence[Call]) -> None:
        self._exposed, self._arrays, self._calls = exposed, dict(arrays), calls
        self._own = [self._run(call, self._arrays) for call in calls]

    def _run(self, call: Call, arrays: Mapping[str, Array]) -> list[Array]:
        args, kwargs = call
        self._exposed.reset()
        _, given = self._exposed.arguments(args, {**kwargs, WEIGHTS: arrays})
        outputs = self._exposed.execute(given, threads=self._exposed.threads)
        kinds = [leaf.dtype for leaf in self._exposed.outputs]
        return [
            widen(array).astype(np.float64)
            for array, kind in zip(outputs, kinds, strict=True)
            if kind in ("f64", "f32", "f16", "bf16")
        ]

    def by(self, key: str, array: Array) -> float:
        """The mean over calls and results of the squared error beside the square of what is right."""
        arrays, shares = self._arrays | {key: array}, []
        for call, own in zip(self._calls, self._own, strict=True):
            for got, wanted in zip(self._run(call, arrays), own, strict=True):
                shares.append(float(np.square(got - wanted).sum() / max(np.square(wanted).sum(), 1e-300)))
        return float(np.mean(shares)) if shares else 0.0


def _too_small(
    weights: Mapping[str, Weight], items: Sequence[Sequence[scheduling.Option]], limit: int, beside: int
) -> UserError:
    count = sum(weight.count for weight in weights.values())
    least = sum(min(option.size for option in options) for options in items)
    others = f" beside the {beside} of others" if beside else ""
    return UserError(
        f"weights whose formats are chosen cannot take {max(0, limit - beside)} bytes{others}, "
        f"{8 * max(0, limit - beside) / count:.3f} bits each",
        hint=f"the least that can be met is {least + beside} bytes in all, {8 * least / count:.3f} bits each",
    )
