"""What the user asks for with `quantize=` and `calibration=`, as passes of the pipeline."""

import inspect
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from drystone.asking import skipping
from drystone.caches import Held, caches_of
from drystone.dtypes import Array
from drystone.errors import UserError, meant
from drystone.files import read_arrays
from drystone.ir import formats
from drystone.ir.encoding import Encoding
from drystone.ir.program import Signature
from drystone.options import CALLS, Budget, Format, Quantize, formats_of
from drystone.passes import (
    INT8,
    EncodeCaches,
    ObserveWeights,
    Quantization,
    QuantizeConvolutions,
    QuantizeProducts,
    QuantizeWeights,
    RoundActivations,
    Rounding,
    integers_only,
    observing,
)
from drystone.passes.quantizing.ranges import MIN_MAX, Observer, Range, extremes_of, tails_of
from drystone.passes.rounding import Method, Seen, is_stepwise
from drystone.runtime import tree
from drystone.runtime.accuracy import Call

#: The format that stands for one that is chosen, and what statistics are taken for until then.
AUTO, _ANY = "auto", formats.int8_row()


def quantization_of(
    given: Format | Mapping[str, Format | None] | None,
    caches: Held | Mapping[str, Held | None] | None = None,
) -> Quantization:
    """The passes that quantize weights, products and caches, without calibration. Raises UserError for
    formats and methods there are not."""
    kept = EncodeCaches(caches_of(caches))
    if isinstance(given, Quantize) and given.integer:
        if replace(given, integer=False, ranges=MIN_MAX) != Quantize(INT8) or kept.caches:
            raise UserError(
                f"quantize={given!r}: integers alone are bytes, without a method, a group or caches=",
                hint='give quantize=Quantize("int8", integer=True), and calibration=',
            )
        return Quantization(integers=integers_only({}), observer=Observer.of(given.ranges))
    return replace(_of_weights(given), caches=kept)


def _of_weights(given: Format | Mapping[str, Format | None] | None) -> Quantization:
    found = formats_of(given)
    if any(each is not None and each.integer for _, each in found):
        raise UserError(
            "quantize: integer=True is for the whole model, not for weights of some names",
            hint='give quantize=Quantize("int8", integer=True)',
        )
    products = tuple((pattern, None if each is None else _name(each)) for pattern, each in found)
    weights = tuple((pattern, _rounding(each)) for pattern, each in found)
    rounded = RoundActivations(tuple((pattern, _is_rounded(each)) for pattern, each in found))
    some_bytes = any(name == INT8 for _, name in products)
    some_codes = any(each is not None for _, each in weights)
    dynamic, observer = _scales(found)
    made = QuantizeProducts(products, dynamic=dynamic)
    if not some_codes:
        return Quantization(products=made, activations=rounded, observer=observer)
    left = [pattern for pattern, name in products if name == INT8]
    return Quantization(
        QuantizeWeights(weights, tables=isinstance(given, Mapping), others=frozenset(left)),
        made if some_bytes else QuantizeProducts(dynamic=dynamic),
        activations=rounded,
        observer=observer,
    )


def _scales(
    found: Sequence[tuple[str, Quantize | None]],
) -> tuple[tuple[tuple[str, bool | None], ...], Observer]:
    """By names of weights whether the scales of what they are multiplied with are found when the model runs
    (None: the faster), and how ends of static ones are found. Raises UserError for what there is not."""
    given = [(pattern, each) for pattern, each in found if each is not None]
    for _, each in given:
        if each.format not in (INT8, AUTO) and (each.dynamic is not None or each.ranges != MIN_MAX):
            raise UserError(
                f"quantize: dynamic= and ranges= say how products in bytes round, not {_name(each)}",
                hint=f'give them with format="{INT8}"',
            )
    ways = {each.ranges for _, each in given if each.format in (INT8, AUTO)}
    if len(ways) > 1:
        raise UserError(
            f"quantize: ranges= is one for all weights, not {' and '.join(map(repr, sorted(ways, key=str)))}",
            hint="give the same everywhere",
        )
    return tuple((pattern, each.dynamic) for pattern, each in given), Observer.of(next(iter(ways), MIN_MAX))


def _is_rounded(each: Quantize | None) -> bool:
    """Whether what a weight is multiplied with is rounded. Raises UserError for what there is not."""
    if each is None or (each.activations is None and each.format is not None):
        return False
    if each.format is None and (each.method or each.group):
        raise UserError(
            "quantize: method= and group= are for weights that are rounded here", hint="give a format too"
        )
    if each.activations != 8 or each.format in (INT8, AUTO):
        raise UserError(
            f"quantize: activations={each.activations!r} of {_name(each)} are not there",
            hint='give activations=8, with a format such as "w4" or alone for weights of a checkpoint; '
            '"int8" rounds activations by itself',
        )
    return True


def _name(each: Quantize) -> str:
    return each.format if isinstance(each.format, str) else "an encoding"


def _rounding(each: Quantize | None) -> Rounding | None:
    """What a weight is to be held in; None where it stays, or its products are computed in bytes."""
    if each is None or each.format is None:
        return None
    method = None if each.method is None else Method.of(each.method)
    if each.format == INT8:
        if replace(each, dynamic=None, ranges=MIN_MAX) != Quantize(INT8):
            raise UserError(
                'quantize: "int8" rounds activations too, with a method and scales of its own',
                hint='leave method and group out, or take "int8_row" for the weights alone',
            )
        return None
    encoding = _ANY if each.format == AUTO and each.group is None else _encoding(each)
    if method is not None and (method.fed_back or method.descended) and not is_stepwise(encoding):
        raise UserError(
            f"quantize: {each.method!r} rounds number by number, and {_name(each)!r} has no such codes",
            hint='take method="nearest" or "awq", or a format such as "w4"',
        )
    return Rounding(encoding, method)


def _encoding(each: Quantize) -> Encoding:
    """The encoding of a weight [outputs, inputs]."""
    if isinstance(each.format, Encoding):
        if each.group is not None:
            raise UserError("quantize: group= is for formats with names", hint="give the encoding its groups")
        return each.format
    if not isinstance(each.format, str) or each.format not in formats.TABLE:
        raise UserError(
            f"quantize={each.format!r} names no format",
            hint=meant(each.format, [INT8, AUTO, *formats.TABLE])
            + f'give "{INT8}", "{AUTO}", an encoding, or one of {", ".join(formats.TABLE)}',
        )
    function = formats.TABLE[each.format]
    if needed := formats.needed(function):
        raise UserError(
            f"quantize: the format {each.format!r} needs to know {', '.join(needed)}",
            hint=f"give it as an encoding: {function.__module__}.{each.format}({', '.join(needed)}=..)",
        )
    if each.group is None:
        return function()
    if "group" not in inspect.signature(function).parameters or each.group < 1:
        raise UserError(
            f"quantize: the format {each.format!r} has no groups of {each.group}",
            hint="leave group out, or take a format such as w4",
        )
    return function(group=each.group)


def autos(given: Format | Mapping[str, Format | None] | None) -> frozenset[str]:
    """The patterns of weights whose formats are to be chosen."""
    return frozenset(
        pattern for pattern, each in formats_of(given) if each is not None and each.format == AUTO
    )


def check(
    quantized: Quantization,
    auto: Collection[str],
    zeros: bool,
    calls: Sequence[Any] | str | os.PathLike[str] | None,
    budget: Budget,
) -> None:
    """Raise UserError where calibration is not needed, or is and not there, and the same of budgets. auto:
    patterns of weights whose formats are chosen; `zeros`: whether zeros are."""
    chosen = bool(auto) or zeros
    weights, products = quantized.weights, quantized.products
    assert isinstance(weights, QuantizeWeights) and isinstance(products, QuantizeProducts)
    if budget.error is not None and quantized != Quantization() and not chosen:
        pruned = quantized.sparse.prunings or quantized.shrunk.removals
        what = "sparsify= asks for an error of its own" if pruned else "these are given"
        raise UserError(
            f"Budget(error=...) judges formats that are chosen, and {what}",
            hint=f'give quantize="{AUTO}", or leave one of the two out, and compare',
        )
    if budget.error is not None and chosen and not 0 < budget.error < math.inf:
        raise UserError(f"Budget(error={budget.error!r}) is no error", hint="give a number such as 0.01")
    if budget.bits is not None and not chosen:
        raise UserError("Budget(bits=...) is for formats that are chosen", hint=f'give quantize="{AUTO}"')
    if auto and budget.bits is None and budget.weights is None and budget.error is None:
        raise UserError(
            f'quantize="{AUTO}" chooses formats within a budget',
            hint='give Budget(bits=4.25), Budget(weights="40MB") or Budget(error=0.01)',
        )
    if calls is None and quantized.integers:
        raise UserError(
            "quantize: integer=True fixes how large numbers get beforehand, which calibration shows",
            hint=CALLS,
        )
    if calls is None and any(each is False for _, each in products.dynamic):
        raise UserError(
            "quantize: static scales (dynamic=False) are fixed beforehand, by what calibration shows",
            hint=CALLS,
        )
    if calls is None:
        asked = [each for _, each in weights.formats if each is not None and each.method is not None]
        if auto or any(each.method is not None and each.method.calibrated for each in asked):
            raise UserError(
                'quantize: "auto", and methods but "nearest", need to see what weights are multiplied with',
                hint=f'{CALLS}, or take a format with method="nearest"',
            )
        return
    pruned = quantized.sparse.prunings or quantized.shrunk.removals
    given = weights.formats or products.formats or quantized.integers or pruned
    if not given and not skipping.is_calibrated(quantized):
        raise UserError(
            "calibration is for quantize=, sparsify= and levels of skip=, which are not given",
            hint="leave it out",
        )
    if not isinstance(calls, os.PathLike) and len(calls) == 0:
        raise UserError("calibration has no calls", hint="give the inputs of some, such as [(x,), (y,)]")


def calibrated(
    quantized: Quantization, build: Callable[[Quantization], Callable[..., Any]], calls: Sequence[Any]
) -> Quantization:
    """The passes with what is known after running these calls: `build` compiles the model to observe it."""
    quantized = skipping.with_thresholds(quantized, lambda passes: _runs(build(passes), calls))
    shrunk, sparse = quantized.shrunk, quantized.sparse
    weights, products = quantized.weights, quantized.products
    if shrunk.removals:
        shrunk = replace(shrunk, seen=_seen(_runs(build(Quantization(shrunk.observer)), calls)))
        quantized = replace(quantized, shrunk=shrunk)
    if sparse.prunings:
        seen = _seen(_runs(build(Quantization(sparse.observer, shrunk=shrunk)), calls))
        quantized = replace(quantized, sparse=replace(sparse, seen=seen))
    if quantized.integers:
        return replace(quantized, integers=integers_only(_ranges(quantized, "integers", build, calls)))
    assert isinstance(weights, QuantizeWeights) and isinstance(products, QuantizeProducts)
    if any(each is not None for _, each in weights.formats):
        own = ObserveWeights(weights.formats, weights.tables, weights.others)
        observer = build(Quantization(own, sparse=quantized.sparse, shrunk=shrunk))
        quantized = replace(quantized, weights=replace(weights, seen=_seen(_runs(observer, calls))))
    if any(name == INT8 for _, name in products.formats):
        convolutions = QuantizeConvolutions(products.formats)
        products = replace(products, convolutions=True)
        quantized = replace(quantized, products=products, convolutions=convolutions)
        ranges = _ranges(quantized, "convolutions", build, calls, centred=True)
        quantized = replace(quantized, convolutions=replace(convolutions, ranges=ranges))
    return with_ranges(quantized, build, calls)


def with_ranges(
    quantized: Quantization, build: Callable[[Quantization], Callable[..., Any]], calls: Sequence[Any]
) -> Quantization:
    """The passes with how large the activations are that products in bytes read."""
    products = quantized.products
    assert isinstance(products, QuantizeProducts)
    if all(name != INT8 for _, name in products.formats):
        return quantized
    plain = replace(quantized, products=replace(products, ranges={}, tails={}))
    ranges = extremes_of(_runs(build(observing(plain, "products")), calls))
    products = replace(products, ranges=ranges, observer=quantized.observer)
    smooth = replace(quantized, products=products)
    if not ranges or all(each for _, each in products.dynamic):
        return smooth
    tails = tails_of(_runs(build(observing(smooth, "products", ranges)), calls))
    return replace(quantized, products=replace(products, tails=tails))


def _ranges(
    quantized: Quantization,
    what: str,
    build: Callable[[Quantization], Callable[..., Any]],
    calls: Sequence[Any],
    centred: bool = False,
) -> dict[str, Range]:
    """By names of tensors the ranges that the passes' observer finds for one of them (see `observing`)."""
    observer = quantized.observer
    seen = extremes_of(_runs(build(observing(quantized, what)), calls))
    if not observer.looks_twice:
        return {name: each.range for name, each in seen.items()}
    tails = tails_of(_runs(build(observing(quantized, what, seen)), calls)) if seen else {}
    return {name: observer.range(each.range, tails[name], centred) for name, each in seen.items()}


def _runs(observer: Callable[..., Any], calls: Sequence[Any]) -> Iterator[dict[str, Array]]:
    """What an observed model gives for each call, by name."""
    for args, kwargs in map(arguments, calls):
        yield {name: np.asarray(value) for name, value in observer(*args, **kwargs).items()}


def _seen(runs: Iterator[dict[str, Array]]) -> dict[str, Seen]:
    """By the keys of weights what `ObserveWeights` gives, summed over calls: one object for those that read
    the same x. Raises UserError where numbers are not finite."""
    sums, found = dict[str, Seen](), dict[str, Seen]()
    for results in runs:
        for name, moment in results.items():
            kind, _, keys = name.partition(" ")
            if kind != "moment":
                continue
            rows, total, spread = (
                results[f"{other} {keys}"].astype(np.float64) for other in ("rows", "total", "spread")
            )
            if not np.isfinite(moment).all():
                raise UserError(
                    f"calibration: what {keys} is multiplied with is not finite, or its squares are not",
                    hint="leave out the calls that give infinities or NaN, or these weights (None)",
                )
            seen = Seen(float(rows[0]), total, moment.astype(np.float64), float(spread[0]))
            sums[keys] = sums[keys] + seen if keys in sums else seen
    for keys, seen in sums.items():
        for key in keys.split(" "):
            found[key] = found[key] + seen if key in found else seen
    return found


def arguments(call: Any) -> Call:
    """The arguments of a call: a tuple or list, a mapping of keyword arguments, or the only one."""
    if isinstance(call, Call):
        return call
    if isinstance(call, Mapping):
        return Call((), call)
    return Call(call if isinstance(call, tuple | list) else (call,), {})


def calls_of(given: Sequence[Any] | str | os.PathLike[str], signature: Signature) -> list[Call]:
    """The calls that the user gave, or those of an .npz with an array for every input, by its name: with the
    calls along a first axis, or of one call. Raises UserError for a file that is something else."""
    if not isinstance(given, str | os.PathLike):
        return [*map(arguments, given)]
    path, specs = Path(given), signature.inputs
    arrays = read_arrays(path, [spec.name for spec in specs])
    more = {array.ndim - len(spec.shape) for array, spec in zip(arrays, specs, strict=True)}
    counts = {len(array) for array in arrays} if more == {1} else {1}
    if more not in ({0}, {1}) or len(counts) > 1:
        taken = ", ".join(f"{spec.name}: {list(spec.shape)}" for spec in specs)
        held = ", ".join(f"{list(array.shape)}" for array in arrays)
        raise UserError(
            f"{path} has arrays {held}, which are no calls of the model: it takes {taken}",
            hint="write arrays of one call, or each with the same number of calls along a first axis",
        )
    calls = zip(*(array if more == {1} else [array] for array in arrays), strict=True)
    return [Call(*tree.unflatten(iter(map(np.asarray, leaves)), signature.in_tree)) for leaves in calls]
