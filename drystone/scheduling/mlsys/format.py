"""The contest's files: a problem and a solution as JSON, and the plain data they stand for."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from drystone.errors import UserError
from drystone.files import read_text

MATMUL, POINTWISE = "MatMul", "Pointwise"
_PROBLEM_FIELDS = (
    "widths",
    "heights",
    "inputs",
    "outputs",
    "base_costs",
    "op_types",
    "fast_memory_capacity",
    "slow_memory_bandwidth",
    "native_granularity",
)
_SOLUTION_FIELDS = ("subgraphs", "granularities", "tensors_to_retain", "subgraph_latencies")


@dataclass(frozen=True)
class Operation:
    """One product (`inputs` are left and right) or pointwise operation. `cost` is its time for one tile."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    cost: float


@dataclass(frozen=True)
class Problem:
    """Tensors by number as (width, height) in elements, the operations that make them, one fast memory of
    `capacity` elements, the slow memory's `bandwidth` in elements per unit of time, and the largest tile."""

    shapes: tuple[tuple[int, int], ...]
    operations: tuple[Operation, ...]
    capacity: int
    bandwidth: float
    native: tuple[int, int]

    @cached_property
    def producer(self) -> dict[int, int]:
        """The operation that makes a tensor, by the tensor; none for the graph's inputs."""
        return {op.output: index for index, op in enumerate(self.operations)}

    @cached_property
    def readers(self) -> dict[int, tuple[int, ...]]:
        """The operations that read a tensor, in order, by the tensor; empty for the graph's outputs."""
        found: dict[int, list[int]] = {tensor: [] for tensor in range(len(self.shapes))}
        for index, op in enumerate(self.operations):
            for tensor in dict.fromkeys(op.inputs):
                found[tensor].append(index)
        return {tensor: tuple(readers) for tensor, readers in found.items()}

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The operations, each after those it reads from, and else by number."""
        done: set[int] = set()
        order: list[int] = []
        left = list(range(len(self.operations)))
        while left:
            ready = next((i for i in left if self._sources(i) <= done), None)
            if ready is None:
                raise UserError(f"the graph has a cycle among operations {left}")
            order.append(ready)
            done.add(ready)
            left.remove(ready)
        return tuple(order)

    def _sources(self, index: int) -> set[int]:
        return {self.producer[t] for t in self.operations[index].inputs if t in self.producer}

    def depth(self, index: int) -> int:
        """How many terms a product sums: its left operand's width."""
        return self.shapes[self.operations[index].inputs[0]][0]


@dataclass(frozen=True)
class Step:
    """One subgraph of a solution: its operations in order, the tile (width, height, depth of a sum's part),
    the tensors left in fast memory for the next step, the order of the tiles (None: by rows), and the time
    that the solution claims for it."""

    operations: tuple[int, ...]
    tile: tuple[int, int, int]
    retain: tuple[int, ...] = ()
    traversal: tuple[int, ...] | None = None
    latency: float = 0.0


def read_problem(path: Path) -> Problem:
    """The problem in a file. UserError says what is wrong with it, and where."""
    data = _load(path, _PROBLEM_FIELDS)
    where = str(path)
    shapes = tuple(
        zip(
            _list(data, "widths", where, _positive),
            _list(data, "heights", where, _positive),
            strict=_same_length(data, ("widths", "heights"), where),
        )
    )
    kinds = _list(data, "op_types", where, _kind)
    costs = _list(data, "base_costs", where, _cost)
    inputs = _list(data, "inputs", where, _indices)
    outputs = _list(data, "outputs", where, _indices)
    _same_length(data, ("op_types", "base_costs", "inputs", "outputs"), where)
    operations = []
    for index, (kind, read, made, cost) in enumerate(zip(kinds, inputs, outputs, costs, strict=True)):
        if len(made) != 1:
            raise UserError(f"operation {index} has {len(made)} outputs, not one", where=where)
        operations.append(Operation(kind, read, made[0], cost))
    native = data["native_granularity"]
    if not isinstance(native, list) or len(native) != 2 or not all(map(_is_positive, native)):
        raise UserError(f"native_granularity is {native!r}, not two positive numbers", where=where)
    capacity = _positive(data["fast_memory_capacity"], "fast_memory_capacity", where)
    bandwidth = _positive(data["slow_memory_bandwidth"], "slow_memory_bandwidth", where)
    problem = Problem(shapes, tuple(operations), capacity, bandwidth, (native[0], native[1]))
    _check_graph(problem, where)
    return problem


def read_solution(path: Path) -> tuple[Step, ...]:
    """The steps in a file. UserError says what is wrong with its form; `evaluate` judges what it means."""
    data = _load(path, _SOLUTION_FIELDS)
    where = str(path)
    groups = _list(data, "subgraphs", where, _indices)
    tiles = _list(data, "granularities", where, _tile)
    retained = _list(data, "tensors_to_retain", where, _indices)
    latencies = _list(data, "subgraph_latencies", where, _cost)
    names: tuple[str, ...] = _SOLUTION_FIELDS
    traversals: list[tuple[int, ...] | None] = [None] * len(groups)
    if data.get("traversal_orders") is not None:
        names = (*names, "traversal_orders")
        traversals = _list(data, "traversal_orders", where, _traversal)
    _same_length(data, names, where)
    return tuple(map(Step, groups, tiles, retained, traversals, latencies))


def write_solution(steps: tuple[Step, ...]) -> str:
    """The steps as the contest's JSON, a field a line."""
    data = {
        "subgraphs": [step.operations for step in steps],
        "granularities": [step.tile for step in steps],
        "tensors_to_retain": [step.retain for step in steps],
        "traversal_orders": [step.traversal for step in steps],
        "subgraph_latencies": [step.latency for step in steps],
    }
    return "{\n" + ",\n".join(f'  "{name}": {json.dumps(value)}' for name, value in data.items()) + "\n}\n"


def _load(path: Path, fields: tuple[str, ...]) -> dict[str, Any]:
    try:
        data = json.loads(read_text(path))
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
    missing = [name for name in fields if not isinstance(data, dict) or name not in data]
    if missing:
        raise UserError(f"{', '.join(missing)} missing", where=str(path))
    return dict(data)


def _list(data: dict[str, Any], name: str, where: str, item: Callable[[Any, str, str], Any]) -> list[Any]:
    if not isinstance(data[name], list):
        raise UserError(f"{name} is no list", where=where)
    return [item(value, f"{name}[{index}]", where) for index, value in enumerate(data[name])]


def _same_length(data: dict[str, Any], names: tuple[str, ...], where: str) -> bool:
    lengths = {name: len(data[name]) for name in names}
    if len(set(lengths.values())) != 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UserError(f"lists that go together have different lengths: {said}", where=where)
    return True


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _positive(value: Any, name: str, where: str) -> int:
    if not _is_positive(value):
        raise UserError(f"{name} is {value!r}, not a positive whole number", where=where)
    return int(value)


def _cost(value: Any, name: str, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise UserError(f"{name} is {value!r}, not a number from 0", where=where)
    return float(value)


def _kind(value: Any, name: str, where: str) -> str:
    if value not in (MATMUL, POINTWISE):
        raise UserError(f"{name} is {value!r}, neither {MATMUL} nor {POINTWISE}", where=where)
    return str(value)


def _indices(value: Any, name: str, where: str) -> tuple[int, ...]:
    good = isinstance(value, list) and all(_is_positive(v) or v == 0 for v in value)
    if not good or any(isinstance(v, bool) for v in value):
        raise UserError(f"{name} is {value!r}, not a list of numbers of tensors or operations", where=where)
    return tuple(value)


def _tile(value: Any, name: str, where: str) -> tuple[int, int, int]:
    if not isinstance(value, list) or len(value) != 3 or not all(map(_is_positive, value)):
        raise UserError(f"{name} is {value!r}, not three positive numbers", where=where)
    return value[0], value[1], value[2]


def _traversal(value: Any, name: str, where: str) -> tuple[int, ...] | None:
    return None if value is None else _indices(value, name, where)


def _check_graph(problem: Problem, where: str) -> None:
    """Every number names a tensor, no tensor is made twice, products' shapes agree, and there is no cycle."""
    made: set[int] = set()
    for index, op in enumerate(problem.operations):
        unknown = [t for t in (*op.inputs, op.output) if t >= len(problem.shapes)]
        if unknown:
            raise UserError(f"operation {index} names tensor {unknown[0]}, which there is not", where=where)
        if op.output in made:
            raise UserError(f"tensor {op.output} is made twice, again by operation {index}", where=where)
        made.add(op.output)
        if not op.inputs:
            raise UserError(f"operation {index} reads nothing", where=where)
        if op.kind == MATMUL:
            _check_product(problem, index, where)
    try:
        _ = problem.order
    except UserError as error:
        raise UserError(error.what, where=where) from error


def _check_product(problem: Problem, index: int, where: str) -> None:
    op = problem.operations[index]
    if len(op.inputs) != 2:
        raise UserError(f"product {index} reads {len(op.inputs)} tensors, not two", where=where)
    (left_width, left_height), (width, right_height) = (problem.shapes[t] for t in op.inputs)
    if left_width != right_height or problem.shapes[op.output] != (width, left_height):
        said = " and ".join(f"{w}x{h}" for w, h in (problem.shapes[t] for t in op.inputs))
        made = "{}x{}".format(*problem.shapes[op.output])
        raise UserError(f"product {index} of {said} (width x height) cannot make {made}", where=where)
