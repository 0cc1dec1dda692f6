"""Recurrent layers: one grid step takes some rows of the batch through all time steps.

A step is a product of the hidden state with the weight, which stays in the cache from step to step, and the
cell's arithmetic on the sums. A packed weight has its gates along the vectors; a plain one is read along the
hidden dimension, and the lanes are summed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import wide
from drystone.codegen.families.dry_op import DryOp, dry_op, narrowed, pack_of, widened
from drystone.codegen.families.tiling import divisor
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.mlir import ir
from drystone.targets import CpuTarget

#: Gates whose sums are made at once from a plain weight.
_GATES = 8


@dataclass(frozen=True)
class RecurrentForm:
    """A `dry.recurrent`: its tensors and attributes; `block` is the packed weight's, None for a plain one;
    outs are all states, the last one and, for "lstm", the last memory."""

    op: DryOp
    projected: Tensor
    weight: Tensor
    bias: Tensor | None
    state: tuple[Tensor, ...]
    outs: tuple[Tensor, ...]
    cell: str
    reverse: bool
    block: int | None
    gates: int
    hidden: int

    @property
    def dtype(self) -> str:
        """The element computed in."""
        return wide(self.outs[0].dtype)


def recurrent_form(kernel: Any) -> RecurrentForm:
    """Read the kernel function of a `dry.recurrent`."""
    op = dry_op(kernel)
    main = op.main
    gates, hidden = ir.RankedTensorType(main.weight.type).shape
    pack = pack_of(main.weight)
    bias = op.all(main.bias)
    return RecurrentForm(
        op=op,
        projected=op.tensor(main.projected),
        weight=op.tensor(main.weight),
        bias=bias[0] if bias else None,
        state=tuple(op.all(main.state)),
        outs=op.inits,
        cell=ir.StringAttr(main.cell).value,
        reverse=bool(ir.IntegerAttr(main.reverse).value),
        block=None if pack is None else pack.inner_tiles[0],
        gates=gates,
        hidden=hidden,
    )


def recurrent(kernel: Any, target: CpuTarget) -> TileProgram | None:
    """The program of a `dry.recurrent`; None for a weight packed otherwise than along its gates."""
    form = recurrent_form(kernel)
    pack = pack_of(form.op.main.weight)
    if pack is not None and (pack.inner_dims != (0,) or pack.outer_perm not in ((), (0, 1))):
        return None
    lanes, batch = target.lanes(32), form.outs[0].shape[1]
    rows = 4 if batch is None else max(1, min(8, -(-batch // target.threads)))

    def body(t: TileBuilder) -> None:
        steps, batches = form.projected.dim(0), form.projected.dim(1)
        for tensor in (*form.state, *form.outs[1:]):
            t.same(tensor.dim(0), batches)
        t.same(form.outs[0].dim(0), steps)
        t.same(form.outs[0].dim(1), batches)
        t.grid([(batches, rows)], lambda first: _Rows.make(form, t, target, lanes, rows, first).run(steps))

    return tile_program("recurrent", form.op.tensors, body, form.op.scalars)


@dataclass(frozen=True)
class _Rows:
    """`rows` rows of the batch from `first`; in scratch: two hidden states, of which one is read while the
    other is written, the memory, and the sums of all gates."""

    form: RecurrentForm
    t: TileBuilder
    target: CpuTarget
    lanes: int
    rows: int
    first: Index
    states: Tensor
    memory: Tensor
    sums: Tensor

    @staticmethod
    def make(
        form: RecurrentForm, t: TileBuilder, target: CpuTarget, lanes: int, rows: int, first: Index
    ) -> "_Rows":
        """With its scratch."""
        width = form.gates if form.block is None else form.weight.dim(0).constant
        size = width or 0 if form.block is None else (width or 0) * form.block
        states = t.scratch([2, rows, form.hidden], form.dtype)
        memory = t.scratch([rows, form.hidden if form.cell == "lstm" else 1], form.dtype)
        sums = t.scratch([rows, size], form.dtype)
        return _Rows(form, t, target, lanes, rows, first, states, memory, sums)

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
        count = form.gates // form.hidden
        entering, hidden = [], []
        for gate in range(count):
            at = j + gate * form.hidden
            entering.append(widened(t, t.load(form.projected, [time, self.first, at], [None, *shape])))
            total = t.load(self.sums, [0, at], shape)
            if form.bias is not None:
                shift = widened(t, t.load(form.bias, [at], [self.lanes]))
                total = t.apply("arith.addf", total, shift)
            hidden.append(total)
        state = self.new_state(entering, hidden, old, j)
        t.store(self.states, [new, 0, j], state, [None, *shape])
        t.store(form.outs[0], [time, self.first, j], narrowed(t, state, form.outs[0].dtype), [None, *shape])

    def new_state(self, entering: Sequence[Tile], hidden: Sequence[Tile], old: Index, j: Index) -> Tile:
        """The cell's arithmetic, as in torch."""
        form, t = self.form, self.t
        shape = [self.rows, self.lanes]

        def add(a: Tile, b: Tile) -> Tile:
            return t.apply("arith.addf", a, b)

        def times(a: Tile, b: Tile) -> Tile:
            return t.apply("arith.mulf", a, b)

        one = t.full(1, (1, 1), form.dtype)

        def sigmoid(x: Tile) -> Tile:
            return t.apply("arith.divf", one, add(t.apply("math.exp", t.apply("arith.negf", x)), one))

        if form.cell == "lstm":
            i, f, g, o = (add(x, h) for x, h in zip(entering, hidden, strict=True))
            kept = times(sigmoid(f), t.load(self.memory, [0, j], shape))
            memory = add(kept, times(sigmoid(i), t.apply("math.tanh", g)))
            t.store(self.memory, [0, j], memory)
            return times(sigmoid(o), t.apply("math.tanh", memory))
        if form.cell == "gru":
            r, z = (sigmoid(add(x, h)) for x, h in zip(entering[:2], hidden[:2], strict=True))
            n = t.apply("math.tanh", add(entering[2], times(r, hidden[2])))
            before = t.load(self.states, [old, 0, j], [None, *shape])
            return add(n, times(z, t.apply("arith.subf", before, n)))
        total = add(entering[0], hidden[0])
        if form.cell == "tanh":
            return t.apply("math.tanh", total)
        return t.apply("arith.maximumf", total, t.full(0, (1, 1), form.dtype))
