"""A recurrent layer as its kernels read it, and the arithmetic of its cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import wide
from drystone.codegen.families.dry_op import DryOp, dry_op, pack_of, widened
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder
from drystone.mlir import ir


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


@dataclass(frozen=True)
class Before:
    """What one step's new state is made from beside the sums: the state before it, and the memory of an
    "lstm"."""

    state: Tile
    memory: Tile | None


def entering(form: RecurrentForm, t: TileBuilder, at: Sequence[Index], shape: Sequence[int]) -> list[Tile]:
    """What a step's input adds to each gate, for [rows, units] of `shape` from (time, row, unit)."""
    time, row, unit = at
    starts = [[time, row, unit + gate * form.hidden] for gate in range(form.gates // form.hidden)]
    return [widened(t, t.load(form.projected, start, [None, *shape])) for start in starts]


def hidden_part(form: RecurrentForm, t: TileBuilder, total: Tile, gate: int, unit: Index) -> Tile:
    """The hidden state's part of a gate: its sums and, where it has one, the bias."""
    if form.bias is None:
        return total
    shift = widened(t, t.load(form.bias, [unit + gate * form.hidden], [total.shape[1]]))
    return t.apply("arith.addf", total, shift)


def new_state(
    form: RecurrentForm, t: TileBuilder, entering: Sequence[Tile], hidden: Sequence[Tile], before: Before
) -> tuple[Tile, Tile | None]:
    """The cell's arithmetic, as in torch: the new state and memory."""

    def add(a: Tile, b: Tile) -> Tile:
        return t.apply("arith.addf", a, b)

    def times(a: Tile, b: Tile) -> Tile:
        return t.apply("arith.mulf", a, b)

    one = t.full(1, (1, 1), form.dtype)

    def sigmoid(x: Tile) -> Tile:
        return t.apply("arith.divf", one, add(t.apply("math.exp", t.apply("arith.negf", x)), one))

    if before.memory is not None:
        i, f, g, o = (add(x, h) for x, h in zip(entering, hidden, strict=True))
        kept = times(sigmoid(f), before.memory)
        memory = add(kept, times(sigmoid(i), t.apply("math.tanh", g)))
        return times(sigmoid(o), t.apply("math.tanh", memory)), memory
    if form.cell == "gru":
        r, z = (sigmoid(add(x, h)) for x, h in zip(entering[:2], hidden[:2], strict=True))
        n = t.apply("math.tanh", add(entering[2], times(r, hidden[2])))
        return add(n, times(z, t.apply("arith.subf", before.state, n))), None
    total = add(entering[0], hidden[0])
    if form.cell == "tanh":
        return t.apply("math.tanh", total), None
    return t.apply("arith.maximumf", total, t.full(0, (1, 1), form.dtype)), None
