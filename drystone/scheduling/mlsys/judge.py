"""The independent judge of a contest solution: it runs every step cell by cell and adds up the time.

It shares nothing with the solver. The rules are those of the contest's statement (MLSys 2026, github.com/
yarongmu-google/MLSys) with the organisers' answers to questions, as the evaluators that took part read them:

- A step runs tile after tile over the shape of its outputs, and in a tile part after part of the sum that the
  depth cuts (a *cell*). A cell takes the longer of its computation and its transfers.
- A tensor that a step makes and reads is ephemeral: free, and never in memory. What is retained is in the
  fast memory for the next step only; every other result is written to the slow memory, tile by tile.
- Of every tensor the fast memory holds the slice that was read last; reading that slice again is free.
- Every operation costs its whole base cost for a tile (a product, its share in every part of the sum).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from drystone.errors import DrystoneError
from drystone.scheduling.mlsys.format import MATMUL, POINTWISE, Problem, Step

_TOLERANCE = 1e-6


class Invalid(DrystoneError):
    """A solution that breaks a rule; the message says which step and why."""


@dataclass(frozen=True)
class Slice:
    """A part of a tensor that a cell reads: which row, column and part of the sum it belongs to (-1: all of
    them), and its elements."""

    row: int
    column: int
    part: int
    elements: int

    @property
    def key(self) -> tuple[int, int, int]:
        return self.row, self.column, self.part


@dataclass(frozen=True)
class Cell:
    """Tile (row, column) of width by height elements, and the part of the sum, of `depth` terms. `count`
    parts from this one on do the same: all between the first and the last."""

    row: int
    column: int
    part: int
    width: int
    height: int
    depth: int
    count: int = 1


def evaluate(problem: Problem, steps: Sequence[Step], *, claims: bool = True) -> tuple[Step, ...]:
    """The steps with the time each takes; raises Invalid where they break a rule.

    Where `claims`, times that the steps state (other than 0) must be right to 1e-6.
    """
    _judge_whole(problem, steps)
    judged = []
    retained: frozenset[int] = frozenset()
    written = set(range(len(problem.shapes))) - set(problem.producer)
    for number, step in enumerate(steps):
        try:
            run = _Run(problem, step, retained, written)
            latency = run.latency()
        except Invalid as error:
            raise Invalid(f"step {number}: {error}") from None
        if claims and step.latency and abs(step.latency - latency) > _TOLERANCE * max(latency, 1.0):
            raise Invalid(f"step {number}: takes {latency}, not {step.latency} as it says")
        judged.append(replace(step, latency=latency))
        written |= run.evicted
        retained = frozenset(step.retain)
    missing = {t for t in problem.producer if not problem.readers[t]} - written
    if missing:
        raise Invalid(f"results {sorted(missing)} never reach the slow memory")
    return tuple(judged)


def step_latency(problem: Problem, step: Step, retained: frozenset[int] = frozenset()) -> float:
    """The time of a step by itself, with `retained` in fast memory and all else it reads in the slow one;
    raises Invalid where it breaks a rule."""
    return _Run(problem, step, retained, set(range(len(problem.shapes)))).latency()


def total(steps: Sequence[Step]) -> float:
    """The whole time of judged steps."""
    return sum(step.latency for step in steps)


def _judge_whole(problem: Problem, steps: Sequence[Step]) -> None:
    """Every operation runs, and what a step makes and reads itself without retaining it is made again by
    some step of every other reader: once ephemeral, a tensor is nowhere."""
    for number, step in enumerate(steps):
        unknown = [op for op in step.operations if op >= len(problem.operations)]
        if unknown or not step.operations or len(set(step.operations)) != len(step.operations):
            raise Invalid(f"step {number}: {list(step.operations)} are not operations, each once")
    groups = [frozenset(step.operations) for step in steps]
    missing = set(range(len(problem.operations))) - set().union(*groups)
    if missing:
        raise Invalid(f"operations {sorted(missing)} are in no step")
    for number, (step, group) in enumerate(zip(steps, groups, strict=True)):
        for op in step.operations:
            tensor = problem.operations[op].output
            readers = problem.readers[tensor]
            if tensor in step.retain or not group.intersection(readers):
                continue
            for reader in readers:
                if not any(reader in other and op in other for other in groups):
                    raise Invalid(
                        f"step {number}: tensor {tensor} is ephemeral, but operation {reader} needs it in a "
                        f"step that does not make it"
                    )


@dataclass(frozen=True)
class _Role:
    """Whether a product's left and right operands are other products' results that never reach memory, and
    whether its own result is one, as another's left or right operand."""

    reads: tuple[bool, bool]
    feeds: tuple[bool, bool]

    @property
    def chained(self) -> tuple[bool, bool]:
        return any(self.reads), any(self.feeds)


class _Run:
    """One step on the memory that the steps before have left."""

    def __init__(self, problem: Problem, step: Step, retained: frozenset[int], written: set[int]) -> None:
        self.problem, self.step, self.retained = problem, step, retained
        self.group = frozenset(step.operations)
        self.products = [op for op in step.operations if problem.operations[op].kind == MATMUL]
        self.made = {problem.operations[op].output for op in step.operations}
        self._judge_operations(written)
        self._judge_retained()
        kept = {t for t in self.made if t in step.retain}
        self.ephemeral = {t for t in self.made if self._read_here(t)} - kept
        self.evicted = self.made - self.ephemeral - kept
        self.width, self.height, self.depth = step.tile
        self.roles = {op: self._role(op) for op in self.products}
        self.sum = self._sum()
        self.parts = -(-self.sum // self.depth) if self.products else 1
        self._judge_fusion()
        self.shape = self._shape()
        self._judge_tiles()
        self._judge_capacity()

    def _read_here(self, tensor: int) -> bool:
        return not self.group.isdisjoint(self.problem.readers[tensor])

    def _judge_operations(self, written: set[int]) -> None:
        """Operands are there: made in this step, retained by the step before, or in the slow memory."""
        done: set[int] = set()
        for op in self.step.operations:
            for tensor in self.problem.operations[op].inputs:
                if tensor in self.made:
                    if tensor not in done:
                        raise Invalid(f"operation {op} reads tensor {tensor} before this step makes it")
                elif tensor not in self.retained and tensor not in written:
                    raise Invalid(f"operation {op} reads tensor {tensor}, which is in neither memory")
            done.add(self.problem.operations[op].output)
        self._judge_connected()

    def _judge_connected(self) -> None:
        """The operations hang together by the tensors they touch."""
        left = {op: {*(data := self.problem.operations[op]).inputs, data.output} for op in self.group}
        reached = left.pop(self.step.operations[0])
        while near := [op for op, tensors in left.items() if tensors & reached]:
            for op in near:
                reached |= left.pop(op)
        if left:
            raise Invalid(f"operations {sorted(left)} have no tensor in common with the others")

    def _judge_retained(self) -> None:
        for tensor in self.step.retain:
            if tensor not in self.made:
                raise Invalid(f"retains tensor {tensor}, which it does not make")
            if not self.problem.readers[tensor]:
                raise Invalid(f"retains tensor {tensor}, a result of the graph: it must be written")

    def _role(self, op: int) -> "_Role":
        """How a product stands to the others of the step."""
        data, products = self.problem.operations, self.products
        producer = self.problem.producer
        reads = [t in self.ephemeral and data[producer[t]].kind == MATMUL for t in data[op].inputs]
        made = data[op].output
        after = [other for other in products if made in self.ephemeral and made in data[other].inputs]
        feeds = [any(data[other].inputs[side] == made for other in after) for side in (0, 1)]
        return _Role((reads[0], reads[1]), (feeds[0], feeds[1]))

    def _kind(self, op: int) -> str:
        return self.problem.operations[op].kind

    def _sum(self) -> int:
        """The terms that the depth cuts: those of a chain's last product, or else of the longest sum."""
        ends = [op for op, role in self.roles.items() if role.chained == (True, False)]
        if ends:
            return self.problem.depth(ends[-1])
        return max((self.problem.depth(op) for op in self.products), default=0)

    def _judge_fusion(self) -> None:
        for op in self.products:
            if all(self.roles[op].feeds):
                raise Invalid(f"product {op} feeds both a left and a right operand: no slice serves both")
        roles = [role.chained for role in self.roles.values()]
        if self.parts > 1:
            self._judge_cut_sums(roles)
            return
        depths = {self.width, *(self.problem.depth(op) for op in self.products)}
        if (len(self.products) > 2 or (True, True) in roles) and depths != {self.depth}:
            raise Invalid("three products or more need one depth: their sums' and the tile's width")

    def _judge_cut_sums(self, roles: list[tuple[bool, bool]]) -> None:
        if roles != [(False, False)] and sorted(roles) != [(False, True), (True, False)]:
            raise Invalid("only one product, or one that feeds another, can be summed in parts")
        for op in self.products:
            for side, reach in enumerate((self.width, self.height)):
                tensor = self.problem.operations[op].inputs[side]
                source = self.problem.producer.get(tensor)
                if (
                    source in self.group
                    and self._kind(source) == POINTWISE
                    and reach < self.problem.depth(op)
                ):
                    raise Invalid(f"product {op} is summed in parts, but a tile of tensor {tensor} is less")

    def _shape(self) -> tuple[int, int]:
        shapes = {self.problem.shapes[t] for t in self.made - self.ephemeral}
        if len(shapes) != 1:
            said = ", ".join(f"{w}x{h}" for w, h in sorted(shapes)) or "nothing"
            raise Invalid(f"its results share one grid of tiles, so one shape: it makes {said}")
        return shapes.pop()

    def _judge_tiles(self) -> None:
        if self.width > self.problem.native[0] or self.height > self.problem.native[1]:
            raise Invalid(f"tile {self.width}x{self.height} is more than the native {self.problem.native}")
        order = self.step.traversal
        tiles = -(-self.shape[0] // self.width) * -(-self.shape[1] // self.height)
        if order is not None and sorted(order) != list(range(tiles)):
            raise Invalid(f"the traversal does not visit {tiles} tiles, each once")

    def _judge_capacity(self) -> None:
        """Every operand's slice of a full cell, a tile of every result, and all that the step before left."""
        cell = Cell(0, 0, 0, self.width, self.height, min(self.depth, self.sum))
        need = sum(slice.elements for op in self.step.operations for _, slice, _ in self._slices(op, cell))
        need += len(self.made - self.ephemeral) * self.width * self.height
        for tensor in self.retained:
            width, height = self.problem.shapes[tensor]
            need += width * height
        if need > self.problem.capacity:
            raise Invalid(f"needs {need} elements of fast memory, of which there are {self.problem.capacity}")

    def _slices(self, op: int, cell: Cell) -> Iterator[tuple[int, Slice, bool]]:
        """The operands that an operation reads from memory: tensor, slice, and whether it is the whole tile's
        and not only this part's."""
        for side, tensor in enumerate(self.problem.operations[op].inputs):
            if tensor not in self.ephemeral and tensor not in self.retained:
                yield tensor, *self._slice(op, side, cell)

    def _slice(self, op: int, side: int, cell: Cell) -> tuple[Slice, bool]:
        if self._kind(op) == POINTWISE:
            return Slice(cell.row, cell.column, -1, cell.width * cell.height), True
        depth, role = self.problem.depth(op), self.roles[op]
        for feeds in (0, 1):  # a head keeps one operand whole and is cut along the dimension it hands on
            if role.feeds[feeds] and not role.reads[feeds]:
                if side != feeds:
                    return Slice(-1, -1, cell.part, depth * cell.depth), False
                if side == 0:
                    return Slice(cell.row, -1, -1, cell.height * depth), True
                return Slice(-1, cell.column, -1, depth * cell.width), True
        terms = cell.depth if self.parts > 1 or any(role.chained) else depth
        if side == 0:
            return Slice(cell.row, -1, cell.part, cell.height * terms), False
        return Slice(-1, cell.column, cell.part, terms * cell.width), False

    def _cells(self) -> Iterator[Cell]:
        columns, rows = -(-self.shape[0] // self.width), -(-self.shape[1] // self.height)
        for tile in self.step.traversal or range(columns * rows):
            row, column = divmod(tile, columns)
            width = min(self.width, self.shape[0] - column * self.width)
            height = min(self.height, self.shape[1] - row * self.height)
            for part in sorted({0, min(1, self.parts - 1), self.parts - 1}):
                depth = min(self.depth, self.sum - part * self.depth)
                count = self.parts - 2 if 0 < part < self.parts - 1 else 1
                yield Cell(row, column, part, width, height, depth, count)

    def latency(self) -> float:
        """The time of all cells."""
        held: dict[int, tuple[int, int, int]] = {}
        time = 0.0
        for cell in self._cells():
            compute, moved = 0.0, 0
            for op in self.step.operations:
                compute += self._compute(op, cell)
                for tensor, slice, whole in self._slices(op, cell):
                    if (cell.part == 0 or not whole) and held.get(tensor) != slice.key:
                        moved += slice.elements
                        held[tensor] = slice.key
            if cell.part == self.parts - 1:
                moved += len(self.evicted) * cell.width * cell.height
            time += cell.count * max(compute, moved / self.problem.bandwidth)
        return time

    def _compute(self, op: int, cell: Cell) -> float:
        cost = self.problem.operations[op].cost
        if self._kind(op) == POINTWISE:
            return cost if cell.part == 0 else 0.0
        if self.parts == 1 and not any(self.roles[op].chained):
            return cost
        return cost * cell.depth / self.sum
