"""Vector instructions of products of few rows with codes, by the way in which they are multiplied."""

from drystone.codegen.families.matmul.schedule import FEW, Work
from drystone.codegen.families.matmul.split import BYTES
from drystone.codegen.families.matmul.tables import pieces_of
from drystone.ir.encoding import Words
from drystone.ir.encoding.code import Code, Floats

#: Of a table of 64 entries, from the sums to the bytes; of a number that is taken apart; of one that is
#: decoded from a list, and by arithmetic (floats, integers).
_TABLE, _APART, _LISTED, _FLOAT, _INTEGER = 76, 1.5, 2, 4, 3
#: Bits of codes whose numbers are looked up in a list.
_FEW_BITS = 5


def work_of(code: Code, m: int | None, size: int) -> Work:
    """The work of m rows (None: of few) with a matrix of such codes, of `size` bytes in all."""
    rows = FEW if m is None else m
    pieces = pieces_of(code)
    # A shift and a mask for each piece of four codes, and a product with each byte of each row.
    in_bytes = (2 * len(Words.pieces(code)) + BYTES * rows) / 4
    # Every other index takes a shift, all of them a mask; each byte is picked, and added up.
    looked_up = rows * sum((1.5 + 2 * BYTES) / piece.run for piece in pieces)
    return Work(
        size,
        (decoding(code) + rows, in_bytes, looked_up),
        (0.0, rows * _APART, rows * sum(_TABLE / piece.run for piece in pieces)),
    )


def decoding(code: Code) -> float:
    """Instructions that give a vector of the numbers of codes, in registers that have all of a list."""
    joined = 2.0 * (len(Words.pieces(code)) - 1)
    if code.bits <= _FEW_BITS:
        return joined + _LISTED
    return joined + (_FLOAT if isinstance(code, Floats) else _INTEGER)
