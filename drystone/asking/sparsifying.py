"""What the user asks for with `sparsify=`, as a pass of the pipeline."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from drystone.errors import UserError
from drystone.options import CALLS, Budget, Sparsify, Zeroed, by_pattern
from drystone.passes import Quantization, QuantizeWeights, SparsifyWeights
from drystone.passes.pruning import Blocks, Free, Groups, Pruning, Zeros
from drystone.passes.sparsifying.shrink_channels import Removal, ShrinkChannels

_HINT = (
    'give "2:4", a level such as 0.9, drystone.Sparsify("16x16", 0.8) or drystone.Sparsify("channels", 0.5)'
)
#: Patterns of what is removed.
CHANNELS, HEADS = "channels", "heads"
#: What stands for zeros that are chosen for each weight; an example of a level.
AUTO, _ANYWHERE = "auto", "0.9"


def sparsified(
    quantized: Quantization, given: Zeroed | Mapping[str, Zeroed | None] | None, auto: Collection[str] = ()
) -> Quantization:
    """The passes, and the one that prunes weights before, without calibration; `auto`: patterns of weights
    whose formats are to be chosen. Raises UserError for patterns, levels and methods there are not."""
    asked = by_pattern("sparsify", given)
    if not asked:
        return quantized
    if quantized.integers:
        raise UserError(
            "sparsify: quantize=Quantize(.., integer=True) does not know of sparse weights",
            hint="leave one of the two out",
        )
    rounding = quantized.weights
    assert isinstance(rounding, QuantizeWeights)
    found = tuple((pattern, _spelled_out(each)) for pattern, each in asked)
    removals = tuple((pattern, None if each is None else _removal(each)) for pattern, each in found)
    prunings = tuple((p, None if each is None or _removal(each) else _pruning(each)) for p, each in found)
    if auto and any(each is not None and (each.pattern, each.level) != (AUTO, None) for _, each in found):
        raise UserError(
            f'sparsify: quantize="{AUTO}" chooses formats of weights as they are, not of pruned ones',
            hint=f'give sparsify="{AUTO}" without a level, which chooses zeros with the formats, or formats',
        )
    if any(each is not None for _, each in removals):
        quantized = replace(quantized, shrunk=ShrinkChannels(removals))
    if quantized.shrunk.removals and any(
        each is not None and isinstance(each.zeros, Free) for _, each in prunings
    ):
        raise UserError(
            f'sparsify: zeros are chosen ("{AUTO}") for the model as it is, from which no channels go',
            hint="leave one of the two out",
        )
    if all(each is None for _, each in prunings) and quantized.shrunk.removals:
        return quantized
    pruned = SparsifyWeights(prunings, {}, isinstance(given, Mapping), rounding, quantized.in_bytes)
    # Patterns of formats are checked before weights are pruned, which may leave them none.
    others = rounding.others.union(pattern for pattern, _ in rounding.formats)
    return replace(quantized, sparse=pruned, weights=replace(rounding, others=others))


def _spelled_out(each: Zeroed | None) -> Sparsify | None:
    """What a pattern, or a level, stands for; None where a weight is not pruned."""
    if isinstance(each, str):
        return Sparsify(each)
    if isinstance(each, float | int) and not isinstance(each, bool):
        return Sparsify(level=each)
    if not isinstance(each, Sparsify | None):
        raise UserError(f"sparsify={each!r} names no pattern of zeros", hint=_HINT)
    return each


def _removal(each: Sparsify) -> Removal | None:
    """What is removed of a weight's outputs; None where numbers become 0 instead."""
    if each.pattern not in (CHANNELS, HEADS):
        return None
    if each.method not in (None, "magnitude", "wanda"):
        raise UserError(
            f"sparsify: {each.pattern} go by what they contribute, not by {each.method!r}",
            hint='give method="magnitude" or "wanda", or leave it out',
        )
    level = _level(each, each.pattern, f"drystone.Sparsify({each.pattern!r}, 0.5)")
    return Removal(level, each.pattern == HEADS, each.method == "wanda", each.method == "magnitude")


def _pruning(each: Sparsify) -> Pruning:
    """How a weight is to be pruned."""
    zeros: Zeros | Free
    if each.pattern == AUTO:
        zeros = Free(None if each.level is None else _level(each, "numbers", _ANYWHERE))
    else:
        zeros = _zeros(each)
    return Pruning(zeros) if each.method is None else Pruning.of(zeros, each.method)


def _zeros(each: Sparsify) -> Zeros:
    """Where the zeros are to be."""
    sizes = re.fullmatch(r"([0-9]+)([:x])([0-9]+)", each.pattern or "1x1")
    if sizes is None:
        raise UserError(f"sparsify={each.pattern!r} names no pattern of zeros", hint=_HINT)
    first, second = int(sizes[1]), int(sizes[3])
    if sizes[2] == ":":
        if not 1 <= first < second <= 256:
            raise UserError(
                f"sparsify: {each.pattern!r}: N of every M numbers are left, 1 <= N < M <= 256",
                hint='give such as "2:4"',
            )
        if each.level is not None:
            raise UserError(
                f"sparsify: {each.pattern!r} says itself how many zeros there are, not level={each.level!r}",
                hint="leave level out",
            )
        return Groups(first, second)
    if first < 1 or second < 1:
        raise UserError(f"sparsify: no blocks are {each.pattern}", hint='give such as "16x16"')
    what = "numbers" if each.pattern is None else f"blocks {each.pattern}"
    example = _ANYWHERE if each.pattern is None else f"drystone.Sparsify({each.pattern!r}, 0.8)"
    return Blocks(_level(each, what, example), (first, second))


def _level(each: Sparsify, what: str, example: str) -> float:
    """The part that becomes zeros, or goes."""
    if each.level is None:
        raise UserError(f"sparsify: what part of the {what} are zeros?", hint=f"give a level: {example}")
    number = isinstance(each.level, float | int) and not isinstance(each.level, bool)
    if not number or not 0 < each.level < 1:
        raise UserError(
            f"sparsify: {each.level!r} is no part of the {what} that can be zeros",
            hint=f"give a level between 0 and 1: {example}",
        )
    return float(each.level)


def are_bytes_asked(budget: Budget) -> bool:
    """Whether a budget counts the bytes of weights, so that those with zeros are held in few even where that
    is slower."""
    counted = budget.weights is not None or budget.bits is not None
    return counted or (budget.ram is not None and not isinstance(budget.ram, Mapping))


def check(quantized: Quantization, calls: Any, budget: Budget) -> None:
    """Raise UserError where calibration, or a budget, is needed and not there."""
    asked = [pruning for _, pruning in quantized.sparse.prunings if pruning is not None]
    gone = [removal for _, removal in quantized.shrunk.removals if removal is not None]
    limited = any(each is not None for each in (budget.bits, budget.weights, budget.error))
    if any(each.zeros == Free() for each in asked) and not limited:
        raise UserError(
            f'sparsify="{AUTO}" chooses zeros within a budget, or at a level',
            hint='give Budget(bits=4.25), Budget(weights="40MB") or Budget(error=0.01), and quantize="auto" '
            f'to choose formats too; or drystone.Sparsify("{AUTO}", 0.6)',
        )
    if calls is None and any([each.calibrated for each in asked] + [each.calibrated for each in gone]):
        raise UserError(
            'sparsify: "auto", and methods but magnitudes, need to see what weights are multiplied with',
            hint=f'{CALLS}, or take method="magnitude"',
        )
