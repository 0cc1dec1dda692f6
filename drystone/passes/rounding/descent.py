"""Rounding by descent: one column, or the scales, at a time is made the best for what all others are."""

from collections.abc import Callable

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding import BY_RANGE, Codes, Parts, Scale
from drystone.ir.encoding.parts import put, take
from drystone.ir.encoding.settled import Settled

#: Columns after which the slopes of all are updated in one product, and numbers of a step of least squares.
_BLOCK, _STEP = 128, 2**22


def descended(
    matrix: Array, start: Array, nearest: Callable[[Array, int], Array], moment: Array, sweeps: int
) -> Array:
    """Numbers, from `start`, f64 [n, k], whose squared output error tr((q - w) H (q - w)^T) is no larger: in
    each sweep every column in turn becomes the best for all others, `nearest` of what is wanted, [n], in its
    place.

    Coordinate descent on the error that AdaRound (Nagel et al. 2020) lowers by training, as QuantEase (Behdin
    et al. 2023) has it; a code may become any other, not only the next above or below.
    """
    diagonal, wide = np.diag(moment), np.ascontiguousarray(start.T)
    slope = moment @ (wide - matrix.T)
    for _ in range(sweeps):
        changed = False
        for first in range(0, len(wide), _BLOCK):
            stop = min(first + _BLOCK, len(wide))
            steps = np.zeros((stop - first, wide.shape[1]))
            for k in range(first, stop):
                here = slope[k] + moment[first:k, k] @ steps[: k - first]
                column = nearest(wide[k] - here / diagonal[k], k)
                steps[k - first] = column - wide[k]
                wide[k] = column
            if steps.any():
                slope += moment[:, first:stop] @ steps
                changed = True
        if not changed:
            break
    return np.ascontiguousarray(wide.T)


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
    starts = np.flatnonzero(np.diff(first, prepend=-1))
    rows, wanted, found = max(1, _STEP // (kinds * shape[1])), matrix @ moment, []
    for start in range(0, len(matrix), rows):
        part = slice(start, start + rows)
        found.append(_solved(units[part], wanted[part], moment, starts, kinds))
    return [each.reshape(blocks) for each in np.split(np.concatenate(found), kinds, 1)]


def _solved(units: Array, wanted: Array, moment: Array, starts: Array, kinds: int) -> Array:
    """The factors of the units, and of -1, of the groups of columns that start there, [n, kinds * groups], of
    rows of units [n, k] and of weights times H."""
    bases = [units, np.full(units.shape, -1.0)][:kinds]
    ends, count = [*starts[1:], units.shape[1]], len(starts)
    gram = np.empty((len(units), kinds * count, kinds * count))
    for kind, basis in enumerate(bases):
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            reached = basis[:, start:end] @ moment[start:end]
            for other, outer in enumerate(bases):
                columns = slice(other * count, (other + 1) * count)
                gram[:, kind * count + number, columns] = np.add.reduceat(outer * reached, starts, 1)
    right = np.concatenate([np.add.reduceat(basis * wanted, starts, 1) for basis in bases], 1)
    ridge = 1e-9 * np.trace(gram, axis1=1, axis2=2)[:, None, None] + np.finfo(np.float64).tiny
    return np.asarray(np.linalg.solve(gram + ridge * np.eye(gram.shape[1]), right[..., None])[..., 0])


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
