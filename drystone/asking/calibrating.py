"""What is settled by building a model and running it: ranges, formats and zeros, the precision that keeps an
error, and whether products are faster with sparse matrices."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from drystone import choosing, passes, targets
from drystone.asking import quantizing, sparse_timing
from drystone.asking.source import Source
from drystone.ir.program import Program
from drystone.options import Budget, Options, Tune, element_of
from drystone.runtime import accuracy
from drystone.runtime.fitted import Fitted

#: Compiles a source for a target, within a budget.
Trip = Callable[[Source, targets.Target, Budget, Options], Fitted]


def calibrated(
    source: Source,
    machine: targets.Target,
    options: Options,
    given: Sequence[Any] | str | os.PathLike[str],
    auto: Collection[str],
    budget: Budget,
    trip: Trip,
) -> Source:
    """The source with what is known of its numbers after running these calls on the machine at hand, and
    formats and zeros within the budget for weights of which these are chosen; `auto`: patterns of formats."""
    own, here = replace(options, compute=None), targets.resolve("cpu")
    source = replace(source, kept=[])
    program = source.imported()
    calls = quantizing.calls_of(given, program.signature)

    def build(observed: passes.Quantization, options: Options = own) -> Fitted:
        return trip(replace(source, quantized=observed), here, Budget(), options)

    known = quantizing.calibrated(source.quantized, build, calls)
    known, levels = choosing.with_levels(known, program, build, calls)
    if not auto and not choosing.are_chosen(known):
        return replace(source, quantized=known, formats=levels)
    element, panels = element_of(options.compute) or "f32", budget.weights is not None
    chooser = choosing.Chooser.of(known, auto, program, build, calls, panels, machine, element)

    def settle(found: choosing.Settled) -> choosing.Settled:
        quantized, formats = found
        return quantizing.with_ranges(quantized, build, calls), formats

    reference = cache(lambda: build(passes.Quantization()))

    def error_of(found: choosing.Settled) -> float:
        made = build(found[0], options)
        return max(accuracy.difference(made, reference(), *call) for call in calls)

    quantized, formats = choosing.kept(chooser, budget, error_of, settle)
    return replace(source, quantized=quantized, formats=(*levels, *formats))


def within_error(
    error: float,
    build: Callable[[str | None, Tune | None], Fitted],
    compute: str | None,
    call: tuple[Sequence[Any], Mapping[str, Any]],
    search: Tune | None,
) -> Fitted:
    """What `build` makes of the precision that keeps an error, relative and on a call, tuned if asked for."""
    built: list[tuple[Fitted, str | None]] = []

    def tried(compute: str | None) -> Fitted:
        built.append((build(compute, None), compute))
        return built[-1][0]

    found = accuracy.choose(tried, error, compute, *call)
    # Schedules do not change the precision: only the model that was chosen is tuned.
    return found if search is None else build(next(c for made, c in built if made is found), search)


def timing(
    source: Source, machine: targets.Target, threads: int, options: Options, trip: Trip
) -> passes.Quantization:
    """The source's passes, which measure whether products are faster with sparse matrices."""
    own, quantized = replace(options, progress=False, database=None), source.quantized

    def build(program: Program) -> Fitted:
        alone = replace(source, kept=[program], quantized=passes.Quantization(settled=None), formats=())
        return trip(alone, machine, Budget(), own)

    timed = sparse_timing.measured(machine, threads, build)
    settled = None if quantized.settled is None else replace(quantized.settled, timed=timed)
    return replace(quantized, settled=settled)
