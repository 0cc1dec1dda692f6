"""A recurrent layer by rows of the batch: one grid step takes some of them through all time steps.

A step is a product of the hidden state with the weight, which stays in the cache from step to step, and the
cell's arithmetic on the sums. A packed weight has its gates along the vectors; a plain one is read along the
hidden dimension, and the lanes are summed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from drystone.codegen.families.dry_op import narrowed, widened
from drystone.codegen.families.recurrent.form import Before, RecurrentForm, entering, hidden_part, new_state
from drystone.codegen.families.tiling import divisor
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder
from drystone.targets.target import Target

#: Gates whose sums are made at once from a plain weight.
_GATES = 8


@dataclass(frozen=True)
class Rows:
    """`rows` rows of the batch from `first`; in scratch: two hidden states, of which one is read while the
    other is written, the memory, and the sums of all gates."""

    form: RecurrentForm
    t: TileBuilder
    target: Target
    lanes: int
    rows: int
    first: Index
    states: Tensor
    memory: Tensor
    sums: Tensor

    @staticmethod
    def make(
        form: RecurrentForm, t: TileBuilder, target: Target, lanes: int, rows: int, first: Index
    ) -> "Rows":
        """With its scratch."""
        width = form.gates if form.block is None else form.weight.dim(0).constant
        size = width or 0 if form.block is None else (width or 0) * form.block
        states = t.scratch([2, rows, form.hidden], form.dtype)
        memory = t.scratch([rows, form.hidden if form.cell == "lstm" else 1], form.dtype)
        sums = t.scratch([rows, size], form.dtype)
        return Rows(form, t, target, lanes, rows, first, states, memory, sums)

    def columns(self, body: Callable[[Index], None]) -> None:
        """body(start) for one vector of hidden units after the other."""
        self.t.loop(self.form.hidden, self.lanes, body)

    def run(self, steps: Index) -> None:
        """All time steps."""
        form, t = self.form, self.t
        shape = [self.rows, self.lanes]

        def enter(j: Index) -> None:
            t.store(
                self.states,
                [0, 0, j],
                widened(t, t.load(form.state[0], [self.first, j], shape)),
                [None, *shape],
            )
            if form.cell == "lstm":
                t.store(self.memory, [0, j], widened(t, t.load(form.state[1], [self.first, j], shape)))

        def step(s: Index) -> None:
            old, new = s % 2, (s + 1) % 2
            time = steps - 1 - s if form.reverse else s
            if form.block is None:
                self.plain_sums(old)
            else:
                self.packed_sums(old, form.block)
            self.columns(lambda j: self.cell(time, old, new, j))

        def leave(j: Index) -> None:
            last = t.load(self.states, [steps % 2, 0, j], [None, *shape])
            t.store(form.outs[1], [self.first, j], narrowed(t, last, form.outs[1].dtype))
            if form.cell == "lstm":
                last = t.load(self.memory, [0, j], shape)
                t.store(form.outs[2], [self.first, j], narrowed(t, last, form.outs[2].dtype))

        self.columns(enter)
        t.loop(steps, 1, step)
        self.columns(leave)

    def packed_sums(self, old: Index, block: int) -> None:
        """The hidden state times the packed weight: several blocks at once, so that enough sums are under
        way to hide the latency of an addition."""
        form, t = self.form, self.t
        blocks = form.weight.dim(0).constant or 1
        vectors = -(-block // self.lanes) * self.rows
        group = divisor(blocks, max(1, (self.target.registers // 2) // vectors))
        depth = divisor(form.hidden, 4)

        def some(b: Index) -> None:
            def products(k: Index, *acc: Tile) -> list[Tile]:
                a = t.load(self.states, [old, 0, k], [None, self.rows, depth])
                return [
                    t.dot(one, a, widened(t, t.load(form.weight, [b + i, k, 0], [None, depth, block])))
                    for i, one in enumerate(acc)
                ]

            zeros = [t.full(0, (self.rows, block), form.dtype) for _ in range(group)]
            for i, acc in enumerate(t.loop(form.hidden, depth, products, zeros)):
                t.store(self.sums, [0, (b + i) * block], acc)

        t.loop(blocks, group, some)

    def plain_sums(self, old: Index) -> None:
        """The same for a plain weight."""
        form, t = self.form, self.t

        def some(row: Index, g: Index) -> None:
            def products(k: Index, acc: Tile) -> Tile:
                h = t.load(self.states, [old, row, k], [None, None, self.lanes])
                w = widened(t, t.load(form.weight, [g, k], [_GATES, self.lanes]))
                return t.apply("math.fma", w, h, acc)

            zeros = t.full(0, (_GATES, self.lanes), form.dtype)
            (acc,) = t.loop(form.hidden, self.lanes, products, [zeros])
            total = t.reshape(t.transpose(t.reduce("arith.addf", acc, 1)), [_GATES])
            t.store(self.sums, [row, g], total, [None, _GATES])

        t.loop(self.rows, 1, lambda row: t.loop(form.gates, _GATES, lambda g: some(row, g)) and None)

    def cell(self, time: Index, old: Index, new: Index, j: Index) -> None:
        """The new state of one vector of hidden units."""
        form, t = self.form, self.t
        shape = [self.rows, self.lanes]
        hidden = []
        for gate in range(form.gates // form.hidden):
            total = t.load(self.sums, [0, j + gate * form.hidden], shape)
            hidden.append(hidden_part(form, t, total, gate, j))
        memory = t.load(self.memory, [0, j], shape) if form.cell == "lstm" else None
        before = Before(t.load(self.states, [old, 0, j], [None, *shape]), memory)
        given = entering(form, t, [time, self.first, j], shape)
        state, memory = new_state(form, t, given, hidden, before)
        if memory is not None:
            t.store(self.memory, [0, j], memory)
        t.store(self.states, [new, 0, j], state, [None, *shape])
        t.store(form.outs[0], [time, self.first, j], narrowed(t, state, form.outs[0].dtype), [None, *shape])
