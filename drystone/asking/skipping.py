"""What the user asks for with `skip=`, as a pass of the pipeline, and what calibration shows for it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.options import CALLS, Skip, Skipped, by_pattern
from drystone.passes import Left, ObserveZeros, Prompt, Quantization, QuantizeWeights, SkipZeros
from drystone.passes.sparsifying.thresholds import Shown

#: A byte says for how many calls a row stays.
LONGEST = 252
_HINT = "give a level such as 0.7, or drystone.Skip(0.7)"
Runs = Callable[[Quantization], Iterator[Mapping[str, Array]]]


def skipped(
    quantized: Quantization,
    given: Skipped | Mapping[str, Skipped | None] | None,
    auto: Collection[str] = (),
    *,
    streams: bool = False,
) -> Quantization:
    """The passes, and the one that makes numbers 0 before, without calibration; `auto`: patterns of weights
    whose formats are to be chosen; `streams`: weights may have to come from a file. Raises UserError for
    levels and places there are not, and for what does not go with them."""
    asked = tuple((pattern, _left(each, streams)) for pattern, each in by_pattern("skip", given))
    if not any(left is not None for _, left in asked):
        return quantized
    if auto or quantized.integers or quantized.shrunk.removals:
        what = "integer=True" if quantized.integers else '"auto"' if auto else '"channels" or "heads"'
        raise UserError(
            f"skip: {what} does not know of rows that are left out", hint="leave one of the two out"
        )
    weights = quantized.weights
    assert isinstance(weights, QuantizeWeights)
    held = (*weights.formats, *quantized.sparse.prunings)
    return replace(quantized, skipping=SkipZeros(asked, {}, quantized.in_bytes, held))


def _left(each: Skipped | None, streams: bool) -> Left | None:
    """What is left out of what a weight is multiplied with."""
    if each is None:
        return None
    given = each if isinstance(each, Skip) else Skip(each)
    number = isinstance(given.level, float | int) and not isinstance(given.level, bool)
    if not number or not 0 <= given.level < 1:
        raise UserError(f"skip={each!r} is no part of numbers that can be zeros", hint=_HINT)
    if given.at not in (None, "gate", "inputs"):
        raise UserError(f'skip: at={given.at!r} is neither "gate" nor "inputs"', hint=_HINT)
    if given.per not in ("row", "prompt"):
        raise UserError(f'skip: per={given.per!r} is neither "row" nor "prompt"', hint=_HINT)
    core = given.core
    if core is not None and (given.per != "prompt" or not 0 < core <= 1):
        raise UserError(
            f"skip: core={core!r} is no part of the positive numbers of a prompt's rows",
            hint='give a part such as 0.4, with per="prompt", or leave it out',
        )
    if given.window is not None and (type(given.window) is not int or not 0 <= given.window <= LONGEST):
        raise UserError(
            f"skip: window={given.window!r} is no number of calls",
            hint=f"give 0 to {LONGEST}, for how many calls rows of streamed weights stay that are not read; "
            "or None, for weights that come as a whole",
        )
    gate = {None: None, "gate": True, "inputs": False}[given.at]
    prompt = Prompt(core) if given.per == "prompt" else None
    return Left(float(given.level), gate, prompt, given.window if streams else None)


def check(quantized: Quantization, calls: Any) -> None:
    """Raise UserError where calibration is needed and not there."""
    if calls is None and is_calibrated(quantized):
        raise UserError(
            "skip: levels above 0 need to see what weights are multiplied with",
            hint=f"{CALLS}, or skip=0 for the zeros there are",
        )


def is_calibrated(quantized: Quantization) -> bool:
    """Whether thresholds are to be found."""
    skipping = quantized.skipping
    return isinstance(skipping, SkipZeros) and any(
        left is not None and left.level and left.prompt is None for _, left in skipping.asked
    )


def with_thresholds(quantized: Quantization, runs: Runs) -> Quantization:
    """The passes with the thresholds at which numbers of what was asked become 0: `runs` gives the results of
    the calibration's calls of a program with other passes. Of a site the numbers times their channel's weight
    have one threshold. Raises UserError where numbers are not finite."""
    if not is_calibrated(quantized):
        return quantized
    skipping = quantized.skipping
    assert isinstance(skipping, SkipZeros)
    peaks, weights = dict[str, Array](), dict[str, Array]()
    for results in runs(Quantization(skipping=skipping.observer)):
        for name, array in results.items():
            kind, _, site = name.partition(" ")
            if not np.isfinite(array).all():
                raise UserError(
                    f"calibration: what {site} is multiplied with is not finite",
                    hint="leave out the calls that give infinities or NaN, or these weights (None)",
                )
            if kind == "peak":
                peaks[site] = np.maximum(peaks.get(site, 0), array)
            else:
                weights[site] = weights.get(site, 0) + array.astype(np.float64)
    # What errors weigh is relative: all numbers of a site become comparable with its largest, 1.
    scaled = dict[str, Array]()
    for site, weight in weights.items():
        largest = float((peaks[site] * weight).max())
        scaled[site] = (weight / largest if largest else np.zeros_like(weight)).astype(np.float32)
    second = ObserveZeros(skipping.asked, scaled)
    counts = dict[str, Array]()
    for results in runs(Quantization(skipping=second)):
        for name, array in results.items():
            _, _, site = name.partition(" ")
            counts[site] = counts.get(site, 0) + array.astype(np.int64)
    seen = {site: Shown(scaled[site], counts[site]) for site in scaled}
    return replace(quantized, skipping=replace(skipping, seen=seen))
