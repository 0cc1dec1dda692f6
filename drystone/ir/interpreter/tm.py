"""torch-mlir's structured operations: scatter, sort, scan, topk and attention of the dialect tm_tensor."""

from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import to_element
from drystone.ir.interpreter.machine import Machine, element_name, fault, handles
from drystone.ir.interpreter.neural import wide
from drystone.mlir import ints, ir


def _body(op: Any) -> list[str]:
    return [inner.operation.name for inner in op.operation.regions[0].blocks[0].operations]


@handles("tm_tensor.scatter")
def _scatter(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    """Update n, shaped as the trailing dimensions of the original, goes to where row n of the indices says:
    its entries are added to the position along the dimensions of `dimension_map`."""
    updates, indices, original = args
    out = original.copy()
    dims = _numbers(op.operation.attributes["dimension_map"])
    inner = updates.shape[1:]
    lead = original.ndim - len(inner)
    offsets: list[Array] = [np.zeros([1] * len(inner), np.int64)] * lead
    offsets += [
        np.arange(n).reshape([-1 if e == d else 1 for e in range(len(inner))]) for d, n in enumerate(inner)
    ]
    for number, update in enumerate(updates):
        where = list(offsets)
        for dim, start in zip(dims, indices[number], strict=True):
            where[dim] = where[dim] + int(start)
        if any(
            at.size and not (at.min() >= 0 and at.max() < n) for at, n in zip(where, out.shape, strict=True)
        ):
            raise fault(op, f"update {number} goes outside a tensor of shape {out.shape}")
        target = np.broadcast_shapes(*(at.shape for at in where))
        (value,) = machine.region(op, [update.reshape(target), out[tuple(where)]])
        out[tuple(where)] = value
    return [out]


def _numbers(attribute: Any) -> list[int]:
    found = attribute.maybe_downcast()
    return ints(found) if isinstance(found, ir.ArrayAttr) else [int(n) for n in found]


@handles("tm_tensor.sort")
def _sort(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    """Stable sort of all operands along one dimension; the region says whether the left element stays
    first."""
    dim = op.operation.attributes["dimension"].value
    moved = [np.moveaxis(array, dim, -1) for array in args]
    order = _order(machine, op, moved)
    return [np.ascontiguousarray(np.moveaxis(np.take_along_axis(a, order, -1), -1, dim)) for a in moved]


def _order(machine: Machine, op: Any, keys: list[Array]) -> Array:
    block = op.operation.regions[0].blocks[0]
    names = _body(op)
    if names in (["arith.cmpf", "tm_tensor.yield"], ["arith.cmpi", "tm_tensor.yield"]):
        compare = block.operations[0].operation
        if list(compare.operands) == [block.arguments[0], block.arguments[1]]:
            pair = np.array([0, 1], keys[0].dtype)
            swapped = np.array([1, 0], keys[0].dtype)
            rest = [np.zeros(2, key.dtype) for key in keys[1:] for _ in range(2)]
            (ascending,) = machine.block(block, [pair, swapped, *rest])
            return _stable(keys[0], descending=not bool(ascending[0]))
    return _pairwise(machine, op, keys)


def _stable(key: Array, *, descending: bool) -> Array:
    if not descending:
        return np.argsort(key, -1, kind="stable")
    # From the far end, ascending, turned round: equal elements keep their order.
    back = np.argsort(key[..., ::-1], -1, kind="stable")
    return np.asarray((key.shape[-1] - 1 - back)[..., ::-1])


def _pairwise(machine: Machine, op: Any, keys: list[Array]) -> Array:
    """The rank of every element by comparing all pairs."""
    n = keys[0].shape[-1]
    sides = [side for key in keys for side in (key[..., :, None], key[..., None, :])]
    (stays,) = machine.region(op, sides)
    stays = np.broadcast_to(stays, (*keys[0].shape, n))
    # An element comes before a later one unless the region would swap them.
    earlier = np.triu(np.ones((n, n), np.bool_), 1)
    before = np.where(earlier, stays, False) | np.where(earlier, ~stays, False).swapaxes(-1, -2)
    return np.argsort(before.sum(-2), -1, kind="stable")


@handles("tm_tensor.scan")
def _scan(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    """Prefix combination along one dimension: the running value and, last, the accumulator."""
    values, old, accumulator = args
    dim = op.operation.attributes["dimension"].value
    inclusive = bool(op.operation.attributes["inclusive"].value)
    moved, out = np.moveaxis(values, dim, 0), np.moveaxis(old.copy(), dim, 0)
    running = accumulator
    for step in range(len(moved)):
        if step == 0:
            running = moved[0] if inclusive else accumulator
        else:
            (running,) = machine.region(op, [running, moved[step if inclusive else step - 1]])
        out[step] = running
    return [np.ascontiguousarray(np.moveaxis(out, 0, dim)), np.array(running).reshape(accumulator.shape)]


@handles("tm_tensor.topk")
def _topk(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    """The first k of the values (and their indices) in the order of the region."""
    dim = op.operation.attributes["dimension"].value
    values, old = np.moveaxis(args[0], dim, -1), np.moveaxis(args[-2], dim, -1)
    held = args[-1].dtype
    indices = np.moveaxis(args[1], dim, -1) if len(args) == 4 else np.arange(values.shape[-1], dtype=held)
    order = _pairwise(machine, op, [values])[..., : old.shape[-1]]
    picked = [np.take_along_axis(np.broadcast_to(a, values.shape), order, -1) for a in (values, indices)]
    return [np.ascontiguousarray(np.moveaxis(a, -1, dim)) for a in picked]


@handles("tm_tensor.attention")
def _attention(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    """softmax(q k^T / sqrt(width) + mask) v over leading batch dimensions."""
    query, key, value, *mask = (wide(array) for array in args[:-1])
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
    for term in mask:
        scores = scores + term
    grown = np.exp(scores - scores.max(-1, keepdims=True))
    out = grown / grown.sum(-1, keepdims=True) @ value
    return [to_element(out, element_name(op.operation.results[0].type))]
