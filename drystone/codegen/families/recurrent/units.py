"""A recurrent layer by hidden units: every time step is a round in which each thread makes its own units.

The part of the weight that a thread's units need stays in its own cache from step to step: it is read from
there as fast as that gives it (persistent RNNs, Diamos et al. 2016; FlashRNN, Poeppel et al. 2024). What the
threads tell each other between steps is the hidden state.
"""

from dataclasses import dataclass

from drystone.codegen.families.dry_op import narrowed, widened
from drystone.codegen.families.recurrent.form import Before, RecurrentForm, entering, hidden_part, new_state
from drystone.codegen.families.tiling import divisor
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder
from drystone.targets.target import Target

#: Numbers of a weight above which dividing them among threads, which meet after every step, saves time: about
#: a microsecond's products.
_WEIGHT = 12_288


def divides_units(form: RecurrentForm, target: Target) -> bool:
    """Whether the hidden units can be divided among the threads."""
    whole = form.block is not None and form.hidden % form.block == 0 and form.block % target.lanes(32) == 0
    return target.threads > 1 and whole


def by_units(form: RecurrentForm, target: Target) -> bool:
    """Whether to divide the hidden units among the threads rather than the rows of the batch: where a step is
    long enough to meet after it, and there are not two rows for every thread: two read the weight once."""
    batch = form.outs[0].shape[1]
    few = batch is None or batch < 2 * target.threads
    return divides_units(form, target) and few and form.gates * form.hidden >= _WEIGHT


def most_rows(form: RecurrentForm, target: Target) -> int:
    """Rows whose sums of all gates leave a quarter of the registers free."""
    sums = form.gates // form.hidden * (form.block or 0) // target.lanes(32)
    return max(1, min(8, 3 * target.registers // 4 // max(1, sums)))


@dataclass(frozen=True)
class Units:
    """The layer; memory that all threads share: two hidden states, of which one is read while the other is
    written, and the memory of an "lstm". Each unit is `width` hidden units for all rows, `rows` at a time."""

    form: RecurrentForm
    t: TileBuilder
    width: int
    rows: int
    states: Tensor
    memory: Tensor | None

    @staticmethod
    def make(form: RecurrentForm, t: TileBuilder, rows: int) -> "Units":
        """With its memory."""
        batches, width = form.projected.dim(1), form.block or 0
        states = t.shared([2, batches, form.hidden], form.dtype)
        memory = t.shared([batches, form.hidden], form.dtype) if form.cell == "lstm" else None
        return Units(form, t, width, rows, states, memory)

    def run(self) -> None:
        """Round 0 takes in the given states; round r makes the state after r steps."""
        steps, t = self.form.projected.dim(0), self.t
        t.rounds(steps + 1, lambda r: t.grid([(self.form.hidden, self.width)], lambda j: self.some(r, j)))

    def some(self, r: Index, j: Index) -> None:
        """Some units in one round."""
        steps, t = self.form.projected.dim(0), self.t

        def rows(i: Index) -> None:
            t.when(r, 1, lambda: self.enter(i, j))
            t.when(0, r, lambda: self.step(r, i, j))
            t.when(steps - 1, r, lambda: self.leave(r, i, j))

        t.loop(self.form.projected.dim(1), self.rows, rows)

    def enter(self, i: Index, j: Index) -> None:
        """Take in the given states."""
        form, t, shape = self.form, self.t, [self.rows, self.width]
        t.store(self.states, [0, i, j], widened(t, t.load(form.state[0], [i, j], shape)), [None, *shape])
        if self.memory is not None:
            t.store(self.memory, [i, j], widened(t, t.load(form.state[1], [i, j], shape)))

    def leave(self, r: Index, i: Index, j: Index) -> None:
        """Give the last states."""
        form, t, shape = self.form, self.t, [self.rows, self.width]
        last = t.load(self.states, [r % 2, i, j], [None, *shape])
        t.store(form.outs[1], [i, j], narrowed(t, last, form.outs[1].dtype))
        if self.memory is not None:
            last = t.load(self.memory, [i, j], shape)
            t.store(form.outs[2], [i, j], narrowed(t, last, form.outs[2].dtype))

    def step(self, r: Index, i: Index, j: Index) -> None:
        """One time step."""
        form, t, shape = self.form, self.t, [self.rows, self.width]
        time = form.projected.dim(0) - r if form.reverse else r - 1
        sums = self.sums((r + 1) % 2, i, j)
        hidden = [hidden_part(form, t, total, gate, j) for gate, total in enumerate(sums)]
        memory = None if self.memory is None else t.load(self.memory, [i, j], shape)
        before = Before(t.load(self.states, [(r + 1) % 2, i, j], [None, *shape]), memory)
        state, memory = new_state(form, t, entering(form, t, [time, i, j], shape), hidden, before)
        if self.memory is not None and memory is not None:
            t.store(self.memory, [i, j], memory)
        t.store(self.states, [r % 2, i, j], state, [None, *shape])
        t.store(form.outs[0], [time, i, j], narrowed(t, state, form.outs[0].dtype), [None, *shape])

    def sums(self, old: Index, i: Index, j: Index) -> tuple[Tile, ...]:
        """The old hidden state times the units' columns of every gate, which are blocks of the weight."""
        form, t = self.form, self.t
        gates, depth = form.gates // form.hidden, divisor(form.hidden, 4)

        def products(k: Index, *acc: Tile) -> list[Tile]:
            a = t.load(self.states, [old, i, k], [None, self.rows, depth])
            first = j // self.width
            blocks = [first + gate * (form.hidden // self.width) for gate in range(gates)]
            weights = [t.load(form.weight, [b, k, 0], [None, depth, self.width]) for b in blocks]
            return [t.dot(one, a, widened(t, w)) for one, w in zip(acc, weights, strict=True)]

        zeros = [t.full(0, (self.rows, self.width), form.dtype) for _ in range(gates)]
        return t.loop(form.hidden, depth, products, zeros)
