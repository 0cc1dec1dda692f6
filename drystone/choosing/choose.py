"""The choice of formats for weights of which everything is known: sizes, errors, times."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np

from drystone import scheduling
from drystone.choosing.zeros import Trial, Way
from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir import formats
from drystone.ir.encoding import BY_RANGE, Encoding, encode
from drystone.passes import INT8
from drystone.passes.pruning import Pruning
from drystone.passes.rounding import Method, Seen, output_error
from drystone.registry import Registry
from drystone.runtime.manifest import ChosenFormat

#: What is chosen from, beside products in bytes and leaving a weight as it is.
CANDIDATES: Registry[Callable[..., Encoding]] = Registry(
    "candidate", {name: formats.TABLE[name] for name in ("w2", "w3", "w4", "q5_k", "q6_k", "q8_0")}
)
#: The format at which the effect of a weight on the model is measured, and the one at which it is measured
#: what rounding with feedback leaves of the error of rounding to the nearest.
_PROBE, _COMPARED = "w3", "w4"
#: A format is slower than another one where it takes more than so many times as long: times are estimates.
_SLOWER = 1.05
#: What the largest sum of changes is as an integer.
_WHOLE = 2**40


@dataclass(frozen=True)
class Weight:
    """A weight: what gives it as f64 [n, k], these extents, what calibration showed of its inputs (None:
    nothing), its bytes as it is, and what says its bytes in an encoding (None: the encoding itself), and the
    seconds that a product takes in a format of this name ("": as it is) and of so many bytes (None: nothing
    is known of that). in_bytes: whether its products can be computed in bytes. coded: whether its
    format is chosen, and by their names the `ways` in which it is chosen without zeros, pruned by `pruning`
    (None: it has none)."""

    matrix: Callable[[], Array]
    shape: tuple[int, int]
    seen: Seen | None
    bytes: int
    stored: Callable[[Encoding], int] | None = None
    seconds: Callable[[str, int], float] | None = None
    in_bytes: bool = False
    coded: bool = True
    pruning: Pruning | None = None
    ways: Mapping[str, Way] = field(default_factory=dict)

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


@dataclass(frozen=True)
class Option:
    """A format of a weight ("": as it is), or a way to hold it without zeros: its bytes, how far it moves the
    model's results (the square of that beside theirs), the seconds of a product, and whether it has zeros."""

    format: str
    size: int
    change: float
    seconds: float
    sparse: bool = False


def options_of(weights: Mapping[str, Weight], effect: Effect) -> dict[str, list[Option]]:
    """By the keys of weights all that can be chosen.

    What a format changes is the squared error that it leaves of a layer's outputs, tr((W - Q) H (W - Q)^T),
    times how much the model changes for such an error in this layer, which is measured: by its results with
    that layer alone rounded. Products in bytes have the error of rounded rows besides: each number of a row
    is off by a twelfth of its step squared. What zeros change is found in the same way (`choosing.zeros`).
    """
    return {key: _options(key, weight, effect) for key, weight in weights.items()}


def choose(options: Mapping[str, Sequence[Option]], limit: int) -> list[Option] | None:
    """An option for every weight, so that all take at most `limit` bytes and the model changes least; None
    where none keeps that.

    Changes of several layers are taken for independent, as in MixDQ (Zhao et al. 2024), and the sum is least
    (`scheduling.select`). What is slower than a better format is left out unless no choice of formats without
    it is small enough; with zeros some always is, but at what change.
    """
    fast = {key: _fast(own) for key, own in options.items()}
    least = sum(min(option.size for option in own if not option.sparse) for own in fast.values())
    allowed = fast if least <= limit else options
    items = [[scheduling.Option(o.size, o.change) for o in own] for own in allowed.values()]
    found = scheduling.select(items, limit)
    if found is None:
        return None
    return [own[n] for own, n in zip(allowed.values(), found.chosen, strict=True)]


def cheapest(options: Mapping[str, Sequence[Option]], error: float) -> list[Option]:
    """An option for every weight, so that the relative error of the model's results is expected to be at most
    `error` and products take the least time, weights being read from memory; bytes where times are not
    known. Leaving all as it is has no error."""
    allowed = error**2
    items = [
        [
            scheduling.Option(
                ceil(option.change / allowed * _WHOLE) if option.change <= allowed else 2 * _WHOLE,
                option.seconds or option.size * 1e-10,
            )
            for option in own
        ]
        for own in options.values()
    ]
    found = scheduling.select(items, _WHOLE)
    assert found is not None, "weights that stay as they are change nothing"
    return [own[n] for own, n in zip(options.values(), found.chosen, strict=True)]


def described(
    weights: Mapping[str, Weight], chosen: Mapping[str, Option] | Sequence[Option]
) -> list[ChosenFormat]:
    """What was chosen, in the manifest's words."""
    found = chosen.values() if isinstance(chosen, Mapping) else chosen
    return [
        ChosenFormat(key, each.format, 8 * each.size / weights[key].count, each.change)
        for key, each in zip(weights, found, strict=True)
    ]


def too_small(
    weights: Mapping[str, Weight], options: Mapping[str, Sequence[Option]], limit: int, beside: int = 0
) -> UserError:
    """The error for a limit of bytes, of which others take some, that no choice keeps."""
    count = sum(weight.count for weight in weights.values())
    least = sum(min(option.size for option in own) for own in options.values())
    others = f" beside the {beside} of others" if beside else ""
    return UserError(
        f"weights whose formats are chosen cannot take {max(0, limit - beside)} bytes{others}, "
        f"{8 * max(0, limit - beside) / count:.3f} bits each",
        hint=f"the least that can be met is {least + beside} bytes in all, {8 * least / count:.3f} bits each",
    )


def _fast(options: Sequence[Option]) -> list[Option]:
    """The options but those in fewer bits that are slower than another one in fewer bits that changes the
    model no more."""
    coded = [option for option in options if option.format]
    return [
        option
        for option in options
        if not option.format
        or not any(
            other.change <= option.change and _SLOWER * other.seconds < option.seconds for other in coded
        )
    ]


def _options(key: str, weight: Weight, effect: Effect) -> list[Option]:
    """All that can be chosen for a weight."""
    held = {name: make() for name, make in CANDIDATES.items() if weight.coded}
    held = {name: each for name, each in held.items() if not any(each.problems(weight.shape))}
    sizes = {name: weight.size(each) for name, each in held.items()}
    if weight.coded and weight.in_bytes and weight.seen is not None:
        # The scales of outputs, and the sums of their codes.
        sizes[INT8] = weight.count + 8 * weight.shape[0]
    changes = _changes(key, weight, held, effect) | {"": 0.0}
    sizes[""] = weight.bytes
    seconds = weight.seconds or (lambda name, size: 0.0)
    found = [Option(name, size, changes[name], seconds(name, size)) for name, size in sizes.items()]
    if weight.pruning is None:
        return found
    trial = Trial(weight.matrix(), weight.seen, weight.pruning, lambda matrix: effect(key, matrix))
    ways = ((name, weight.ways[name], change) for name, change in trial.changes(weight.ways).items())
    return found + [Option(name, way.size, change, way.seconds, sparse=True) for name, way, change in ways]


def _changes(key: str, weight: Weight, held: Mapping[str, Encoding], effect: Effect) -> dict[str, float]:
    """What each format changes of the model."""
    matrix, moment, seen = weight.matrix(), weight.moment, weight.seen
    nearest = {name: _nearest(matrix, encoding) for name, encoding in held.items()}
    errors = {name: output_error(each - matrix, moment) for name, each in nearest.items()}
    probe = _PROBE if _PROBE in errors else next(iter(errors), "")
    slope = effect(key, nearest[probe]) / errors[probe] if probe and errors[probe] > 0 else 0.0
    left = 1.0
    if seen is not None and errors.get(_COMPARED, 0.0) > 0:
        encoding = held[_COMPARED]
        parts = Method(fed_back=True).parts(matrix, encoding, replace(seen))
        better = encoding.decode(parts, matrix.shape) - matrix
        left = min(1.0, output_error(better, moment) / errors[_COMPARED])
    found = {name: slope * left * error for name, error in errors.items()}
    if weight.coded and weight.in_bytes and seen is not None:
        rows = output_error(_nearest(matrix, formats.int8_row()) - matrix, moment)
        found[INT8] = slope * (rows + seen.rounding * float(np.square(matrix).sum()))
    return found


def _nearest(matrix: Array, encoding: Encoding) -> Array:
    return encoding.decode(encode(matrix, encoding, search=BY_RANGE), matrix.shape)
