"""Few rows times a matrix of short codes by tables: what four bits of a word of codes make of the numbers of
a row that they are multiplied with is looked up.

    table[i] = sum over the codes q that four bits hold where they are i, of a[k(q)] q

An instruction picks bytes from a table of 64: one of 16 for each of the four bytes of a word, made for the
numbers of its own k. The entries are integers, as the numbers of a row are once they have an exponent in
common (`split`), of three signed bytes, each in a table of its own; a dot unit adds the bytes up:

    sum of a[k] q[k] = 2^e (2^16 sum of high bytes + 2^8 sum of middle ones + sum of low ones)

The sums are exact; of a number at most 2^-20 of the largest beside it is lost, 2^-19 where codes have 4 bits.
Three look-ups stand for four codes of 1 bit, two of 2 bits or one of 4; codes of 3 bits are looked up piece
by piece. A row's tables are made once for many panels.

After T-MAC (Wei et al., EuroSys 2025, section 3), whose tables are of planes of bits, and LUT-GEMM (Park et
al., ICLR 2024, section 3).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import floor, gcd, log2

from drystone.codegen.families.codes.numbers import numbers_of
from drystone.codegen.families.matmul.split import BYTES, Parts, SplitStep
from drystone.codegen.tile import Index, Tensor, Tile, index
from drystone.ir.encoding import Words
from drystone.ir.encoding.code import Code

#: Bits that an index of a table has, entries of a table, tables of a register, bits of a word.
_BITS, _ENTRIES, _TABLES, _WORD = 4, 16, 4, 32
#: What keeps the bits of an index in each byte, and where the table of each byte starts.
_KEPT, _STARTS = 0x0F0F0F0F, 0x30201000
#: The largest number of three signed bytes, the least taken for the lowest; what makes them signed.
_LARGEST, _HALVES = 0x7F7F7F, 0x808080


@dataclass(frozen=True)
class Piece:
    """A piece of every code: its bits, the first word of such pieces in a string, the numbers that its
    patterns stand for and what these are multiplied with."""

    bits: int
    first: int
    numbers: tuple[int, ...]
    factor: int

    @property
    def codes(self) -> int:
        """Codes of which an index has a piece."""
        return _BITS // self.bits

    @property
    def run(self) -> int:
        """Neighbouring k of the tables of a register."""
        return _TABLES * self.codes


@cache
def pieces_of(code: Code) -> tuple[Piece, ...]:
    """The pieces whose numbers add up to those of codes that lie in bytes; none where they do not."""
    if not Words.in_bytes(code) or code.bits > _BITS:
        return ()
    numbers, found, low, first = [int(x) for x in numbers_of(code)], [], 0, 0
    for bits in Words.pieces(code):
        own = [numbers[i << low] - (numbers[0] if low else 0) for i in range(1 << bits)]
        factor = gcd(*own)
        found.append(Piece(bits, first, tuple(x // factor for x in own), factor))
        low, first = low + bits, first + Words.run(code) * bits // _WORD
    return tuple(found)


class TableStep(SplitStep):
    """Some rows of one or several panels of codes; `parts.bytes` are tables, i8 [rows x blocks x tables of a
    block x 3, 4, 16]."""

    #: The numbers of codes by indices, for each code of an index of each piece, f32 [codes, 16].
    values: Tensor
    #: Numbers of a row that share an exponent, as integers, f32 [k / 4, 4].
    integers: Tensor

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Of the codes."""
        return pieces_of(self.coded.codes.code)

    @property
    def top(self) -> int:
        """So that the largest entry has three bytes."""
        most = max(piece.codes * max(map(abs, piece.numbers)) for piece in self.pieces)
        return floor(log2(_LARGEST / most)) - 1

    @property
    def registers(self) -> int:
        """Tables of neighbouring k that share an exponent, four at a time."""
        return sum(self.span // piece.run for piece in self.pieces)

    def split_rows(self) -> Parts:
        """The tables of all rows of the step."""
        t, rows, span = self.t, self.p.high, self.span
        blocks = -(-self.coded.depth // span)
        self.values = t.scratch((sum(piece.codes for piece in self.pieces), _ENTRIES), "f32")
        self.integers = t.scratch((span // _TABLES, _TABLES), "f32")
        zeros = any(step.coded.zeros for step in (self, *self.inner))
        parts = Parts(
            t.scratch((rows * blocks * self.registers * BYTES, _TABLES, _ENTRIES), "i8"),
            t.scratch((rows, blocks), "f32"),
            None,
            t.scratch((rows, blocks), "f32") if zeros else None,
        )
        self.lay_values()

        def of_row(row: Index) -> None:
            t.loop(blocks * span, span, lambda k: self.split(parts, row, k))

        t.loop(self.end(), 1, of_row)
        return parts

    def lay_values(self) -> None:
        """Lay the numbers of codes by indices down."""
        t, row = self.t, 0
        for piece in self.pieces:
            for code in range(piece.codes):
                of = t.iota(0, (1, _ENTRIES), 1, "i32")
                of = t.apply("arith.shrui", of, self.integer(code * piece.bits)) if code else of
                t.store(self.values, [row, 0], t.lookup(of, tuple(map(float, piece.numbers))))
                row += 1

    def write(self, parts: Parts, row: Index, k: Index, shifted: Callable[[Index], Tile]) -> list[Tile]:
        """Write the tables of integers that `shifted` gives."""
        t, some = self.t, gcd(self.span, 64)
        flat = self.integers.collapse([[0, 1]])

        def lay(j: Index) -> None:
            whole = t.apply("arith.subf", shifted(j), self.shift())
            t.store(flat, [j - k], t.reshape(whole, (some,)))

        t.loop(k + self.span, some, lay, lower=k)
        first, value = self.first_table(row, k), 0
        for piece in self.pieces:
            t.loop(self.span, piece.run, self.writer(parts, first, piece, value))
            first, value = first + self.span // piece.run * BYTES, value + piece.codes
        return []

    def first_table(self, row: Index, k: Index) -> Index:
        """Where the tables of numbers of a row from k on that share an exponent start."""
        blocks = -(-self.coded.depth // self.span)
        return (row * blocks + k // self.span) * (self.registers * BYTES)

    def writer(self, parts: Parts, first: Index, piece: Piece, value: int) -> Callable[[Index], None]:
        """What writes the tables of some of the integers from a place on."""

        def tables(k: Index) -> None:
            t = self.t
            numbers = t.load(self.values, [value, 0], [piece.codes, _ENTRIES])
            integers = t.transpose(t.load(self.integers, [k // _TABLES, 0], [piece.codes, _TABLES]))
            sums = t.dot(t.full(0, (_TABLES, _ENTRIES), "f32"), integers, numbers)
            whole = t.apply("arith.fptosi", sums, dtype="i32")
            whole = t.apply("arith.addi", whole, self.integer(_HALVES))
            whole = t.apply("arith.xori", whole, self.integer(_HALVES))
            for number in range(BYTES):
                low = t.apply("arith.shrui", whole, self.integer(8 * number)) if number else whole
                byte = t.apply("arith.trunci", low, dtype="i8")
                place = [first + k // piece.run * BYTES + number, index(0), index(0)]
                t.store(parts.bytes, place, byte, [None, _TABLES, _ENTRIES])

        return tables

    def of_spans(self, steps: Sequence[SplitStep], m: Index, k: Index, end: Index) -> list[Tile]:
        """The products with the numbers of codes as they are, of k that share an exponent."""
        t, c, row = self.t, self.coded, m - self.m
        first = self.first_table(row, k)

        def strings(at: Index, *sums: Tile) -> list[Tile]:
            words, found, before = self.words_of(steps, at), list(sums), first
            for piece in self.pieces:
                for number in range(c.run // piece.run):
                    place = before + ((at - k) // piece.run + number) * BYTES
                    found = self.looked_up(piece, number, place, words, found)
                before = before + self.span // piece.run * BYTES
            return found

        zeros = [t.full(0, (1, c.width), "i32") for _ in range(BYTES * len(steps))]
        return self.joined(t.loop(end, c.run, strings, zeros, lower=k), row, k // self.span)

    def looked_up(
        self, piece: Piece, number: int, place: Index, words: Sequence[list[Tile]], sums: Sequence[Tile]
    ) -> list[Tile]:
        """sums and what the tables at a place hold for the indices of this number in strings of codes."""
        t, found, parts = self.t, list(sums), self.parts
        assert parts is not None
        flat = parts.bytes.collapse([[0], [1, 2]])
        tables = [
            t.load(flat, [place + byte, 0], [1, _TABLES * _ENTRIES], held=True) for byte in range(BYTES)
        ]
        word, half = divmod(number, 2)
        factor = t.full(piece.factor, (1, _TABLES), "ui8")
        for panel, own in enumerate(words):
            bits = own[piece.first + word]
            bits = t.apply("arith.shrui", bits, self.integer(_BITS)) if half else bits
            bits = t.apply("arith.andi", bits, self.integer(_KEPT))
            at = t.split(t.apply("arith.ori", bits, self.integer(_STARTS)), "ui8")
            for byte, table in enumerate(tables):
                i = panel * BYTES + byte
                found[i] = t.dot(found[i], factor, t.shuffle(table, at))
        return found
