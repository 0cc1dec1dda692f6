"""Placement of fixed lifetimes: packings whose answer is known, brute force, proofs that there is none."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from drystone.cli import main
from drystone.errors import UserError
from drystone.scheduling import PlanError
from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Block, Piece, load
from drystone.scheduling.order.greedy import best_fit, height
from drystone.scheduling.placement.conflict import cannot_share
from drystone.scheduling.placement.exact import Search, Strategy
from drystone.scheduling.placement.lifetimes import read_lifetimes
from drystone.scheduling.placement.overlap import check_offsets
from drystone.scheduling.placement.place import minimize, place
from drystone.scheduling.problem import Operation, Problem, Tensor
from drystone.targets import Level
from tests.packing import least_height


def cut(seed: int, count: int, width: int = 60, tall: int = 64) -> list[Block]:
    """A rectangle cut into `count` blocks: a placement without a free byte exists."""
    rng = random.Random(seed)
    parts = [(0, width, 0, tall)]
    while len(parts) < count:
        start, end, low, high = parts.pop(max(range(len(parts)), key=lambda i: _area(parts[i])))
        if (rng.random() < 0.5 and end - start > 1) or high - low < 2:
            at = rng.randrange(start + 1, end)
            parts += [(start, at, low, high), (at, end, low, high)]
        else:
            at = rng.randrange(low + 1, high)
            parts += [(start, end, low, at), (start, end, at, high)]
    rng.shuffle(parts)
    return [Block((f"b{n}",), 16 * (h - lo), s, e) for n, (s, e, lo, h) in enumerate(parts)]


def _area(part: tuple[int, int, int, int]) -> int:
    return (part[1] - part[0]) * (part[3] - part[2])


def small(seed: int, count: int, extras: bool = False) -> list[Block]:
    rng = random.Random(seed)
    blocks = []
    for number in range(count):
        start, size = rng.randrange(6), rng.randint(1, 5)
        block = Block((f"b{number}",), size, start, start + rng.randint(1, 4))
        if extras and block.end - block.start > 2:
            high = rng.randint(0, size)
            gap = Piece(start + 1, block.end - 1, rng.randint(0, high), high)
            block = replace(block, gaps=(gap,) if rng.random() < 0.5 else (replace(gap, low=0, high=0),))
        if extras and rng.random() < 0.4:
            block = replace(block, alignment=rng.choice((2, 3, 4)))
        blocks.append(block)
    return blocks


def valid(blocks: Sequence[Block], offsets: Sequence[int], capacity: int) -> bool:
    try:
        check_offsets(blocks, offsets, capacity)
    except PlanError:
        return False
    return True


def fits(blocks: Sequence[Block], capacity: int) -> bool:
    """Whether any placement at all is within the capacity, trying every offset of every block."""

    def extend(offsets: list[int]) -> bool:
        if len(offsets) == len(blocks):
            return True
        block = blocks[len(offsets)]
        return any(
            valid(blocks[: len(offsets) + 1], [*offsets, at], capacity) and extend([*offsets, at])
            for at in range(capacity - block.size + 1)
        )

    return extend([])


@pytest.mark.parametrize("seed", range(12))
def test_packings_without_a_free_byte_are_found(seed: int) -> None:
    blocks = cut(seed, 40 + 5 * seed)
    found = place(blocks, 1024, effort=Effort(math.inf, 20))
    assert (found.status, found.height, found.bound) == ("placed", 1024, 1024)
    check_offsets(blocks, found.offsets, 1024)


@pytest.mark.parametrize("seed", range(40))
def test_the_least_height_is_that_of_brute_force(seed: int) -> None:
    blocks = small(seed, 6)
    if seed % 2:
        blocks = [replace(block, alignment=1 + (seed + n) % 3) for n, block in enumerate(blocks)]
    found = minimize(blocks)
    assert found.height == found.bound == least_height(blocks)
    check_offsets(blocks, found.offsets)


@pytest.mark.parametrize("seed", range(30))
def test_gaps_and_alignments_give_what_trying_every_offset_gives(seed: int) -> None:
    blocks = small(seed, 5, extras=True)
    check_offsets(blocks, best_fit(blocks))
    found = minimize(blocks)
    check_offsets(blocks, found.offsets, found.height)
    assert found.height == found.bound
    assert not fits(blocks, found.height - 1)


@pytest.mark.parametrize("choice", ["few", "tight", "low"])
def test_every_strategy_alone_is_exact(choice: str) -> None:
    for seed in range(60):
        blocks = small(seed, 6)
        if seed % 3 == 0:
            blocks = [
                replace(b, gaps=(Piece(b.start + 1, b.end - 1, 0, 0),)) if b.end - b.start > 2 else b
                for b in blocks
            ]
        rank = list(range(6))
        random.Random(seed).shuffle(rank)
        least = next(c for c in itertools.count(load(blocks)) if fits(blocks, c))
        below = Search(blocks, least - 1).run(Strategy(tuple(rank), choice), 10**6)
        offsets = Search(blocks, least).run(Strategy(tuple(rank), choice), 10**6)
        assert below is None
        assert offsets is not None
        check_offsets(blocks, offsets, least)


def full(seed: int, steps: int, tall: int) -> list[Block]:
    """Blocks with exactly `tall` bytes alive at every step."""
    rng = random.Random(seed)
    alive: list[tuple[int, int]] = []
    blocks: list[Block] = []
    for step in range(steps + 1):
        stays = [step < steps and rng.random() >= 0.4 for _ in alive]
        for (size, start), stay in zip(alive, stays, strict=True):
            if not stay:
                blocks.append(Block((f"b{len(blocks)}",), size, start, step))
        alive = [block for block, stay in zip(alive, stays, strict=True) if stay]
        while step < steps and (free := tall - sum(size for size, _ in alive)):
            alive.append((rng.randint(1, min(free, 4)), step))
    return blocks


def impossible() -> tuple[list[Block], int]:
    """Blocks that do not fit although at no step too many bytes are alive, among others that would."""
    blocks = full(65813, 10, 6)
    return [*blocks, Block(("late",), 2, 20, 22), Block(("later",), 3, 21, 25)], load(blocks)


def test_what_cannot_fit_is_proven_and_named_by_the_layers_that_matter() -> None:
    blocks, capacity = impossible()
    assert place(blocks, capacity).status == "impossible"
    conflict = cannot_share(blocks, capacity)
    assert conflict is not None and conflict.irreducible
    assert not fits(conflict.blocks, capacity)
    for left_out in conflict.blocks:
        assert fits([block for block in conflict.blocks if block != left_out], capacity)
    tensors = tuple(Tensor(block.tensors[0], block.size, f"layer of {block.tensors[0]}") for block in blocks)
    problem = Problem((Operation("op", (), ()),), tensors, (Level("ram"),))
    names = conflict.layers(problem)
    assert names == [f"layer of {block.tensors[0]}" for block in conflict.blocks]
    assert not {"layer of late", "layer of later"} & set(names)


def test_too_much_at_one_step_is_a_conflict_of_the_largest() -> None:
    blocks = [Block((name,), size, 0, 2) for name, size in (("a", 5), ("b", 1), ("c", 4), ("d", 3))]
    conflict = cannot_share(blocks, 8)
    assert conflict is not None
    assert [block.tensors[0] for block in conflict.blocks] == ["a", "c"]
    assert cannot_share(blocks, 13) is None


def test_no_time_gives_no_answer_and_no_wrong_one() -> None:
    blocks = cut(3, 60)
    assert height(blocks, best_fit(blocks)) > 1024
    assert place(blocks, 1024, effort=Effort(0)).status == "unknown"
    quick = minimize(blocks, effort=Effort(0))
    check_offsets(blocks, quick.offsets)
    assert quick.status == "placed" and quick.height > quick.bound == 1024


def test_a_known_placement_is_taken() -> None:
    blocks = cut(3, 60)
    known = place(blocks, 1024).offsets
    assert place(blocks, 1024, effort=Effort(0), known=known).offsets == known


def test_the_same_question_has_the_same_answer() -> None:
    blocks = cut(5, 70)
    assert place(blocks, 1024) == place(blocks, 1024)


@pytest.mark.parametrize(
    ("offsets", "fault"),
    [
        ([0, 4, 0], "overlap at step 2"),
        ([0, -4, 8], "not a multiple"),
        ([0, 6, 12], "not a multiple of 4"),
        ([0, 20, 8], "beyond 24"),
        ([0, 8], "2 offsets"),
    ],
)
def test_the_judge_says_what_is_wrong(offsets: list[int], fault: str) -> None:
    blocks = [Block(("a",), 8, 0, 4), Block(("b",), 8, 2, 6, 4), Block(("c",), 8, 3, 5)]
    check_offsets(blocks, [0, 8, 16], 24)
    with pytest.raises(PlanError, match=fault):
        check_offsets(blocks, offsets, 24)


TOY = "id,lower,upper,size\nb1,0,3,4\nb2,3,9,4\nb3,0,9,4\nb4,9,21,4\nb5,0,21,4\n"


def _run(folder: Path, table: str, *options: str) -> tuple[int, str, str]:
    path = folder / "lifetimes.csv"
    path.write_text(table)
    done = CliRunner().invoke(main, ["place", str(path), *options])
    return done.exit_code, done.stdout, done.stderr


def test_the_command_writes_the_table_with_offsets(tmp_path: Path) -> None:
    output = tmp_path / "offsets.csv"
    code, _, said = _run(tmp_path, TOY, "--capacity", "12", "--output", str(output))
    assert code == 0 and "5 buffers placed in 12 bytes (proved least)" in said
    lines = output.read_text().splitlines()
    assert lines[0] == "id,lower,upper,size,offset"
    assert [line.rpartition(",")[0] for line in lines[1:]] == TOY.splitlines()[1:]
    offsets = [int(line.rpartition(",")[2]) for line in lines[1:]]
    check_offsets(read_lifetimes(tmp_path / "lifetimes.csv").blocks, offsets, 12)


def test_the_commands_exit_code_says_placed_impossible_or_unknown(tmp_path: Path) -> None:
    code, printed, said = _run(tmp_path, TOY, "--minimize")
    assert (code, printed.count("\n")) == (0, 6) and "in 12 bytes" in said
    code, printed, said = _run(tmp_path, TOY, "--capacity", "11")
    assert (code, printed) == (2, "")
    assert "at least 12 bytes" in said and "cannot share it (any left out, the others can): " in said
    rows = [f"{b.tensors[0]},{b.start},{b.end},{b.size}" for b in cut(3, 60)]
    hard = "\n".join(["id,lower,upper,size", *rows])
    code, _, said = _run(tmp_path, hard, "--capacity", "1KB", "--time-limit", "0")
    assert code == 3 and "not found in time" in said


def test_optional_columns_are_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("size,buffer,start,end,alignment,hint,gaps\n8,x,0,9,4,16,2-3 5-6@0:4\n4,y,2,3,1,0,\n")
    table = read_lifetimes(path)
    assert table.blocks == (
        Block(("x",), 8, 0, 10, 4, (Piece(2, 4, 0, 0), Piece(5, 7, 0, 4))),
        Block(("y",), 4, 2, 4),
    )
    assert table.hints == (16, 0)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("", "no column id"),
        (f"id,{'x' * 200_000}\n", "no table of lifetimes: field larger than"),
        ("id,lower,upper\nx,0,1\n", "no column size"),
        ("id,lower,upper,size,offset\nx,0,1,4,0\n", "no meaning here: offset"),
        ("id,lower,start,upper,size\nx,0,0,1,4\n", "two columns of one meaning"),
        ("id,lower,upper,size\nx,0,1\n", r"3 fields for 4 columns\n  at .*:2"),
        ("id,lower,upper,size\nx,0,one,4\n", "upper is 'one'"),
        ("id,lower,upper,size\nx,2,1,4\n", "ends before it starts"),
        ("id,lower,upper,size\nx,0,1,4\nx,0,1,4\n", "two buffers of one id"),
        ("id,lower,upper,size,gaps\nx,0,9,4,3\n", "'3' is no gap"),
        ("id,lower,upper,size,gaps\nx,0,9,4,3-12\n", "no part of the lifetime"),
        ("id,lower,upper,size,gaps\nx,0,9,4,3-4@0:5\n", "no part of the buffer"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, table: str, fault: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(table)
    with pytest.raises(UserError, match=fault):
        read_lifetimes(path)
