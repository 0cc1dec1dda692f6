"""The pipeline on random modules: the interpreter gives the same before and after every pass."""

import random
from collections.abc import Callable

import pytest

from drystone import mlir
from drystone.ir.context import new_context
from drystone.passes import pipeline, run
from tests.passes import pass_cases as cases

Shape = tuple[int, ...]


def spelled(shape: Shape) -> str:
    return f"tensor<{'x'.join(map(str, shape))}xf32>"


class Writer:
    """Writes a random module of operations over images [2, c, h, w], matrices and sequences."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.values: list[tuple[str, Shape]] = [("%x", (2, 4, 6, 6))]
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    def add(self, text: str, shape: Shape) -> str:
        name = self.name()
        self.lines.append(f"{name} = {text}")
        self.values.append((name, shape))
        return name

    def weight(self, shape: Shape) -> str:
        name = self.name()
        self.lines.append(f'{name} = "dry.weight"() {{key = "{name[1:]}"}} : () -> {spelled(shape)}')
        return name

    def generic(self, inputs: list[tuple[str, Shape, str]], shape: Shape, body: str, out: str = "") -> str:
        """An elementwise operation; inputs with their maps, the body over %i0, %i1, ... giving %r."""
        init = self.name()
        self.lines.append(f"{init} = tensor.empty() : {spelled(shape)}")
        dims = ", ".join(f"d{k}" for k in range(len(shape)))
        maps = ", ".join(f"affine_map<({dims}) -> ({each})>" for *_, each in inputs)
        arguments = ", ".join(f"%i{k}: f32" for k in range(len(inputs)))
        kinds = ", ".join(['"parallel"'] * len(shape))
        names = ", ".join(value for value, *_ in inputs)
        types = ", ".join(spelled(each) for _, each, _ in inputs)
        return self.add(
            f"linalg.generic {{indexing_maps = [{maps}, affine_map<({dims}) -> ({out or dims})>], "
            f"iterator_types = [{kinds}]}} ins({names} : {types}) "
            f"outs({init} : {spelled(shape)}) {{\n^bb0({arguments}, %o: f32):\n{body}\n"
            f"linalg.yield %r : f32\n}} -> {spelled(shape)}",
            shape,
        )

    def pick(self, rank: int | None = None) -> tuple[str, Shape]:
        found = [each for each in self.values if rank is None or len(each[1]) == rank]
        return self.random.choice(found[-3:] or self.values)

    def unary(self) -> None:
        value, shape = self.pick()
        dims = ", ".join(f"d{k}" for k in range(len(shape)))
        op = self.random.choice(["math.tanh %i0", "arith.mulf %i0, %half", "math.erf %i0"])
        self.generic([(value, shape, dims)], shape, f"%r = {op} : f32")

    def channel(self) -> None:
        """Scale or shift along a dimension by a weight."""
        value, shape = self.pick()
        axis = self.random.choice([1, len(shape) - 1])
        dims = ", ".join(f"d{k}" for k in range(len(shape)))
        op = self.random.choice(["addf", "mulf", "subf"])
        weight = self.weight((shape[axis],))
        inputs = [(value, shape, dims), (weight, (shape[axis],), f"d{axis}")]
        self.generic(inputs, shape, f"%r = arith.{op} %i0, %i1 : f32")

    def binary(self) -> None:
        value, shape = self.pick()
        other = self.random.choice([name for name, each in self.values if each == shape])
        dims = ", ".join(f"d{k}" for k in range(len(shape)))
        op = self.random.choice(["addf", "subf", "maximumf"])
        self.generic([(value, shape, dims), (other, shape, dims)], shape, f"%r = arith.{op} %i0, %i1 : f32")

    def move(self) -> None:
        value, shape = self.pick()
        p = list(range(len(shape)))
        self.random.shuffle(p)
        result = tuple(shape[d] for d in p)
        read = ", ".join(f"d{p.index(k)}" for k in range(len(shape)))
        self.generic([(value, shape, read)], result, "%r = arith.addf %i0, %zero : f32")
        if self.random.random() < 0.7:
            init = self.name()
            self.lines.append(f"{init} = tensor.empty() : {spelled(result)}")
            self.add(
                f"linalg.transpose ins({value} : {spelled(shape)}) outs({init} : {spelled(result)}) "
                f"permutation = {p}",
                result,
            )

    def reshape(self) -> None:
        value, shape = self.pick()
        if len(shape) == 4:
            cut = self.random.choice([1, 2])
            groups = [[0], [1], [2, 3]] if cut == 1 else [[0, 1], [2], [3]]
            result = tuple(shape[g[0]] * (shape[g[1]] if len(g) > 1 else 1) for g in groups)
            self.add(
                f"tensor.collapse_shape {value} {groups} : {spelled(shape)} into {spelled(result)}", result
            )
        elif shape[-1] % 2 == 0:
            groups = [[k] for k in range(len(shape) - 1)] + [[len(shape) - 1, len(shape)]]
            result = (*shape[:-1], 2, shape[-1] // 2)
            self.add(
                f"tensor.expand_shape {value} {groups} output_shape {list(result)} : "
                f"{spelled(shape)} into {spelled(result)}",
                result,
            )

    def matmul(self) -> None:
        value, shape = self.pick()
        n, flip = self.random.choice([1, 4, 8]), self.random.random() < 0.5
        kind = (n, shape[-1]) if flip else (shape[-1], n)
        weight, result = self.weight(kind), (*shape[:-1], n)
        self.add(
            f'"dry.matmul"({value}, {weight}) ({{\n^bb0(%a: f32):\n"dry.yield"(%a) : (f32) -> ()\n}}) '
            f"{{transpose_b = {str(flip).lower()}, extra_maps = [], "
            f"operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}} : "
            f"({spelled(shape)}, {spelled(kind)}) -> {spelled(result)}",
            result,
        )

    def conv(self) -> None:
        value, shape = self.pick(4)
        if len(shape) != 4:
            return
        groups = self.random.choice([1, shape[1]])
        outside = groups * self.random.choice([1, 2])
        weight = self.weight((outside, shape[1] // groups, 3, 3))
        stride = self.random.choice([1, 2])
        result = (shape[0], outside, *((n - 1) // stride + 1 for n in shape[2:]))
        self.add(
            f'"dry.conv"({value}, {weight}) ({{\n^bb0(%a: f32):\n"dry.yield"(%a) : (f32) -> ()\n}}) '
            f"{{strides = [{stride}, {stride}], padding = [1, 1, 1, 1], dilation = [1, 1], "
            f"output_padding = [0, 0], groups = {groups} : i64, transposed = false, layout = "
            f'"nchw", extra_maps = [], operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}} : '
            f"({spelled(shape)}, {spelled((outside, shape[1] // groups, 3, 3))}) -> {spelled(result)}",
            result,
        )

    def pool(self) -> None:
        value, shape = self.pick(4)
        if len(shape) == 4 and min(shape[2:]) > 1:
            result = (*shape[:2], *(n // 2 for n in shape[2:]))
            self.add(
                f'"dry.pool"({value}) {{kind = "max", kernel = [2, 2], strides = [2, 2], '
                f'padding = [0, 0, 0, 0], dilation = [1, 1], divisor = 0 : i64, layout = "nchw"}} : '
                f"({spelled(shape)}) -> {spelled(result)}",
                result,
            )

    def attention(self) -> None:
        value, shape = self.pick(4)
        if len(shape) == 4:
            self.add(
                f'"dry.attention"({value}, {value}, {value}) {{scale = 0.5 : f64, causal = false, '
                f'sinks = 0 : i64, tile = [], layout = "bhsd", '
                f"operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 0, 0>}} : "
                f"({', '.join([spelled(shape)] * 3)}) -> {spelled(shape)}",
                shape,
            )

    def cut(self) -> None:
        value, shape = self.pick()
        axis = self.random.randrange(len(shape))
        if shape[axis] > 1:
            half = shape[axis] // 2
            result = tuple(half if d == axis else n for d, n in enumerate(shape))
            offsets = [half if d == axis else 0 for d in range(len(shape))]
            self.add(
                f"tensor.extract_slice {value}{offsets} {list(result)} {[1] * len(shape)} : "
                f"{spelled(shape)} to {spelled(result)}",
                result,
            )

    def join(self) -> None:
        value, shape = self.pick()
        axis = self.random.randrange(len(shape))
        result = tuple(2 * n if d == axis else n for d, n in enumerate(shape))
        if max(result) <= 16:
            self.add(
                f"tensor.concat dim({axis}) {value}, {value} : ({spelled(shape)}, {spelled(shape)}) -> "
                f"{spelled(result)}",
                result,
            )

    def norm(self) -> None:
        value, shape = self.pick()
        self.add(
            f'"dry.softmax"({value}) {{dim = {len(shape) - 1} : i64, log = false}} : '
            f"({spelled(shape)}) -> {spelled(shape)}",
            shape,
        )

    def module(self, steps: int) -> str:
        kinds: list[Callable[[], None]] = [
            *(self.unary, self.channel, self.channel, self.binary, self.move, self.reshape, self.matmul),
            *(self.conv, self.conv, self.pool, self.attention, self.cut, self.join, self.norm),
        ]
        for _ in range(steps):
            self.random.choice(kinds)()
        results = [self.values[-1], self.random.choice(self.values)]
        names = ", ".join(name for name, _ in results)
        types = ", ".join(spelled(shape) for _, shape in results)
        body = "\n".join(self.lines)
        return (
            f"func.func @main(%x: {spelled((2, 4, 6, 6))}) -> ({types}) {{\n"
            f"%zero = arith.constant 0.0 : f32\n%half = arith.constant 0.5 : f32\n"
            f"{body}\nreturn {names} : {types}\n}}"
        )


@pytest.mark.parametrize("seed", range(40))
def test_random_modules_keep_their_meaning(seed: int) -> None:
    program = cases.program_of(Writer(seed).module(12))
    wanted = cases.outputs_of(program)
    for each in pipeline(cases.TARGET):
        run(program, (each,))
        cases.check_same(wanted, cases.outputs_of(program))
    assert mlir.text(mlir.parse(mlir.text(program.module), new_context())) == mlir.text(program.module)
