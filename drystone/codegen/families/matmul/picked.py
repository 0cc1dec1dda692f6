"""Few rows times a matrix of whose every m neighbouring inputs n are held, as codes of signed bytes.

Numbers of a row are three bytes, as in `split`, but unsigned ones: an instruction picks, for each
number that is held, the byte of its input from 64 of the row, and a dot unit multiplies four of these in a
lane with the codes of an output:

    a[k] = 2^e (2^16 (h[k] - 64) + 2^8 m[k] + l[k])
    sum of a[k] q[k] = 2^e (2^16 (sum of h[k] q[k] - 64 sum of q[k])
                            + 2^8 sum of m[k] q[k] + sum of l[k] q[k])

The sums are exact. What is picked is the same for the three bytes and for all rows.
"""

from collections.abc import Callable

from drystone.codegen.families.codes.decoding import CodedMatrix
from drystone.codegen.families.codes.numbers import in_all_bytes
from drystone.codegen.families.matmul.form import MatMulForm, finish, program, promises
from drystone.codegen.families.matmul.schedule import Product, Schedule
from drystone.codegen.families.matmul.split import BYTES, Parts, SplitStep
from drystone.codegen.families.sparse.structured import StructuredMatrix
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index
from drystone.ir.encoding import Words
from drystone.targets.target import Target

#: Inputs that bytes are picked from, those that share an exponent, and numbers that a lane sums at once.
_WINDOW, _SPAN, _LANE = 64, 256, 4
#: Bits of a byte; rows that share what is picked, at most; steps of a grid for each thread, at least.
_BYTE, _ROWS, _STEPS_OF_THREAD = 8, 2, 8
#: What makes integers of 23 bits positive, as their highest byte has it, beside the bits of what rounds.
_HALF, _POSITIVE = 64, (64 << 16) - 0x4B400000


def picks_bytes(form: MatMulForm, target: Target) -> bool:
    """Whether bytes are picked for a product with groups: its codes are signed bytes or parts of them, whose
    groups are whole windows, in the right operand."""
    matrix = form.sparse
    if not isinstance(matrix, StructuredMatrix) or not isinstance(matrix.values, CodedMatrix) or form.left:
        return False
    values, code = matrix.values, matrix.values.codes.code
    if not target.shuffles or target.dot("ui8", "i8") is None or form.dtype != "f32":
        return False
    signed = Words.in_bytes(code) and code.high < 1 << _BYTE - 1 and not values.lowered
    slots = _WINDOW // matrix.group * matrix.kept_of
    return signed and matrix.slots % slots == 0 and values.group % slots == 0 and slots % values.run == 0


def picked_product(form: MatMulForm, target: Target) -> TileProgram:
    """The program of a product with groups of which bytes are picked."""
    matrix, height = form.sparse, form.out.shape[form.batch]
    assert isinstance(matrix, StructuredMatrix)
    panels = -(-(form.out.shape[form.batch + 1] or matrix.width) // matrix.width)
    wide = matrix.width * max(1, panels // (_STEPS_OF_THREAD * target.threads))
    rows = next((n for n in range(_ROWS, 1, -1) if height is not None and height % n == 0), 1)
    high = height if height is not None and height <= _LANE * _LANE else rows
    product = Product(height, form.out.shape[form.batch + 1], matrix.depth, 32, matrix.width)
    schedule = Schedule(rows, matrix.width, _WINDOW, None, high, wide)

    def body(t: TileBuilder) -> None:
        promises(form, t)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(form.batch)]
        axes += [(form.out.dim(form.batch), high), (form.out.dim(form.batch + 1), wide)]

        def step(*at: Index) -> None:
            *batch, m, n = at
            PickedStep(matrix, form, product, t, schedule, *batch, n, m).run()

        t.grid(axes, step)

    return program(form, body)


class PickedStep(SplitStep):
    """Some rows of several panels of groups."""

    def __init__(
        self,
        matrix: StructuredMatrix,
        form: MatMulForm,
        product: Product,
        t: TileBuilder,
        p: Schedule,
        *at: Index,
    ) -> None:
        super().__init__(form, product, t, p, *at)
        self.matrix = matrix

    @property
    def coded(self) -> CodedMatrix:
        """The numbers that are held."""
        assert isinstance(self.matrix.values, CodedMatrix)
        return self.matrix.values

    @property
    def span(self) -> int:
        """Neighbouring inputs that share an exponent, and their numbers a scale."""
        return self.coded.group // self.matrix.kept_of * self.matrix.group or _SPAN

    def at_column(self, n: Index) -> "PickedStep":
        """The step elsewhere in its rows."""
        other = PickedStep(self.matrix, self.form, self.product, self.t, self.p, *self.batch, n, self.m)
        other.parts = self.parts
        return other

    def split_rows(self) -> Parts:
        """All rows of the step in bytes."""
        t, rows, span = self.t, self.p.high, self.span
        blocks = -(-self.matrix.depth // span)
        parts = Parts(
            t.scratch((BYTES * rows, blocks * span), "i8"), t.scratch((rows, blocks), "f32"), None, None
        )

        def row(i: Index) -> None:
            t.loop(blocks * span, span, lambda k: self.split(parts, i, k))

        t.loop(self.end(), 1, row)
        return parts

    def write(self, parts: Parts, row: Index, k: Index, shifted: Callable[[Index], Tile]) -> list[Tile]:
        """Write the unsigned bytes of integers that `shifted` gives, beside what rounded them."""
        t, some = self.t, _WINDOW

        def apart(j: Index) -> None:
            whole = t.apply("arith.bitcast", shifted(j), dtype="i32")
            whole = t.apply("arith.addi", whole, self.integer(_POSITIVE))
            for number in range(BYTES):
                low = t.apply("arith.shrui", whole, self.integer(_BYTE * number)) if number else whole
                place = [row + number * self.p.high, j]
                t.store(parts.bytes, place, t.apply("arith.trunci", low, dtype="i8"))

        t.loop(k + self.span, some, apart, lower=k)
        return []

    def in_panel(self) -> None:
        """All rows in one panel."""

        def rows(i: Index) -> None:
            for row, total in enumerate(self.of_rows(i)):
                finish(self.form, self.t, total, [*self.batch, self.m + i + row, self.n])

        if self.p.high > self.p.rows:
            self.t.loop(self.end(), self.p.rows, rows)
        else:
            rows(index(0))

    def of_rows(self, first: Index) -> list[Tile]:
        """The products of all inputs in some rows of the step, [1, width] each."""
        t, group, slots = self.t, self.coded.group, self.matrix.kept_of
        zeros = [t.full(0, (1, self.coded.width), "f32") for _ in range(self.p.rows)]

        def block(k: Index, *sums: Tile) -> list[Tile]:
            parts = self.of_span(first, k)
            if group:
                parts = self.scaled(parts, k // self.matrix.group * slots)
            return [t.apply("arith.addf", *both) for both in zip(sums, parts, strict=True)]

        found = list(t.loop(self.matrix.depth, self.span, block, zeros))
        return found if group else self.scaled(found, index(0))

    def scaled(self, parts: list[Tile], slot: Index) -> list[Tile]:
        """Sums of codes times the scale of the numbers from one on."""
        scale = self.coded.factors(self.t, self.panel, slot).scale
        return parts if scale is None else [self.t.apply("arith.mulf", part, scale) for part in parts]

    def of_span(self, first: Index, k: Index) -> list[Tile]:
        """The products of inputs that share an exponent, of some rows."""
        t, rows, depth = self.t, self.p.rows, self.matrix.depth
        zeros = [t.full(0, (1, self.coded.width), "i32") for _ in range(BYTES * rows + 1)]
        end = k + self.span if depth % self.span == 0 else (k + self.span).min(depth)

        zero = self.coded.byte_zeros(t, self.panel, k // self.matrix.group * self.matrix.kept_of)

        def window(at: Index, *sums: Tile) -> list[Tile]:
            return self.of_window(first, at, list(sums), zero)

        found = []
        *sums, count = t.loop(end, _WINDOW, window, zeros, lower=k)
        less = t.apply("arith.muli", count, self.integer(-_HALF))
        for row in range(rows):
            low, middle, high = sums[BYTES * row : BYTES * (row + 1)]
            high = t.apply("arith.addi", high, less)
            found += self.joined([low, middle, high], first + row, k // self.span)
        return found

    def of_window(self, first: Index, at: Index, sums: list[Tile], zero: Tile | None) -> list[Tile]:
        """sums, of the three bytes of each row and of the codes, and those of a window; zero: what is taken
        from the bytes of codes."""
        t, matrix, values, count = self.t, self.matrix, self.coded, BYTES * self.p.rows
        slots = _WINDOW // matrix.group * matrix.kept_of
        slot = at // _WINDOW * slots
        matrix.prefetch(t, self.panel, slot, slots)
        places = [matrix.words(t, self.panel, slot + j) for j in range(0, slots, matrix.run)]
        codes = [values.words(t, self.panel, slot + j) for j in range(0, slots, values.run)]
        tables = [self.table(first + n // BYTES, n % BYTES, at) for n in range(count)]
        ones = t.full(1, (1, _LANE * values.width), "ui8")
        for j in range(0, slots, _LANE):
            own = t.split(values.signed_bytes(t, codes[j // values.run], j % values.run, zero), "i8")
            picks = t.split(self.picks(places[j // matrix.run], j), "ui8")
            picked = [t.shuffle(table, picks, "ui8") for table in tables]
            sums = [t.lane_dot(total, left, own) for total, left in zip(sums, [*picked, ones], strict=True)]
        return sums

    def table(self, row: Index, byte: int, at: Index) -> Tile:
        """A byte of each number of a window of a row."""
        assert self.parts is not None
        bytes_: Tensor = self.parts.bytes
        return self.t.load(bytes_, [row + byte * self.p.high, at], [1, _WINDOW], held=True)

    def picks(self, word: Tile, j: int) -> Tile:
        """Where in its window the inputs of numbers j .. j + 3 lie, in the bytes of words."""
        t, matrix = self.t, self.matrix
        inside = matrix.place(t, word, j % matrix.run)
        inside = t.apply("arith.andi", inside, in_all_bytes(t, matrix.group - 1))
        starts = bytes((j + i) // matrix.kept_of * matrix.group for i in range(_LANE))
        return t.apply("arith.ori", inside, self.integer(int.from_bytes(starts, "little")))
