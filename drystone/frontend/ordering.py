"""Operations about where elements are, in terms of others: strided views, scatters, sorting, searching."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from drystone.errors import UserError
from drystone.frontend.shapes import fixed

_aten = torch.ops.aten


def rules() -> dict[Any, Callable[..., Any]]:
    """ATen operation -> its rule, as in `decompositions`: None leaves the operation to what is known."""
    return {
        _aten.as_strided.default: _as_strided,
        _aten.as_strided_scatter.default: _as_strided_scatter,
        _aten.diagonal_scatter.default: _diagonal_scatter,
        _aten.index_put.default: _index_put,
        _aten.index_reduce.default: _index_reduce,
        _aten.scatter.reduce: lambda x, dim, index, source, *, reduce: _scatter(
            x, dim, index, source, reduce
        ),
        _aten.scatter.value_reduce: lambda x, dim, index, value, *, reduce: _scatter(
            x, dim, index, torch.full(index.shape, value, dtype=x.dtype), reduce
        ),
        _aten.put.default: _put,
        # The lowering of the plain sort is stable.
        _aten.sort.stable: lambda x, *, stable, dim=-1, descending=False: torch.sort(x, dim, descending),
        _aten.cummax.default: lambda x, dim: _running(x, dim, torch.ge),
        _aten.cummin.default: lambda x, dim: _running(x, dim, torch.le),
        _aten.median.default: lambda x: _middle(x.flatten(), 0)[0],
        _aten.median.dim: lambda x, dim, keepdim=False: _middle(x, dim, keepdim),
        _aten.nanmedian.default: lambda x: _middle(x.flatten(), 0, skip_nan=True)[0],
        _aten.nanmedian.dim: lambda x, dim, keepdim=False: _middle(x, dim, keepdim, skip_nan=True),
        _aten.kthvalue.default: _kthvalue,
        _aten.mode.default: _mode,
        _aten.searchsorted.Tensor: _searchsorted,
        _aten.searchsorted.Scalar: lambda bounds, x, **options: _searchsorted(
            bounds, torch.full((), x, dtype=bounds.dtype), **options
        ),
        _aten.bucketize.Tensor: lambda x, bounds, *, out_int32=False, right=False: _searchsorted(
            bounds, x, out_int32=out_int32, right=right
        ),
        _aten.histc.default: _histc,
    }


def _positions(size: Sequence[int], stride: Sequence[int], start: int) -> Any:
    """Where the elements of a strided view are in memory."""
    place = torch.full(tuple(size), start, dtype=torch.int64)
    for axis, (n, step) in enumerate(zip(size, stride, strict=True)):
        along = torch.arange(n) * step
        place = place + along.reshape([n if d == axis else 1 for d in range(len(size))])
    return place


def _in_memory(x: Any, size: Sequence[int], stride: Sequence[int], start: int) -> list[int]:
    """The dimensions of x from the outermost in memory to the innermost.

    Raises UserError where the view is not within the elements of x, or sizes are not known.
    """
    refusal = UserError(
        "as_strided beyond the elements of its tensor, or with sizes that change, cannot be compiled",
        hint="use slices, transposes and reshapes",
    )
    if not fixed(*x.shape, *size, *stride):
        raise refusal
    order = sorted(range(x.dim()), key=lambda d: -x.stride(d))
    extent = 1
    for d in reversed(order):
        if x.shape[d] > 1 and x.stride(d) != extent:
            raise refusal
        extent *= x.shape[d]
    last = start + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if start < 0 or (0 not in size and last >= extent):
        raise refusal
    return order


def _as_strided(x: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Any:
    start = 0 if storage_offset is None else storage_offset - x.storage_offset()
    order = _in_memory(x, size, stride, start)
    places = _positions(size, stride, start).flatten()
    return torch.index_select(x.permute(order).flatten(), 0, places).reshape(tuple(size))


def _as_strided_scatter(
    x: Any, source: Any, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Any:
    start = 0 if storage_offset is None else storage_offset - x.storage_offset()
    order = _in_memory(x, size, stride, start)
    moved = x.permute(order)
    flat = moved.flatten().scatter(0, _positions(size, stride, start).flatten(), source.flatten())
    return flat.reshape(moved.shape).permute([order.index(d) for d in range(x.dim())])


def _diagonal_scatter(x: Any, source: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    places = torch.arange(x.numel()).reshape(x.shape).diagonal(offset, dim1, dim2)
    return x.flatten().scatter(0, places.flatten(), source.flatten()).reshape(x.shape)


def _index_put(x: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    """Booleans as an index: the values one after the other where they are true, or one value for all."""
    given = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if len(given) != 1 or given[0][1].dtype not in (torch.bool, torch.uint8):
        return None
    first, mask = given[0]
    mask = mask.to(torch.bool)
    behind = x.dim() - first - mask.dim()
    position = values.dim() - behind - 1
    if position >= 0 and values.shape[position] == 1:
        around = tuple(values.shape[:position]), tuple(values.shape[position + 1 :])
        values = values.reshape(around[0] + (1,) * mask.dim() + around[1])
    elif position >= 0:
        count = torch.cumsum(mask.flatten().to(torch.int64), 0) - 1
        place = torch.clamp(count, min=0, max=values.shape[position] - 1)
        values = torch.index_select(values, position, place).unflatten(position, tuple(mask.shape))
    spread = mask.reshape(tuple(mask.shape) + (1,) * behind)
    return torch.where(spread, x + values if accumulate else values, x)


def _index_reduce(
    x: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Any:
    if x.dim() == 0:
        row = x.reshape(1), 0, index.reshape(-1), source.reshape(-1), reduce
        return _index_reduce(*row, include_self=include_self).reshape(())
    axis = dim % x.dim()
    places = index.reshape([-1 if d == axis else 1 for d in range(x.dim())]).expand(source.shape)
    return torch.scatter_reduce(x, dim, places, source, reduce, include_self=include_self)


def _scatter(x: Any, dim: int, index: Any, source: Any, reduce: str) -> Any:
    if x.dim() == 0:
        return _scatter(x.reshape(1), 0, index.reshape(-1), source.reshape(-1), reduce).reshape(())
    part = source[tuple(slice(0, n) for n in index.shape)]
    name = {"add": "sum", "multiply": "prod"}[reduce]
    return torch.scatter_reduce(x, dim, index, part, name, include_self=True)


def _put(x: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    places = index.flatten()
    places = torch.where(places < 0, places + x.numel(), places)
    flat, values = x.flatten(), source.flatten()
    done = flat.scatter_add(0, places, values) if accumulate else flat.scatter(0, places, values)
    return done.reshape(x.shape)


def _alone(x: Any) -> Any:
    """A tensor without dimensions and where its one element is."""
    return x.clone(), torch.zeros((), dtype=torch.int64)


def _running(x: Any, dim: int, beats: Callable[[Any, Any], Any]) -> Any:
    """The best element up to each position and the last place it is at; NaN beats all. n^2 comparisons."""
    if x.dim() == 0:
        return _alone(x)
    if not fixed(x.shape[dim]):
        return None
    rows = x.movedim(dim, -1)
    place = torch.arange(x.shape[dim])
    before = place.unsqueeze(0) <= place.unsqueeze(1)
    later, earlier = rows.unsqueeze(-1), rows.unsqueeze(-2)
    better = beats(later, earlier)
    if x.dtype.is_floating_point:
        better = (better & ~torch.isnan(earlier)) | torch.isnan(later)
    leads = torch.all(better | ~before, -1)
    at = torch.amax(torch.where(leads.unsqueeze(-2) & before, place, 0), -1)
    return torch.gather(rows, -1, at).movedim(-1, dim), at.movedim(-1, dim)


def _middle(x: Any, dim: int, keepdim: bool = False, *, skip_nan: bool = False) -> Any:
    """The lower of the middle elements and its place; of those that are no NaN, or else NaN where one is."""
    if x.dim() == 0:
        return _alone(x)
    if not fixed(x.shape[dim]) or x.shape[dim] == 0:
        return None
    floating = x.dtype.is_floating_point
    bad = torch.isnan(x) if floating else torch.zeros_like(x, dtype=torch.bool)
    values, places = torch.sort(torch.where(bad, float("inf"), x) if floating else x, dim)
    counted = ~bad if skip_nan else torch.ones_like(bad)
    count = torch.sum(counted.to(torch.int64), dim, keepdim=True)
    at = torch.clamp((count - 1) // 2, min=0)
    value, place = torch.gather(values, dim, at), torch.gather(places, dim, at)
    if floating:
        lost = count == 0 if skip_nan else torch.any(bad, dim, keepdim=True)
        value = torch.where(lost, float("nan"), value)
        place = torch.where(lost, torch.argmax(bad.to(torch.int64), dim, keepdim=True), place)
    return (value, place) if keepdim else (value.squeeze(dim), place.squeeze(dim))


def _kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    if x.dim() == 0:
        return _alone(x)
    values, places = torch.sort(x, dim)
    value, place = values.narrow(dim, k - 1, 1), places.narrow(dim, k - 1, 1)
    return (value, place) if keepdim else (value.squeeze(dim), place.squeeze(dim))


def _mode(x: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element, the least of equally frequent ones, and its last place."""
    if x.dim() == 0:
        return _alone(x)
    rows = x.movedim(dim, -1)
    same = rows.unsqueeze(-1) == rows.unsqueeze(-2)
    count = torch.sum(same.to(torch.int64), -1)
    often = count == torch.amax(count, -1, keepdim=True)
    most = torch.finfo(x.dtype).max if x.dtype.is_floating_point else torch.iinfo(x.dtype).max
    value = torch.amin(torch.where(often, rows, most), -1, keepdim=True)
    at = torch.amax(torch.where(rows == value, torch.arange(rows.shape[-1]), 0), -1, keepdim=True)
    value, at = value.movedim(-1, dim), at.movedim(-1, dim)
    return (value, at) if keepdim else (value.squeeze(dim), at.squeeze(dim))


def _searchsorted(
    sorted_sequence: Any,
    x: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """How many elements of the sequence come before each x: all are compared."""
    bounds = sorted_sequence if sorter is None else torch.gather(sorted_sequence, -1, sorter)
    if bounds.dim() > 1:
        bounds = bounds.unsqueeze(-2)
    wanted = x.unsqueeze(-1)
    before = ~(bounds > wanted) if right or side == "right" else ~(bounds >= wanted)
    return torch.sum(before.to(torch.int64), -1).to(torch.int32 if out_int32 else torch.int64)


def _histc(x: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements are in each of equal parts of the range, by default the elements' own."""
    if min != max:
        least, most = torch.full((), min, dtype=x.dtype), torch.full((), max, dtype=x.dtype)
    elif x.numel() == 0:
        return None
    else:
        least, most = torch.amin(x.flatten(), 0), torch.amax(x.flatten(), 0)
        point = least == most
        least, most = torch.where(point, least - 1, least), torch.where(point, most + 1, most)
    row = x.flatten()
    bin_of = torch.clamp(torch.floor((row - least) / (most - least) * bins), max=bins - 1)
    within = (row >= least) & (row <= most)
    hits = (bin_of.unsqueeze(0) == torch.arange(bins).unsqueeze(1)) & within.unsqueeze(0)
    return torch.sum(hits.to(x.dtype), -1)
