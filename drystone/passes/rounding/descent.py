"""Rounding by descent: one column, or the scales, at a time is made the best for what all others are."""

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding import BY_RANGE, Codes, Parts, Scale
from drystone.ir.encoding.parts import put, take
from drystone.ir.encoding.settled import Settled

#: Columns after which the slopes of the others are updated in one product.
_BLOCK = 128


def descended(matrix: Array, start: Array, settled: Settled, moment: Array, sweeps: int) -> Array:
    """Numbers of codes, from `start`, f64 [n, k], whose squared output error tr((q - w) H (q - w)^T) is no
    larger: each sweep gives every column in turn the codes that are the best for all others.

    Coordinate descent on the error that AdaRound (Nagel et al. 2020) lowers by training, as QuantEase (Behdin
    et al. 2023) has it; a code may become any other, not only the next above or below.
    """
    found = start.copy()
    slope, diagonal = (found - matrix) @ moment, np.diag(moment)
    for _ in range(sweeps):
        before = found.copy()
        for first in range(0, matrix.shape[1], _BLOCK):
            block = slice(first, first + _BLOCK)
            near, inner = slope[:, block], moment[block, block]
            for k in range(first, first + near.shape[1]):
                column = settled.nearest(found[:, k] - near[:, k - first] / diagonal[k], k)
                near += np.outer(column - found[:, k], inner[k - first])
                found[:, k] = column
            steps = found[:, block] - before[:, block]
            for others in (slice(0, first), slice(first + _BLOCK, None)):
                slope[:, others] += steps @ moment[block, others]
        if np.array_equal(found, before):
            break
    return found


def refitted(encoding: Codes, parts: Parts, matrix: Array, moment: Array) -> Parts:
    """The parts of a weight [n, k] with other scales, and minima, for the same codes: those of every row are
    together the least squares solution for its outputs, where that is better once they are held. Only where
    every row has scales of its own, else the parts as they are."""
    scale, shape = encoding.scale, matrix.shape
    if scale is None or scale.per.shape(shape)[:1] != shape[:1]:
        return parts
    names = ["scale"] if scale.minimum is None else ["scale", "minimum"]
    old = [scale.children()[name].decode(take(name, parts), scale.per.shape(shape)) for name in names]
    solved = _least_squares(scale, _units(encoding, parts, shape), matrix, moment, len(names))
    tried = _with(scale, parts, dict(zip(names, solved, strict=True)))
    better = _errors(encoding, tried, matrix, moment) < _errors(encoding, parts, matrix, moment)
    rows = better.reshape(-1, *[1] * (old[0].ndim - 1))
    chosen = (np.where(rows, new, kept) for new, kept in zip(solved, old, strict=True))
    return _with(scale, parts, dict(zip(names, chosen, strict=True)))


def _units(encoding: Codes, parts: Parts, shape: tuple[int, ...]) -> Array:
    """What each element's scale is multiplied by: its code, less the zero point."""
    settled, numbers = Settled.of(encoding, parts, shape), encoding.decode(parts, shape)
    if encoding.scale is not None and encoding.scale.minimum is not None:
        numbers = numbers + settled.shift
    return np.divide(numbers, settled.factor, out=np.zeros(shape), where=settled.factor != 0)


def _least_squares(scale: Scale, units: Array, matrix: Array, moment: Array, kinds: int) -> list[Array]:
    """For each row the scales, and with two `kinds` the minima, that leave the least squared output error."""
    shape = matrix.shape
    blocks = scale.per.shape(shape)
    group = scale.per.spread(np.arange(np.prod(blocks)).reshape(blocks), shape)
    first = np.broadcast_to(group, shape)[0]
    member = first == np.arange(first.max() + 1)[:, None]
    basis = units[:, None] * member
    if kinds == 2:
        basis = np.concatenate([basis, np.broadcast_to(-1.0 * member, basis.shape)], 1)
    gram = basis @ moment @ basis.transpose(0, 2, 1)
    wanted = (basis @ (matrix @ moment)[..., None])[..., 0]
    ridge = 1e-9 * np.trace(gram, axis1=1, axis2=2)[:, None, None] + np.finfo(np.float64).tiny
    solved = np.linalg.solve(gram + ridge * np.eye(gram.shape[1]), wanted[..., None])[..., 0]
    return [each.reshape(blocks) for each in np.split(solved, kinds, 1)]


def _with(scale: Scale, parts: Parts, numbers: dict[str, Array]) -> Parts:
    """The parts with other scales or minima, whose own scales are those there are."""
    found = dict(parts)
    for name, chosen in numbers.items():
        outer = {part: held for part, held in take(name, parts).items() if part != "codes"}
        found |= put(name, scale.children()[name].encode(chosen, outer, BY_RANGE))
    return found


def _errors(encoding: Codes, parts: Parts, matrix: Array, moment: Array) -> Array:
    """The squared output error of every row."""
    left = encoding.decode(parts, matrix.shape) - matrix
    return np.asarray(np.einsum("nk,nk->n", left @ moment, left))
