"""A problem seen as a graph: who makes and reads each tensor, how long tensors live under an order, and a
bound on the memory that holds for every order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import gcd

from drystone.errors import InternalError
from drystone.scheduling.problem import Problem


@dataclass(frozen=True)
class Piece:
    """The bytes low <= byte < high of a block, counted from its offset, during start <= step < end."""

    start: int
    end: int
    low: int
    high: int


@dataclass(frozen=True)
class Block:
    """A rectangle to place: `size` bytes during start <= step < end, at a multiple of `alignment`. More than
    one tensor where an operation writes over its dying input. During each of its `gaps` (in order, none
    overlapping another) it uses only that piece of itself, or nothing where low is high."""

    tensors: tuple[str, ...]
    size: int
    start: int
    end: int
    alignment: int = 1
    gaps: tuple[Piece, ...] = ()

    @property
    def pieces(self) -> list[Piece]:
        """The rectangles it uses, in order of time."""
        if not self.gaps:
            return [Piece(self.start, self.end, 0, self.size)] if self.size else []
        found, step = [], self.start
        for gap in self.gaps:
            found += [Piece(step, gap.start, 0, self.size), gap]
            step = gap.end
        found.append(Piece(step, self.end, 0, self.size))
        return [piece for piece in found if piece.start < piece.end and piece.low < piece.high]

    def aligned(self, offset: int) -> int:
        """`offset` rounded up to the block's alignment."""
        return -(-offset // self.alignment) * self.alignment


def stacked(lives: Sequence[tuple[str, int, int, int]]) -> Block:
    """The block of tensors (name, bytes, first step, step after the last) of which each but the first is
    written over the one before, and is no larger: behind that step, only its own bytes are in use."""
    gaps = [Piece(before[3], end, 0, size) for before, (_, size, _, end) in pairwise(lives)]
    size, start, end = lives[0][1], lives[0][2], lives[-1][3]
    smaller = tuple(gap for gap in gaps if gap.high < size and gap.start < gap.end)
    return Block(tuple(name for name, *_ in lives), size, start, end, gaps=smaller)


class Graph:
    """The relations of a problem, operations by their index in it. Sizes are rounded up to the alignment.

    Raises InternalError where the problem contradicts itself.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.alignment = problem.levels[0].alignment
        self.number = {op.name: index for index, op in enumerate(problem.operations)}
        self.bytes = {t.name: t.size for t in problem.tensors}
        self.size = {name: self.rounded(size) for name, size in self.bytes.items()}
        self.scratch = [self.rounded(op.scratch) for op in problem.operations]
        self.kept = frozenset(problem.kept)
        #: The slower level in which each tensor always lies, "" where there is none.
        self.home = {t.name: t.home for t in problem.tensors}
        if len(self.number) != len(problem.operations) or len(self.size) != len(problem.tensors):
            raise InternalError("a planning problem names two things the same")
        self.producer: dict[str, int] = {}
        self.readers: dict[str, list[int]] = {name: [] for name in self.size}
        self.before: list[set[int]] = []
        for index in range(len(problem.operations)):
            self._enter(index)

    def _enter(self, index: int) -> None:
        op = self.problem.operations[index]
        for name in (*op.inputs, *op.outputs):
            if name not in self.size:
                raise InternalError(f"{op.name} uses {name}, which the planning problem does not declare")
        for name in dict.fromkeys(op.inputs):
            self.readers[name].append(index)
        made = {self.producer[name] for name in op.inputs if name in self.producer}
        self.before.append(made | {self.number.get(name, index) for name in op.after})
        if any(earlier >= index for earlier in self.before[index]):
            raise InternalError(f"{op.name} stands before an operation it must come after")
        for name in op.outputs:
            if name in self.producer or self.readers[name]:
                raise InternalError(f"{name} is written twice, or read before it is written")
            self.producer[name] = index
        for output, source in op.in_place:
            if output not in op.outputs or source not in op.inputs or self.size[output] > self.size[source]:
                raise InternalError(f"{op.name} cannot put {output} in the place of {source}")

    def rounded(self, size: int) -> int:
        """`size` rounded up to the alignment."""
        return -(-size // self.alignment) * self.alignment

    @cached_property
    def unit(self) -> int:
        """The greatest number of bytes that divides all sizes."""
        return gcd(*(n for n in self.size.values() if n), *(n for n in self.scratch if n)) or 1

    @cached_property
    def after(self) -> list[set[int]]:
        """The operations that must come directly or at some time after each one."""
        found: list[set[int]] = [set() for _ in self.before]
        for index, earlier in enumerate(self.before):
            for other in earlier:
                found[other].add(index)
        return found

    @cached_property
    def ancestors(self) -> list[int]:
        """All operations that come before each one under every order, as bits."""
        found: list[int] = []
        for earlier in self.before:
            bits = 0
            for other in earlier:
                bits |= found[other] | 1 << other
            found.append(bits)
        return found

    @cached_property
    def descendants(self) -> list[int]:
        """All operations that come after each one under every order, as bits."""
        found = [0] * len(self.before)
        for index in range(len(self.before) - 1, -1, -1):
            for other in self.before[index]:
                found[other] |= found[index] | 1 << index
        return found

    @property
    def rigid(self) -> bool:
        """Whether nothing can be moved or computed again."""
        return len(self.problem.levels) == 1 and all(op.work is None for op in self.problem.operations)

    def leaving(self, name: str, first: bool = True) -> int:
        """The least that a byte of a tensor with a home in a slower level costs to come from there for the
        first time, or again."""
        levels = self.problem.levels
        home = next(number for number, level in enumerate(levels) if level.name == self.home[name])
        return min(level.cost for level in levels[home if first else 1 :])

    @property
    def compulsory(self) -> int:
        """The cost that no plan can avoid: what is read and has its home in a slower level comes once."""
        homed = [name for name, home in self.home.items() if home and self.readers[name]]
        return sum(self.bytes[name] * self.leaving(name) for name in homed)

    @property
    def forced(self) -> bool:
        """Whether the dependencies leave one order only."""
        pairs = zip(self.ancestors, self.descendants, strict=True)
        return all((before | after).bit_count() + 1 == len(self.before) for before, after in pairs)

    def lifetimes(self, order: Sequence[int]) -> dict[str, tuple[int, int]]:
        """First step and the step after the last, of every tensor."""
        step = {index: position for position, index in enumerate(order)}
        spans = {}
        for name, readers in self.readers.items():
            start = step[self.producer[name]] if name in self.producer else 0
            last = max([start, *(step[reader] for reader in readers)])
            spans[name] = (start, len(order) if name in self.kept else last + 1)
        return spans

    def blocks(self, order: Sequence[int]) -> list[Block]:
        """What must be placed under an order: outputs merged with the inputs they may overwrite, and
        scratch."""
        spans = self.lifetimes(order)
        chain = {name: [name] for name in spans}
        for step, index in enumerate(order):
            taken: set[str] = set()
            for output, source in self.problem.operations[index].in_place:
                dies = spans[source][1] == step + 1 and source not in self.kept
                if dies and not taken & {output, source}:
                    taken |= {output, source}
                    chain[output] = [*chain.pop(source), output]
        blocks = [
            stacked([(name, self.size[name], *spans[name]) for name in names]) for names in chain.values()
        ]
        for step, index in enumerate(order):
            if self.scratch[index]:
                blocks.append(Block((self.scratch_name(index),), self.scratch[index], step, step + 1))
        return blocks

    def scratch_name(self, index: int) -> str:
        """The name under which an operation's working memory has its home."""
        return f"{self.problem.operations[index].name}.scratch"

    def bound(self) -> int:
        """Bytes that some step needs under every order: an operation's own tensors, and those that something
        before it makes and something after it reads."""
        needed = [self.scratch[index] - self._overwritten(index) for index in range(len(self.before))]
        for name, size in self.size.items():
            for index in _bits(self._alive(name)) if size else ():
                needed[index] += size
        return max([sum(self.size[name] for name in self.kept), *needed])

    def _alive(self, name: str) -> int:
        """The operations, as bits, during which a tensor is there under every order."""
        maker = self.producer.get(name)
        after = (1 << len(self.before)) - 1 if maker is None else self.descendants[maker] | 1 << maker
        if name in self.kept:
            return after
        before = 0 if maker is None else 1 << maker
        for reader in self.readers[name]:
            before |= self.ancestors[reader] | 1 << reader
        return after & before

    def _overwritten(self, index: int) -> int:
        """No less than what any plan can save by writing an operation's outputs over its inputs: at most one
        input goes for each output."""
        spared = {
            output
            for output, source in self.problem.operations[index].in_place
            if source not in self.kept
            and not any(self.descendants[index] >> reader & 1 for reader in self.readers[source])
        }
        return sum(self.size[name] for name in spared)

    def least(self) -> int:
        """Bytes of the first level that some operation needs for itself, whatever is moved or computed again
        around it; 0 where operations may work in other levels."""
        if any(level.direct for level in self.problem.levels[1:]):
            return 0
        return max((self._own(index) for index in range(len(self.before))), default=0)

    def neediest(self) -> str:
        """The operation that needs most for itself: its place in the user's model, or its name."""
        most = max(range(len(self.before)), key=self._own, default=None)
        return (
            "" if most is None else self.problem.operations[most].where or self.problem.operations[most].name
        )

    def _own(self, index: int) -> int:
        """Bytes of an operation's own tensors, less what outputs may take over from inputs."""
        op = self.problem.operations[index]
        own = sum(self.size[name] for name in dict.fromkeys((*op.inputs, *op.outputs)))
        outputs = {output for output, source in op.in_place if source not in self.kept}
        sources = {source for _, source in op.in_place if source not in self.kept}
        # At most one input goes for each output, and one output, no larger, comes for each input.
        spared = min(sum(self.size[name] for name in names) for names in (outputs, sources))
        return own + self.scratch[index] - spared


def _bits(number: int) -> list[int]:
    """The places of a number's bits that are set."""
    digits = f"{number:b}"[::-1]
    found, place = [], digits.find("1")
    while place >= 0:
        found.append(place)
        place = digits.find("1", place + 1)
    return found


def load(blocks: Sequence[Block]) -> int:
    """The most bytes alive at one step: no placement of the blocks can use less."""
    change: dict[int, int] = {}
    for piece in (piece for block in blocks for piece in block.pieces):
        change[piece.start] = change.get(piece.start, 0) + piece.high - piece.low
        change[piece.end] = change.get(piece.end, 0) - piece.high + piece.low
    most = now = 0
    for step in sorted(change):
        now += change[step]
        most = max(most, now)
    return most


def unit(blocks: Sequence[Block]) -> int:
    """Bytes that divide every offset, size and height of a placement whose blocks stand on one another."""
    parts = [n for b in blocks for n in (b.size, *(n for gap in b.gaps for n in (gap.low, gap.high)))]
    return gcd(*parts, *(block.alignment for block in blocks if block.alignment > 1)) or 1
