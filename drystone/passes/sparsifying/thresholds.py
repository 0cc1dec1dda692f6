"""Tensors in which thresholds leave numbers that are 0 when the model runs, and maps that are thresholds."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.buffers import RESHAPES
from drystone.ir.build import mapped
from drystone.ir.values import constant_number, producer
from drystone.ir.zeros import AT_MOST, factors_of, threshold_of
from drystone.mlir import arith, ir, math
from drystone.passes.dims import empty_like
from drystone.passes.fusing.epilogues import extras_of, with_epilogue
from drystone.passes.generic import last_dim

#: Edges that magnitudes are counted between, and octaves that they span below the largest.
_EDGES, _OCTAVES = 256, 24


@dataclass(frozen=True)
class Shown:
    """What calibration showed of a tensor [.., k]: the weights [k] that make its channels' magnitudes
    comparable, such that the largest is 1, and how many of those are up to each of `edges()`."""

    weights: Array
    counts: Array

    def thresholds(self, level: float) -> Array:
        """The magnitude in each channel, f32 [k], up to which a part of all numbers is."""
        limit = self._limit(level)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(limit == 0, 0.0, limit / self.weights.astype(np.float64))
        return found.astype(np.float32)

    def _limit(self, level: float) -> float:
        """The weighed magnitude up to which a part of all numbers is: between two edges their number grows as
        the edges' exponents do."""
        limits, wanted = edges().astype(np.float64), level * float(self.counts[-1])
        place = int(np.searchsorted(self.counts, wanted))
        if place == 0 or level == 0:
            return 0.0
        if place == 1:
            return float(limits[1])
        if place == len(limits) - 1:
            return float(limits[-2])
        part = (wanted - self.counts[place - 1]) / (self.counts[place] - self.counts[place - 1])
        return float(limits[place - 1] * (limits[place] / limits[place - 1]) ** part)


def edges() -> Array:
    """What magnitudes are counted up to: 0, powers up to 1, and everything."""
    powers = 2.0 ** np.linspace(-_OCTAVES, 0, _EDGES - 2)
    return np.concatenate([[0], powers, [np.inf]]).astype(np.float32)


def thresholded(x: Any, thresholds: Any) -> Any:
    """What a tensor of floats [.., k] is where its magnitude is above thresholds [k] of f32, else 0, at the
    insertion point; what is no number stays."""
    rank, f32 = x.type.rank, ir.F32Type.get()

    def kept(number: Any, threshold: Any, _: Any) -> Any:
        wide = number if number.type == f32 or number.type.width > 32 else arith.ExtFOp(f32, number).result
        if wide.type != f32:
            threshold = arith.ExtFOp(wide.type, threshold).result
        below = arith.CmpFOp(AT_MOST, math.AbsFOp(wide).result, threshold).result
        zero = arith.ConstantOp(wide.type, 0.0).result
        chosen = arith.SelectOp(below, zero, wide).result
        return chosen if chosen.type == number.type else arith.TruncFOp(number.type, chosen).result

    same = ir.AffineMap.get_identity(rank)
    return mapped([x, thresholds], empty_like(x), [same, last_dim(rank), same], kept)


def has_zeros(value: Any) -> bool:
    """Whether a threshold is a factor of every number of a tensor."""
    op = producer(value)
    if op is None:
        return False
    if op.operation.name in RESHAPES:
        return has_zeros(op.operation.operands[0])
    if op.operation.name not in ("linalg.generic", *with_epilogue()):
        return False
    *_, last = op.operation.regions[0].blocks[0].operations
    for each in factors_of(last.operation.operands[value.result_number]):
        if threshold_of(each) is not None:
            return True
        read = read_as(op, each)
        if read is not None and has_zeros(read):
            return True
    return False


def read_as(op: Any, argument: Any) -> Any:
    """The tensor that an argument of a map, or of the epilogue of a product, is a number of; None for other
    values, and for sums."""
    if not isinstance(argument.owner, ir.Block) or argument.owner != op.operation.regions[0].blocks[0]:
        return None
    number = argument.arg_number
    if op.operation.name == "linalg.generic":
        read = op.operation.operands[number]
        return read if number < len(op.operation.operands) - len(op.operation.results) else None
    return extras_of(op)[number - 1][0] if number else None


def has_zero_factors(op: Any) -> bool:
    """Whether results of a product are multiplied with numbers of which thresholds left some 0, or are 0
    where others are."""
    block = op.operation.regions[0].blocks[0]
    *_, last = block.operations
    for each in factors_of(last.operation.operands[0]):
        read, kept = read_as(op, each), threshold_of(each)
        if read is not None and has_zeros(read):
            return True
        if kept is not None and constant_number(kept[1]) == 0 and read_as(op, kept[0]) is not None:
            return True
    return False
