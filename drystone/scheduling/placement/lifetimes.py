"""Lifetimes as MiniMalloc's tables: a line of id, lower, upper, size for every buffer, separated by commas.

A buffer lives during lower <= step < upper. Optional columns: `alignment`; `hint`, an offset to start from
(-1: none); `gaps`, separated by spaces: during "5-9" it is not used, during "5-9@0:64" its bytes 0 to 63
only. With columns `start` (or `begin`) and `end` instead of `lower` and `upper`, the last step counts too, in
gaps as well.
"""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from drystone.errors import UserError
from drystone.files import read_text
from drystone.scheduling.check import PlanError
from drystone.scheduling.graph import Block, Piece
from drystone.scheduling.placement.overlap import check_offsets

_SAME = {"begin": "lower", "start": "lower", "end": "upper", "buffer": "id", "buffer_id": "id"}
_NEEDED = ("id", "lower", "upper", "size")
_KNOWN = (*_NEEDED, "alignment", "hint", "gaps")
_COLUMNS = "the first line names the columns: id,lower,upper,size and, if need be, alignment,hint,gaps"
_GAP = re.compile(r"(\d+)-(\d+)(?:@(\d+):(\d+))?")


@dataclass(frozen=True)
class Lifetimes:
    """A table's columns as they were written, its rows, and the block of each row; offsets to start from
    where every row has one."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    blocks: tuple[Block, ...]
    hints: tuple[int, ...] | None


def read_lifetimes(path: Path) -> Lifetimes:
    """The table in a file. Raises UserError, with the line, where it is none."""
    try:
        lines = list(csv.reader(io.StringIO(read_text(path))))
    except csv.Error as error:
        raise UserError(f"{path} is no table of lifetimes: {error}", hint=_COLUMNS) from error
    columns = tuple(name.strip() for name in lines[0]) if lines else ()
    names = [_SAME.get(name, name) for name in columns]
    _judge_columns(path, names)
    inclusive = 1 if "end" in columns else 0
    rows, blocks, hints = [], [], []
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        if len(line) != len(columns):
            raise UserError(
                f"{len(line)} fields for {len(columns)} columns",
                where=f"{path}:{number}",
                hint="give every buffer a field for each column that the first line names",
            )
        fields = dict(zip(names, (field.strip() for field in line), strict=True))
        try:
            blocks.append(_block(fields, inclusive))
            hints.append(int(fields.get("hint") or -1))
        except ValueError as error:
            raise UserError(
                str(error),
                where=f"{path}:{number}",
                hint="numbers are whole, a buffer lives from `lower` to `upper` and takes `size` bytes",
            ) from error
        rows.append(tuple(line))
    if len({block.tensors for block in blocks}) < len(blocks):
        raise UserError(f"{path} has two buffers of one id", hint="give each an id of its own")
    return Lifetimes(columns, tuple(rows), tuple(blocks), _usable(blocks, hints))


def write_offsets(held: Lifetimes, offsets: list[int]) -> str:
    """The table with a column `offset`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*held.columns, "offset"))
    writer.writerows((*row, offset) for row, offset in zip(held.rows, offsets, strict=True))
    return text.getvalue()


def _judge_columns(path: Path, names: list[str]) -> None:
    if missing := [name for name in _NEEDED if name not in names]:
        raise UserError(
            f"{path} has no column {', '.join(missing)}",
            hint=_COLUMNS,
        )
    if len(set(names)) < len(names):
        raise UserError(f"{path} has two columns of one meaning: {', '.join(names)}", hint="leave one out")
    if unknown := [name for name in names if name not in _KNOWN]:
        raise UserError(
            f"{path} has columns that have no meaning here: {', '.join(unknown)}",
            hint="buffers cannot be fixed at an offset; an offset to start from is a `hint`",
        )


def _block(fields: dict[str, str], inclusive: int) -> Block:
    """The block of a row. Raises ValueError where it is none."""
    start, end = _number(fields, "lower"), _number(fields, "upper") + inclusive
    size = _number(fields, "size")
    alignment = _number(fields, "alignment") if fields.get("alignment") else 1
    if size < 0 or start > end or alignment < 1:
        raise ValueError("a size below 0, an alignment below 1, or a lifetime that ends before it starts")
    gaps = sorted(
        (_gap(text, size, inclusive) for text in fields.get("gaps", "").split()), key=lambda gap: gap.start
    )
    edges = [start, *(edge for gap in gaps for edge in (gap.start, gap.end)), end]
    if edges != sorted(edges):
        raise ValueError("gaps overlap, or are no part of the lifetime")
    return Block((fields["id"],), size, start, end, alignment, tuple(gaps))


def _number(fields: dict[str, str], name: str) -> int:
    try:
        return int(fields[name])
    except ValueError:
        raise ValueError(f"{name} is {fields[name]!r}, no whole number") from None


def _gap(text: str, size: int, inclusive: int) -> Piece:
    match = _GAP.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no gap")
    low, high = (int(match[3]), int(match[4])) if match[3] else (0, 0)
    if low > high or high > size:
        raise ValueError(f"the gap {text!r} has bytes that are no part of the buffer")
    return Piece(int(match[1]), int(match[2]) + inclusive, low, high)


def _usable(blocks: list[Block], hints: list[int]) -> tuple[int, ...] | None:
    """The hints, where they are a placement of all blocks."""
    try:
        check_offsets(blocks, hints)
    except PlanError:
        return None
    return tuple(hints)
