"""What must hold of each `dry` operation beside the extents of its results: one function per operation, which
yields a sentence for everything that is wrong. Dynamic extents agree with everything."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from drystone.ir.dialect import END_STEP
from drystone.ir.encoded import encoding_of, is_coded
from drystone.ir.encoding import Codes, Encoding, Joined, Recent, Strings, Words
from drystone.ir.shapes import SHAPES, channel_axis, layouts, result_extent, spatial_axes
from drystone.ir.values import dims_of, operand_groups, shape
from drystone.mlir import ints, ir
from drystone.registry import Registry

Problems = Iterator[str]

_GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}


def agree(*found: int | None) -> bool:
    """Whether extents can be the same number."""
    return len({n for n in found if n is not None}) <= 1


def _fits(what: str, value: Any, expected: Sequence[int | None]) -> Problems:
    """`value` has the expected extents."""
    found = shape(value)
    if len(found) != len(expected) or not all(map(agree, found, expected)):
        shown = "x".join("?" if n is None else str(n) for n in expected)
        yield f"{what} is {value.type}, expected {shown or 'rank 0'}"


def _one_of(op: Any, name: str, allowed: Sequence[str]) -> Problems:
    value = op.attributes[name].value
    if value not in allowed:
        yield f'{name} is "{value}", not one of {", ".join(allowed)}'


def _in_rank(op: Any, name: str, rank: int) -> Problems:
    if not 0 <= op.attributes[name].value < rank:
        yield f"{name} {op.attributes[name].value} of a tensor of rank {rank}"


def _windows(op: Any, lengths: dict[str, int]) -> Problems:
    """The lists of integers have as many entries as is stated here, and steps are positive."""
    for name, length in lengths.items():
        if len(ints(op.attributes[name])) != length:
            yield f"{name} has {len(ints(op.attributes[name]))} entries, expected {length}"
    for name in ("strides", "dilation", "kernel"):
        if name in op.attributes and min(ints(op.attributes[name]), default=1) < 1:
            yield f"{name} has an entry below 1"


def _product(a: int | None, b: int) -> int | None:
    return None if a is None else a * b


def matmul(op: Any) -> Problems:
    a, b = op.operands[0], op.operands[1]
    if a.type.rank < 2 or b.type.rank not in (2, a.type.rank):
        yield f"a has rank {a.type.rank} and b rank {b.type.rank}"
        return
    inner = shape(b)[-1 if op.attributes["transpose_b"].value else -2]
    if not agree(shape(a)[-1], inner):
        yield f"a has {shape(a)[-1]} columns, b has {inner} rows"
    for left, other in zip(shape(a)[:-2], shape(b)[:-2], strict=False):
        if not agree(left, other) and 1 not in (left, other):
            yield f"batch dimensions {left} and {other} differ"
    bytes_and_codes = str(a.type.element_type) == "i8" and is_coded(b.type)
    if a.type.element_type != b.type.element_type and not bytes_and_codes:
        yield f"elements {a.type.element_type} and {b.type.element_type} differ"


def conv(op: Any) -> Problems:
    x, weight = op.operands[0], op.operands[1]
    rank, groups = x.type.rank, op.attributes["groups"].value
    transposed, layout = op.attributes["transposed"].value, op.attributes["layout"].value
    yield from _one_of(op, "layout", ("nchw", "nhwc", "nchw-nhwc"))
    if rank not in (3, 4, 5) or weight.type.rank != rank:
        yield f"the image has rank {rank} and the weight rank {weight.type.rank}"
        return
    spatial = rank - 2
    yield from _windows(
        op, {"strides": spatial, "padding": 2 * spatial, "dilation": spatial, "output_padding": spatial}
    )
    if not transposed and any(ints(op.attributes["output_padding"])):
        yield "output_padding is for transposed convolution"
    channels = shape(x)[channel_axis(layouts(layout)[0], rank)]
    first, second = shape(weight)[:2]
    if not agree(channels, first if transposed else _product(second, groups)):
        yield f"the image has {channels} channels, the weight {first}x{second} with {groups} groups"
    if groups < 1 or (first is not None and first % groups):
        yield f"{groups} groups do not divide {first} channels"


def attention(op: Any) -> Problems:
    yield from _one_of(op, "layout", ("bhsd", "bshd"))
    groups = operand_groups(op)
    masks, spans, blocks, *peaks = groups[3:]
    if any(operand.type.rank != 4 for operand in [*(group[0] for group in groups[:3]), *masks]):
        yield "queries, keys, values and mask have rank 4"
        return
    swap = op.attributes["layout"].value == "bshd"
    q, k, v = ([e[0], e[2], e[1], e[3]] if swap else e for e in map(shape, list(op.operands)[:3]))
    if not agree(q[0], k[0], v[0]) or not agree(k[1], v[1]) or not agree(k[2], v[2]) or not agree(q[3], k[3]):
        yield f"queries {q}, keys {k} and values {v} (batch, heads, positions, width) do not fit"
    if q[1] is not None and k[1] and q[1] % k[1]:
        yield f"{q[1]} heads of queries on {k[1]} heads of keys"
    for what, value, given in zip(("keys", "values"), list(op.operands)[1:3], peaks, strict=True):
        for each in given:
            yield from _fits(f"the peak of {what}", each, shape(value)[:3])
        if (str(value.type.element_type) == "i8") != bool(given):
            yield f"{what} are {value.type}, with {len(given)} tensors of peaks"
    for mask in masks:
        yield from _broadcasts("mask", mask, [q[0], q[1], q[2], k[2]])
    for span in spans:
        yield from _broadcasts("span", span, [2, q[0], q[2]])
        if str(span.type.element_type) not in ("i64", "i32"):
            yield f"span has elements {span.type.element_type}, not i64 or i32"
    if op.attributes["sinks"].value < 0 or (op.attributes["sinks"].value and not spans):
        yield f"{op.attributes['sinks'].value} sinks beside {len(spans)} spans"
    tile = ints(op.attributes["tile"])
    if len(tile) != 2 * len(blocks) or min(tile, default=1) < 1:
        yield f"{len(blocks)} tensors of blocks of {tile} queries and keys"
        return
    if blocks and (tile[0] % 16 or tile[1] % 8):
        yield f"a tile of {tile} is no multiple of 16 queries and 8 keys"
    for each in blocks:
        yield from _broadcasts("blocks", each, [q[1], _tiles(q[2], tile[0]), _tiles(k[2], tile[1])])
        if str(each.type.element_type) != "i1":
            yield f"blocks have elements {each.type.element_type}, not i1"


def _broadcasts(what: str, value: Any, full: Sequence[int | None]) -> Problems:
    """`value` broadcasts to the extents `full`."""
    found = shape(value)
    if len(found) != len(full) or not all(n == 1 or agree(n, m) for n, m in zip(found, full, strict=True)):
        yield f"{what} {found} does not broadcast to {list(full)}"


def _tiles(n: int | None, size: int) -> int | None:
    return None if n is None else -(-n // size)


def norm(op: Any) -> Problems:
    x, axes = op.operands[0], op.attributes["axes"].value
    yield from _one_of(op, "kind", ("layer", "rms"))
    if not 1 <= axes <= x.type.rank:
        yield f"{axes} dimensions of a tensor of rank {x.type.rank}"
        return
    _, gains, shifts, residuals = operand_groups(op)
    for number, operand in enumerate((*gains, *shifts)):
        yield from _fits(f"gain or shift {number}", operand, shape(x)[-axes:])
    for residual in residuals:
        yield from _fits("the residual", residual, shape(x))
    if len(op.results) > 1 + len(residuals):
        yield f"{len(op.results)} results with {len(residuals)} residuals"


def softmax(op: Any) -> Problems:
    yield from _in_rank(op, "dim", op.operands[0].type.rank)


def row_stats(op: Any) -> Problems:
    x, *pick = op.operands
    if x.type.rank != 2:
        yield f"scores of rank {x.type.rank}, not rows of them"
    for each in pick:
        yield from _fits("pick", each, shape(x)[:1])
    if list(op.attributes["resultSegmentSizes"])[3] != len(pick):
        yield f"{len(pick)} places to pick from, which is no result"


def round_rows(op: Any) -> Problems:
    x, *factor = op.operands
    if x.type.rank < 1:
        yield "a tensor without rows"
    known = [("rows", x, "f32"), ("codes", op.results[0], "i8")]
    for what, value, element in (*known, *(("peak and zero", each, "f32") for each in op.results[1:])):
        if str(value.type.element_type) != element:
            yield f"{what} have elements {value.type.element_type}, not {element}"
    for each in factor:
        yield from _fits("factor", each, shape(x)[-1:])


def write_rows(op: Any) -> Problems:
    cache, rows, at = op.operands
    axis, extents, encoding = op.attributes["axis"].value, shape(cache), encoding_of(cache.type)
    base = encoding.base if isinstance(encoding, Joined) else encoding
    if op.results[0].type != cache.type:
        yield f"what {cache.type} becomes is {op.results[0].type}"
    if isinstance(base, Recent):
        if base.axis != axis:
            yield f"rows along axis {axis} of {cache.type}"
        base = base.base
    scale = base.scale if isinstance(base, Codes) else None
    if not isinstance(encoding, Joined) or not isinstance(base, Codes) or scale is None or not scale.minimum:
        yield f"rows are written into {cache.type}, which has no codes with scales and minima"
        return
    if base.layout != Strings(axis) or not 0 <= axis < len(extents) - 1:
        yield f"codes in the layout {base.layout}, not in strings along axis {axis}"
        return
    whole = [1 if d == axis else n for d, n in enumerate(extents)]
    if shape(rows)[1:] not in (whole, [n for d, n in enumerate(extents) if d != axis]):
        yield f"rows {shape(rows)} of {extents}"
    if str(at.type.element_type) != "i64":
        yield f"positions have elements {at.type.element_type}, not i64"
    yield from _fits("positions", at, [shape(rows)[0], 1])
    if not 1 <= op.attributes["tries"].value <= 1 / (2 * END_STEP):
        yield f"{op.attributes['tries'].value} places for each end of a block's numbers"
    yield from _blocks(base, encoding.base, extents, axis)


def _blocks(codes: Codes, whole: Encoding, extents: Sequence[int | None], axis: int) -> Problems:
    """What is wrong with blocks of several positions of a cache."""
    assert codes.scale is not None
    size = codes.scale.per.all_sizes(len(extents))[axis]
    if size == 1:
        return
    run, ring = Words.run(codes.code), whole.size if isinstance(whole, Recent) else 0
    if size < 1 or (extents[axis] or 0) % size or (size % run and run % size) or ring % size or not ring:
        yield (
            f"blocks of {size} positions, {run} to a string, of {extents[axis]} with a ring of {ring}: one "
            "must be a multiple of the other"
        )


def scan(op: Any) -> Problems:
    yield from _in_rank(op, "dim", op.operands[0].type.rank)
    yield from _one_of(op, "kind", ("sum", "prod"))


def linear_scan(op: Any) -> Problems:
    yield from _in_rank(op, "dim", op.operands[0].type.rank)
    if op.operands[1].type != op.operands[0].type:
        yield f"factors of {op.operands[1].type} for {op.operands[0].type}"


def selective_scan(op: Any) -> Problems:
    maps = [ir.AffineMapAttr(item).value for item in op.attributes["indexing_maps"]]
    if len(maps) != len(op.operands) or not maps:
        yield f"{len(maps)} maps for {len(op.operands)} operands"
        return
    rank, found = maps[0].n_dims, set()
    yield from _in_rank(op, "dim", rank - bool(op.attributes["summed"].value))
    for number, (map_, value) in enumerate(zip(maps, op.operands, strict=True)):
        read, zero = dims_of(map_), ir.AffineExpr.get_constant(0, op.context)
        dims = [dim for dim in read if dim is not None]
        found.update(dims)
        at_zero = all(dim is not None or map_.results[place] == zero for place, dim in enumerate(read))
        if map_.n_dims != rank or len(read) != value.type.rank or len(set(dims)) != len(dims) or not at_zero:
            yield f"operand {number}: {map_} does not index {value.type}"
            return
    if found != set(range(rank)):
        yield f"no operand has dimension {min(set(range(rank)) - found)}"
    yield from _step(op)


def _step(op: Any) -> Problems:
    """The region that gives the coefficients of one element."""
    block, element = op.regions[0].blocks[0], op.results[0].type.element_type
    kinds = [argument.type for argument in block.arguments]
    if kinds != [value.type.element_type for value in op.operands]:
        yield f"the step takes {[str(kind) for kind in kinds]} for {len(op.operands)} operands"
    *body, last = (inner.operation for inner in block.operations)
    for inner in body:
        if inner.name.split(".")[0] not in ("arith", "math"):
            yield f"the step holds {inner.name}"
    count = 3 if op.attributes["summed"].value else 2
    if last.name != "dry.coefficients" or [value.type for value in last.operands] != [element] * count:
        yield f"the step ends in {last.name} and does not give {count} {element}"


def embedding(op: Any) -> Problems:
    table, indices = op.operands[0], op.operands[1]
    if table.type.rank != 2:
        yield f"the table has rank {table.type.rank}"
    if str(indices.type.element_type) not in ("i64", "i32"):
        yield f"indices are {indices.type.element_type}, not i64 or i32"


def pool(op: Any) -> Problems:
    rank = op.operands[0].type.rank
    yield from _one_of(op, "kind", ("max", "avg"))
    yield from _one_of(op, "layout", ("nchw", "nhwc"))
    if rank not in (3, 4, 5):
        yield f"the image has rank {rank}"
        return
    given, made = (str(value.type.element_type) for value in (op.operands[0], op.results[0]))
    if given != made and (op.attributes["kind"].value, given, made) != ("avg", "i8", "f32"):
        yield f"elements {given} and {made} differ"
    spatial = len(spatial_axes("nchw", rank))
    yield from _windows(
        op, {"kernel": spatial, "strides": spatial, "padding": 2 * spatial, "dilation": spatial}
    )


def recurrent(op: Any) -> Problems:
    yield from _one_of(op, "cell", tuple(_GATES))
    projected, weight, *rest = op.operands
    gates = _GATES.get(op.attributes["cell"].value)
    if projected.type.rank != 3 or weight.type.rank != 2 or gates is None:
        yield f"projected is {projected.type}, weight {weight.type}"
        return
    hidden, batch = shape(weight)[1], shape(projected)[1]
    wide = _product(hidden, gates)
    yield from _fits("projected", projected, [None, None, wide])
    yield from _fits("weight", weight, [wide, hidden])
    states = 2 if op.attributes["cell"].value == "lstm" else 1
    for bias in rest[: len(rest) - states]:
        yield from _fits("bias", bias, [wide])
    for state in rest[len(rest) - states :]:
        yield from _fits("state", state, [batch, hidden])
    if len(op.results) != 1 + states:
        yield f"{len(op.results)} results, expected {1 + states}"


def results(op: Any) -> Problems:
    """Every result has the extents that the rule of its operation gives."""

    def apply(formula: Callable[..., Any], *found: int | None) -> Any:
        return None if None in found else formula(*found)

    for number, result in enumerate(op.results):
        # Ranks first: a rule may count on them.
        rank = SHAPES[op.name].rank(op, number)
        if result.type.rank != rank:
            yield f"result {number} has rank {result.type.rank}, expected {rank}"
            continue
        expected = [
            result_extent(op, number, axis, lambda value, at: shape(value)[at], apply) for axis in range(rank)
        ]
        yield from _fits(f"result {number}", result, expected)


#: Rules of operands and attributes by operation; `results` is asked where they find nothing wrong.
RULES: Registry[Callable[[Any], Problems]] = Registry(
    "operation",
    {
        "dry.attention": attention,
        "dry.conv": conv,
        "dry.embedding": embedding,
        "dry.logsumexp": softmax,
        "dry.matmul": matmul,
        "dry.norm": norm,
        "dry.pool": pool,
        "dry.recurrent": recurrent,
        "dry.round_rows": round_rows,
        "dry.row_stats": row_stats,
        "dry.scan": scan,
        "dry.linear_scan": linear_scan,
        "dry.selective_scan": selective_scan,
        "dry.softmax": softmax,
        "dry.write_rows": write_rows,
    },
)
