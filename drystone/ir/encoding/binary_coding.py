"""Sums of scaled signs, fitted together: least squares for the scales and the nearest sum of signs, in turn
(Xu et al. 2018, "Alternating multi-bit quantization", section 3)."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.geometry import Per
from drystone.ir.encoding.parts import BY_RANGE, Encoding, Parts, put, take
from drystone.ir.encoding.scaled import Codes, Scale


def scales_of_signs(terms: Sequence[Encoding]) -> list[Scale]:
    """The scales of terms that are signs and share their blocks; none where they are anything else."""
    found = [
        term.scale
        for term in terms
        if isinstance(term, Codes)
        and term.element == "bip1"
        and term.scale is not None
        and not {"zero_point", "minimum"} & set(term.scale.children())
    ]
    alike = len(found) == len(terms) and len({scale.per for scale in found}) == 1
    return found if alike else []


def alternate(numbers: Array, terms: Sequence[Encoding], rounds: int) -> list[Parts]:
    """The parts of terms of signs after some rounds, from signs of what the terms before leave."""
    scales, shape = scales_of_signs(terms), numbers.shape
    per, signs, left = scales[0].per, [], numbers
    for _ in terms:
        signs.append(np.where(left > 0, 1.0, -1.0))
        mean = per.reduce(np.add, np.abs(left)) / np.maximum(per.reduce(np.add, np.ones(shape)), 1)
        left = left - signs[-1] * per.spread(mean, shape)
    factors = _least_squares(numbers, per, signs)
    for _ in range(rounds):
        signs = _nearest(numbers, per, factors)
        factors = _least_squares(numbers, per, signs)
    found = []
    for scale, factor in zip(scales, factors, strict=True):
        found.append(put("scale", scale.held.encode(factor, {}, BY_RANGE)))
    held = [s.held.decode(take("scale", own), per.shape(shape)) for s, own in zip(scales, found, strict=True)]
    signs = _nearest(numbers, per, held)
    return [
        own | term.laid((sign > 0).astype(np.uint8))
        for term, sign, own in zip(terms, signs, found, strict=True)
        if isinstance(term, Codes)
    ]


def _least_squares(numbers: Array, per: Per, signs: list[Array]) -> list[Array]:
    """The factors of the signs in every block."""
    alike = np.array([[per.reduce(np.add, one * other) for one in signs] for other in signs])
    right = np.array([per.reduce(np.add, numbers * sign) for sign in signs])
    solved = np.linalg.pinv(np.moveaxis(alike, (0, 1), (-2, -1)), hermitian=True)
    return list(np.moveaxis((solved @ np.moveaxis(right, 0, -1)[..., None])[..., 0], -1, 0))


def _nearest(numbers: Array, per: Per, factors: list[Array]) -> list[Array]:
    """The signs whose sum, times the factors, is nearest to each number."""
    least, best = np.full(numbers.shape, np.inf), np.zeros(numbers.shape, np.int64)
    choices = list(product((-1.0, 1.0), repeat=len(factors)))
    for number, choice in enumerate(choices):
        level = sum((sign * factor for sign, factor in zip(choice, factors, strict=True)), np.zeros(()))
        error = np.abs(numbers - per.spread(level, numbers.shape))
        better = error < least
        least, best = np.where(better, error, least), np.where(better, number, best)
    return [np.array(column)[best] for column in zip(*choices, strict=True)]
