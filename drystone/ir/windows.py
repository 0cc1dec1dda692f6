"""Which operations can be applied to a part of their result, and what they read of their operands then.

An operation is divided along *axes* of its result (see `ir.pieces`): the rows and columns of an image, or the
rows of a matrix. `form_of` says where these axes stand in its operands and how far each position reads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drystone.ir.buffers import RESHAPES
from drystone.ir.pieces import Read, Step, Window
from drystone.ir.shapes import layouts, spatial_axes
from drystone.ir.values import captured, constant_value, dims_of, is_tensor, main_block, nested, shape
from drystone.mlir import ints

#: The dimensions of a tensor at which the axes stand.
Dims = tuple[int, ...]

#: Operations of `@main` that compute no tensor of the model.
_QUIET = frozenset(
    {"dry.weight", "arith.constant", "tensor.empty", "linalg.fill", "func.return", "cf.assert"}
)


@dataclass(frozen=True)
class Operand:
    """An operand that is read piece by piece: its number, the dimensions its axes stand at, its windows."""

    number: int
    dims: Dims
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Form:
    """How an operation is divided along the dimensions `dims` of its result. Operands that are not listed
    have none of the axes: every piece reads all of them. unit: see `ir.pieces.Step`."""

    dims: Dims
    operands: tuple[Operand, ...]
    unit: int = 1


def computing(program: Any) -> list[Any]:
    """The operations of `@main` that compute tensors, in order: what spans of operations count."""
    return [
        op
        for op in main_block(program).operations
        if op.operation.name not in _QUIET and any(is_tensor(result) for result in op.operation.results)
    ]


def is_view(op: Any) -> bool:
    """Whether an operation gives another view of what it reads."""
    return op.operation.name in RESHAPES


def natural_dims(op: Any) -> Dims | None:
    """The dimensions along which an operation of its own is divided: rows and columns of images, rows of
    matrices; None for those that take what stands beside them."""
    name, rank = op.operation.name, op.operation.results[0].type.rank
    if name in ("dry.conv", "dry.pool"):
        return tuple(spatial_axes(layouts(op.operation.attributes["layout"].value)[1], rank))
    return (rank - 2,) if name in ("dry.matmul", "dry.norm", "dry.softmax") and rank > 1 else None


def form_of(op: Any, dims: Dims) -> Form | None:
    """How an operation is divided along `dims` of its result; None where it is not."""
    operation = op.operation
    rule = _RULES.get(operation.name)
    if rule is None or len(operation.results) != 1:
        return None
    known = [shape(value) for value in (*operation.operands, *operation.results) if is_tensor(value)]
    if any(None in extents for extents in known) or max(dims) >= operation.results[0].type.rank:
        return None
    return rule(op, dims)


def global_average(op: Any) -> bool:
    """Whether an operation averages whole images, and can so be summed piece by piece."""
    operation = op.operation
    if operation.name != "dry.pool" or operation.attributes["kind"].value != "avg":
        return False
    axes = spatial_axes(operation.attributes["layout"].value, operation.results[0].type.rank)
    extents = shape(operation.operands[0])
    whole = [extents[axis] for axis in axes] == ints(operation.attributes["kernel"])
    return whole and not any(ints(operation.attributes["padding"]))


def _window_list(op: Any, extents: Sequence[Any], kernel: Sequence[int]) -> tuple[Window, ...] | None:
    """The windows of a convolution or pooling on an image of these extents; None where some position reads
    padding only."""
    attributes = op.operation.attributes
    strides, padding, dilation = (ints(attributes[name]) for name in ("strides", "padding", "dilation"))
    windows = []
    for axis, (extent, taps) in enumerate(zip(extents, kernel, strict=True)):
        reach = (taps - 1) * dilation[axis] + 1
        if max(padding[2 * axis : 2 * axis + 2]) >= reach:
            return None
        windows.append(Window(extent, reach, strides[axis], padding[2 * axis]))
    return tuple(windows)


def _conv(op: Any, dims: Dims) -> Form | None:
    operation = op.operation
    if operation.attributes["transposed"].value or dims != natural_dims(op):
        return None
    x, weight = operation.operands[0], operation.operands[1]
    there = tuple(spatial_axes(layouts(operation.attributes["layout"].value)[0], x.type.rank))
    extents = shape(x)
    windows = _window_list(op, [extents[d] for d in there], [int(n or 0) for n in shape(weight)[2:]])
    extras = extra_operands(op, dims)
    if windows is None or extras is None:
        return None
    return Form(dims, (Operand(0, there, windows), *extras))


def _pool(op: Any, dims: Dims) -> Form | None:
    operation = op.operation
    if dims != natural_dims(op):
        return None
    padding = ints(operation.attributes["padding"])
    # What counts by the padding on both sides cannot be told from one side.
    if operation.attributes["divisor"].value == 1 and any(padding) and padding[::2] != padding[1::2]:
        return None
    extents = shape(operation.operands[0])
    windows = _window_list(op, [extents[d] for d in dims], ints(operation.attributes["kernel"]))
    return None if windows is None else Form(dims, (Operand(0, dims, windows),))


def map_form(op: Any, dims: Dims) -> Form | None:
    """The form of a linalg.generic that makes its elements one by one."""
    operation = op.operation
    maps = [each.value for each in operation.attributes["indexing_maps"]]
    out = dims_of(maps[-1])
    block = operation.regions[0].blocks[0]
    parallel = "reduction" not in str(operation.attributes["iterator_types"])
    reads_old = any(True for _ in list(block.arguments)[-1].uses)
    places = any(inner.operation.name in ("linalg.index", "tensor.extract") for inner in nested(op))
    if not parallel or reads_old or places or not maps[-1].is_permutation:
        return None
    if any(constant_value(value) is None for value in captured(op)):
        return None
    return _projected(operation, list(range(len(maps) - 1)), maps, [out[d] for d in dims], dims)


def _projected(
    operation: Any, numbers: Sequence[int], maps: Sequence[Any], loops: Sequence[int | None], dims: Dims
) -> Form | None:
    """The form of operands that are read element by element through maps over loops, of which `loops` are the
    axes; None where one has some axes only."""
    found = []
    for number, map_ in zip(numbers, maps, strict=False):
        value = operation.operands[number]
        if not is_tensor(value):
            continue
        read, extents = dims_of(map_), shape(value)
        if any(d is None and extents[k] != 1 for k, d in enumerate(read)):
            return None
        at = tuple(read.index(loop) for loop in loops if loop in read)
        if at and len(at) < len(loops):
            return None
        if at:
            found.append(Operand(number, at, tuple(Window(extents[d] or 1) for d in at)))
    return Form(dims, tuple(found))


def extra_operands(op: Any, dims: Dims) -> tuple[Operand, ...] | None:
    """The extras of an epilogue; maps are over the dimensions of the result. None where one has some of the
    axes only."""
    maps = [each.value for each in op.operation.attributes["extra_maps"]]
    found = _projected(op.operation, range(2, 2 + len(maps)), maps, dims, dims)
    return None if found is None else found.operands


def _matmul(op: Any, dims: Dims) -> Form | None:
    operation = op.operation
    a, b = operation.operands[0], operation.operands[1]
    extras = extra_operands(op, dims)
    if dims != natural_dims(op) or b.type.rank != 2 or extras is None:
        return None
    return Form(dims, (Operand(0, dims, (Window(shape(a)[dims[0]] or 1),)), *extras))


def _rows(op: Any, dims: Dims) -> Form | None:
    """A normalization or softmax over dimensions behind the axes."""
    operation = op.operation
    x = operation.operands[0]
    rank = x.type.rank
    if operation.name == "dry.norm":
        first = rank - operation.attributes["axes"].value
        if operation.attributes["resultSegmentSizes"][1]:
            return None
    else:
        first = operation.attributes["dim"].value
        first += rank if first < 0 else 0
    if max(dims) >= first:
        return None
    windows = tuple(Window(shape(x)[d] or 1) for d in dims)
    numbers = [0]
    if operation.name == "dry.norm" and operation.attributes["operandSegmentSizes"][3]:
        numbers.append(len(operation.operands) - 1)
    return Form(dims, tuple(Operand(number, dims, windows) for number in numbers))


_RULES: dict[str, Callable[[Any, Dims], Form | None]] = {
    "dry.conv": _conv,
    "dry.pool": _pool,
    "dry.matmul": _matmul,
    "dry.norm": _rows,
    "dry.softmax": _rows,
    "linalg.generic": map_form,
}


@dataclass(frozen=True)
class Run:
    """Operations that can be computed piece by piece: their steps and forms, the values that steps name, and
    the dimensions that the axes of each stand at."""

    steps: tuple[Step, ...]
    forms: tuple[Form, ...]
    values: dict[str, Any]
    dims: dict[str, Dims]


def forms_of(
    ops: Sequence[Any],
    natural: Callable[[Any], Dims | None] = natural_dims,
    form_of: Callable[[Any, Dims], Form | None] = form_of,
) -> list[Form | None]:
    """How each of the operations of a program is divided, so that a tensor's axes stand at the same
    dimensions for all that touch it; None for those that are not divided. natural, form_of: the rules."""
    known: dict[Any, Dims] = {}
    found: list[Form | None] = []
    for op, guess in reversed(list(zip(ops, _guesses(ops, natural), strict=True))):
        result = op.operation.results[0]
        dims = known.get(result, guess)
        form = None if dims is None else form_of(op, dims)
        read = [] if form is None else [(op.operation.operands[e.number], e.dims) for e in form.operands]
        same = all(known.setdefault(value, at) == at for value, at in read)
        found.append(form if same else None)
    return found[::-1]


def _guesses(ops: Sequence[Any], natural: Callable[[Any], Dims | None]) -> list[Dims | None]:
    """The dimensions of each operation's axes, by its own nature or that of what it reads."""
    guesses: dict[Any, Dims] = {}
    for op in ops:
        result, dims = op.operation.results[0], natural(op)
        if dims is None and op.operation.name == "linalg.generic":
            same = [v for v in op.operation.operands if v in guesses and v.type.rank == result.type.rank]
            dims = guesses[same[0]] if same else None
        if dims is not None:
            guesses[result] = dims
    return [guesses.get(op.operation.results[0]) for op in ops]


def step_of(op: Any, form: Form, name: Callable[[Any], str]) -> Step:
    """An operation with its form as a step, tensors named by `name`."""
    result = op.operation.results[0]
    reads = tuple(Read(name(op.operation.operands[each.number]), each.windows) for each in form.operands)
    return Step(name(result), tuple(shape(result)[d] or 1 for d in form.dims), reads, form.unit)


def run_of(ops: Sequence[Any], forms: Sequence[Form]) -> Run:
    """Operations with their forms as a run."""
    names: dict[Any, str] = {}
    dims: dict[Any, Dims] = {}

    def name(value: Any) -> str:
        return names.setdefault(value, f"t{len(names)}")

    for op, form in zip(ops, forms, strict=True):
        dims[op.operation.results[0]] = form.dims
        dims |= {op.operation.operands[each.number]: each.dims for each in form.operands}
    steps = [step_of(op, form, name) for op, form in zip(ops, forms, strict=True)]
    values = {each: value for value, each in names.items()}
    return Run(tuple(steps), tuple(forms), values, {each: dims[value] for each, value in values.items()})
