"""Kernels of `dry` operations for tests: the function, data for it, and what the reference says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drystone.codegen import families, interpret
from drystone.codegen.search import Search
from drystone.codegen.tile import TileProgram
from drystone.ir import build, dialect, interpreter
from drystone.ir.encoded import encoding_of, with_encoding
from drystone.ir.encoding import Codes, Pack, encode
from drystone.ir.shapes import layouts, transposed_extent, window_extent
from drystone.mlir import arith, func, ir, math
from drystone.targets import registry
from tests.elements import element as element_of
from tests.exec.families import TARGET, shared_context
from tests.exec.kernels import compiled


@dataclass
class Case:
    """A kernel function, its inputs (logical arrays) and the reference's results."""

    module: Any
    function: Any
    inputs: list[Any]
    expected: list[Any] = field(default_factory=list)

    @property
    def stored(self) -> list[Any]:
        """The inputs as the kernel finds them."""
        kinds = [argument.type for argument in self.function.entry_block.arguments]
        with shared_context():
            return [
                encode(a, encoding_of(kind))["codes"] for a, kind in zip(self.inputs, kinds, strict=False)
            ]

    def interpreted(self, target: Any = TARGET) -> tuple[str, list[Any]]:
        """The family's name, and the results by the meaning of the tile program."""
        with shared_context(), ir.Location.unknown():
            program = families.tile_program_of(self.function, target)
        assert program is not None
        results = [np.full(a.shape, 77, a.dtype) for a in self.expected]
        interpret.run(program, [*self.stored, *results])
        return program.family, results

    def search(self) -> Search:
        """The schedules the kernel can have on this machine."""
        with shared_context(), ir.Location.unknown():
            found = families.search_of(self.function, registry.resolve("cpu"))
        assert found is not None
        return found

    def executed(
        self, target: Any = None, *, singly: bool = False, program: TileProgram | None = None
    ) -> list[Any]:
        """The results of the kernel as machine code, of one `program` if given; `singly`: every unit of the
        grid by itself."""
        machine = target or registry.resolve("cpu")
        if program is None:
            with shared_context(), ir.Location.unknown():
                program = families.tile_program_of(self.function, machine)
        assert program is not None
        results = [np.full(a.shape, 77, a.dtype) for a in self.expected]
        compiled(program, machine)([*self.stored, *results], singly=singly)
        return results

    def check(self, results: Sequence[Any], tolerance: float = 2e-6) -> None:
        """Compare with the reference."""
        for result, expected in zip(results, self.expected, strict=True):
            assert np.isfinite(expected).all()
            np.testing.assert_allclose(
                result, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max()
            )


def numbers(rng: np.random.Generator, shape: Sequence[int], element: Any = np.float32) -> Any:
    """Numbers in -1..1, integers in -9..9."""
    size = 10 if np.dtype(element).kind == "i" else 1
    return rng.uniform(-size, size, tuple(shape)).astype(element)


def kind_of(array: Any, dynamic: Sequence[int] = ()) -> Any:
    """The tensor type of an array; the dimensions named are dynamic."""
    unknown = ir.ShapedType.get_dynamic_size()
    shape = [unknown if d in dynamic else n for d, n in enumerate(array.shape)]
    return ir.RankedTensorType.get(shape, ir.Type.parse(element_of(array)))


def make(
    inputs: Sequence[tuple[Any, Any]], outputs: Sequence[Any], body: Callable[[list[Any]], list[Any]]
) -> Case:
    """The case of one kernel: inputs are (array, type), outputs types, body gives the results."""
    module = ir.Module.create()
    with ir.InsertionPoint(module.body):
        kind = ir.FunctionType.get([*(k for _, k in inputs), *outputs], list(outputs))
        function = func.FuncOp("k", kind, visibility="private")
        with ir.InsertionPoint(function.add_entry_block()):
            func.ReturnOp(body(list(function.entry_block.arguments)))
    case = Case(module, function, [a for a, _ in inputs])
    blanks = [np.zeros([max(0, n) for n in k.shape], np.float32) for k in outputs]
    case.expected = interpreter.evaluate(function, [*case.inputs, *blanks], {}, {})
    return case


def packed(kind: Any, dim: int, tile: int, group: int = 1) -> Any:
    """A convolution's weight type packed along its output channels, and where `group` input channels are
    summed in a lane along these."""
    rank = len(ir.RankedTensorType(kind).shape)
    order = (dim, *range(2, rank), 1 - dim)
    pack = Pack((dim,), (tile,), order) if group == 1 else Pack((0, 1), (tile, group), order)
    return with_encoding(kind, Codes(str(kind.element_type), None, pack))


def of_bytes(op: Any, extras: int) -> None:
    """The sums, or the byte closest to sums / 999 + bias + residual."""
    kinds = [ir.RankedTensorType(each.type).element_type for each in op.extras]
    block = op.epilogue.blocks.append(ir.IntegerType.get_signless(32), *kinds)
    real, byte = ir.F32Type.get(), ir.IntegerType.get_signless(8)
    with ir.InsertionPoint(block):
        sums, *more = block.arguments
        if extras:
            value = arith.mulf(arith.sitofp(real, sums), arith.constant(real, 1 / 999))
            value = arith.addf(value, more[0])
            for residual in more[1:]:
                value = arith.addf(value, arith.sitofp(real, residual))
            value = arith.minimumf(math.roundeven(value), arith.constant(real, 127.0))
            sums = arith.fptosi(byte, arith.maximumf(value, arith.constant(real, -127.0)))
        dialect.Yield(sums)


def epilogue(op: Any, extras: int) -> None:
    """The identity, tanh(x + bias), or tanh(x + bias) + residual."""
    element = ir.RankedTensorType(op.out.type).element_type
    if not extras:
        build.identity_epilogue(op, element)
        return
    block = op.epilogue.blocks[0] if len(op.epilogue.blocks) else op.epilogue.blocks.append()
    for _ in range(1 + extras):
        block.add_argument(element, ir.Location.unknown())
    with ir.InsertionPoint(block):
        value = math.tanh(arith.addf(block.arguments[0], block.arguments[1]))
        dialect.Yield(arith.addf(value, block.arguments[2]) if extras > 1 else value)


def conv(
    *,
    batch: int = 1,
    channels: int = 8,
    out: int = 8,
    size: Sequence[int] = (6, 7),
    kernel: Sequence[int] = (3, 3),
    strides: Sequence[int] | None = None,
    padding: Sequence[int] | None = None,
    dilation: Sequence[int] | None = None,
    groups: int = 1,
    transposed: bool = False,
    output_padding: Sequence[int] | None = None,
    layout: str = "nhwc",
    pack: int = 0,
    group: int = 1,
    extras: int = 0,
    dynamic: Sequence[int] = (),
    element: Any = np.float32,
    stored: Any = None,
    seed: int = 0,
) -> Case:
    """A case of `dry.conv`; dynamic names dimensions of x (and the result's alike). stored: the element of
    the result of one of bytes: int32 are the sums; int8 sums that are scaled, shifted, added to bytes and
    rounded to such."""
    rng, dims = np.random.default_rng(seed), len(size)
    strides, dilation = strides or [1] * dims, dilation or [1] * dims
    padding, more = padding or [0] * 2 * dims, output_padding or [0] * dims
    extents = [
        transposed_extent(n, k, s, sum(padding[2 * i : 2 * i + 2]), d, more[i])
        if transposed
        else window_extent(n, k, s, sum(padding[2 * i : 2 * i + 2]), d)
        for i, (n, k, s, d) in enumerate(zip(size, kernel, strides, dilation, strict=True))
    ]
    first, last = layouts(layout)
    orders = [
        [batch, *s, c] if kind == "nhwc" else [batch, c, *s]
        for kind, c, s in ((first, channels, size), (last, out, extents))
    ]
    x, y = (numbers(rng, order, element) for order in orders)
    there = dynamic if first == last else [max(0, d - 1) for d in dynamic]
    shape = [channels, out // groups, *kernel] if transposed else [out, channels // groups, *kernel]
    weight, bias = numbers(rng, shape, element), numbers(rng, [out], element)
    if stored is not None:
        x, weight = (rng.integers(-128, 128, a.shape).astype(np.int8) for a in (x, weight))
        y, bias = rng.integers(-128, 128, y.shape).astype(stored), numbers(rng, [out])
    with shared_context(), ir.Location.unknown():
        kind = kind_of(weight) if not pack else packed(kind_of(weight), int(transposed), pack, group)
        result = kind_of(y, there)
        given = [(x, kind_of(x, dynamic)), (weight, kind)]
        given += [(bias, kind_of(bias)), (y, result)][:extras]
        channel = ir.AffineDimExpr.get(dims + 1 if last == "nhwc" else 1)
        maps = [ir.AffineMap.get(dims + 2, 0, [channel]), ir.AffineMap.get_identity(dims + 2)][:extras]

        def body(args: list[Any]) -> list[Any]:
            op = dialect.Conv(
                result,
                args[0],
                args[1],
                args[2 : 2 + extras],
                strides=build.integers(strides),
                padding=build.integers(padding),
                dilation=build.integers(dilation),
                output_padding=build.integers(more),
                groups=build.integer(groups),
                transposed=build.flag(transposed),
                layout=build.string(layout),
                extra_maps=build.maps(maps),
            )
            if stored is None:
                epilogue(op, extras)
            else:
                of_bytes(op, extras)
            return [op.out]

        return make(given, [result], body)


def rows_of(x: Any) -> tuple[Any, Any]:
    """Numbers as bytes, and the largest of each row."""
    peaks = np.abs(x).max(-1)
    return np.rint(127 * x / peaks[..., None]).astype(np.int8), peaks


def attention(
    *,
    batch: int = 2,
    heads: int = 4,
    kv_heads: int = 4,
    queries: int = 20,
    keys: int = 24,
    depth: int = 16,
    depth_v: int = 0,
    layout: str = "bhsd",
    causal: bool = False,
    mask: Sequence[int] | None = None,
    mask_is: str = "float",
    span: Any = None,
    sinks: int = 0,
    blocks: Any = None,
    tile: Sequence[int] = (),
    dynamic: Sequence[int] = (),
    element: Any = np.float32,
    held: str = "",
    codes: str = "",
    seed: int = 0,
) -> Case:
    """A case of `dry.attention`; mask is its shape, span and blocks are lists, held is how queries, keys and
    values are stored, codes names those of "kv" that are bytes with scales, dynamic names dimensions of [B,
    H, S, D]."""
    rng, depth_v = np.random.default_rng(seed), depth_v or depth
    order = [0, 1, 2, 3] if layout == "bhsd" else [0, 2, 1, 3]

    def data(shape: Sequence[int]) -> Any:
        return (2 * numbers(rng, [shape[i] for i in order])).astype(element)

    shapes = [[kv_heads, keys, depth], [kv_heads, keys, depth_v], [heads, queries, depth_v]]
    q, k, v, out = (data([batch, *s]) for s in [[heads, queries, depth], *shapes])
    unknown = [order.index(d) for d in dynamic]
    with shared_context(), ir.Location.unknown():
        k, key_peaks = rows_of(k) if "k" in codes else (k, None)
        v, value_peaks = rows_of(v) if "v" in codes else (v, None)
        given = [(a, kind_of(a, unknown)) for a in (q, k, v)]
        if held:
            given = [(a, with_encoding(kind, Codes(held))) for a, kind in given]
        result = kind_of(out, unknown)
        if mask is not None:
            values = (3 * numbers(rng, mask)).astype(element)
            if mask_is == "bool":
                values = values > -1
                values[..., 0] = True
            given.append((values, kind_of(values, [d for d in dynamic if mask[d] != 1])))
        masks = len(given)
        if span is not None:
            values = np.array(span, np.int64)
            axes = [at for at, d in enumerate((None, 0, 2)) if d in dynamic and values.shape[at] != 1]
            given.append((values, kind_of(values, axes)))
        spans = len(given)
        if blocks is not None:
            given.append((np.array(blocks, np.bool_), kind_of(np.array(blocks, np.bool_))))
        tiles = len(given)
        given += [(a, kind_of(a, unknown)) for a in (key_peaks, value_peaks) if a is not None]
        first = tiles + (key_peaks is not None)

        def body(args: list[Any]) -> list[Any]:
            op = dialect.Attention(
                result,
                *args[:3],
                *(args[3:masks], args[masks:spans], args[spans:tiles]),
                *(args[tiles:first], args[first : len(given)]),
                scale=build.number(depth**-0.5),
                causal=build.flag(causal),
                sinks=build.integer(sinks),
                tile=build.integers(tile),
                layout=build.string(layout),
            )
            return [op.out]

        return make(given, [result], body)


def pool(
    *,
    kind: str = "max",
    batch: int = 2,
    channels: int = 5,
    size: Sequence[int] = (7, 19),
    kernel: Sequence[int] = (3, 3),
    strides: Sequence[int] = (2, 2),
    padding: Sequence[int] | None = None,
    dilation: Sequence[int] | None = None,
    divisor: int = 0,
    layout: str = "nhwc",
    dynamic: Sequence[int] = (),
    element: Any = np.float32,
) -> Case:
    """A case of `dry.pool`; dynamic names dimensions of x (and the result's alike)."""
    rng, dims = np.random.default_rng(0), len(size)
    padding, dilation = padding or [0] * 2 * dims, dilation or [1] * dims
    extents = [
        window_extent(n, kernel[i], strides[i], sum(padding[2 * i : 2 * i + 2]), dilation[i])
        for i, n in enumerate(size)
    ]
    order = (lambda s: [batch, *s, channels]) if layout == "nhwc" else (lambda s: [batch, channels, *s])
    # Below zero, so that padding that is read would be seen.
    x, y = ((9 * (numbers(rng, order(s)) - 1)).astype(element) for s in (size, extents))
    with shared_context(), ir.Location.unknown():
        result = kind_of(y, dynamic)

        def body(args: list[Any]) -> list[Any]:
            op = dialect.Pool(
                result,
                args[0],
                kind=build.string(kind),
                kernel=build.integers(kernel),
                strides=build.integers(strides),
                padding=build.integers(padding),
                dilation=build.integers(dilation),
                divisor=build.integer(divisor),
                layout=build.string(layout),
            )
            return [op.out]

        return make([(x, kind_of(x, dynamic))], [result], body)


def recurrent(
    *,
    cell: str = "lstm",
    steps: int = 5,
    batch: int = 3,
    hidden: int = 20,
    bias: bool = True,
    reverse: bool = False,
    pack: int = 0,
    dynamic: Sequence[int] = (),
) -> Case:
    """A case of `dry.recurrent`; dynamic names dimensions of [T, B, gates * H]."""
    rng = np.random.default_rng(0)
    gates = {"lstm": 4, "gru": 3}.get(cell, 1) * hidden
    weight = numbers(rng, [gates, hidden]) * np.float32(hidden**-0.5)
    unknown = [d - 1 for d in dynamic if d == 1]
    with shared_context(), ir.Location.unknown():
        stored = kind_of(weight)
        if pack:
            stored = with_encoding(stored, Codes("f32", None, Pack((0,), (pack,), (0, 1))))
        projected = numbers(rng, [steps, batch, gates])
        given = [(projected, kind_of(projected, dynamic)), (weight, stored)]
        if bias:
            shift = numbers(rng, [gates])
            given.append((shift, kind_of(shift)))
        states = [numbers(rng, [batch, hidden]) for _ in range(2 if cell == "lstm" else 1)]
        given += [(state, kind_of(state, unknown)) for state in states]
        results = [kind_of(numbers(rng, [steps, batch, hidden]), dynamic)]
        results += [kind_of(state, unknown) for state in states]

        def body(args: list[Any]) -> list[Any]:
            op = dialect.Recurrent(
                results,
                args[0],
                args[1],
                args[2 : 2 + bias],
                args[2 + bias : 2 + bias + len(states)],
                cell=build.string(cell),
                reverse=build.flag(reverse),
            )
            return list(op.operation.results)

        return make(given, results, body)
