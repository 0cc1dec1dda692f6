"""Kernels to tune in tests, and child processes that misbehave."""

import os
import sys
import time
from dataclasses import replace
from typing import Any

from drystone.autotune import child
from drystone.autotune.task import KERNEL, Task
from drystone.codegen import families
from drystone.codegen.search import Point, Search
from drystone.codegen.tile import Loop, TileProgram
from drystone.targets import resolve
from tests.exec.families import shared_context
from tests.exec.test_matmul import matmul


def product_task(m: int, n: int, k: int) -> Task:
    """out[m, n] = a[m, k] b[k, n], b plain and no weight."""
    case = matmul(m, n, k)
    with shared_context():
        text = str(case.function.operation.get_asm()).replace("@k(", f"@{KERNEL}(")
    return Task(text, ((m, k), (k, n), (m, n)), (), False, resolve("cpu"), 2)


#: What the children do at these rows of a register tile.
CRASH, HANG, WRONG, REFUSE = 5, 6, 7, 4


def misbehave() -> None:
    """Child: crashes, hangs, computes wrongly or refuses at certain points."""
    (family,) = families.FAMILIES["dry.matmul"]
    find = family.search
    assert find is not None

    def broken(kernel: Any, target: Any) -> Search | None:
        search = find(kernel, target)
        if search is None:
            return None
        build = search.build

        def misbuild(point: Point) -> TileProgram:
            match point["rows"]:
                case rows if rows == CRASH:
                    os.abort()
                case rows if rows == HANG:
                    time.sleep(600)
                case rows if rows == REFUSE:
                    raise ValueError("no such tile")
                case rows if rows == WRONG:
                    return _without_dots(build(point))
            return build(point)

        return Search(search.space, search.default, search.features, misbuild)

    families.FAMILIES.replace("dry.matmul", (families.Family(family.build, broken),))
    child.main()


def _without_dots(program: TileProgram) -> TileProgram:
    """The program with every loop left out: all sums are zero."""
    body = tuple(replace(s, upper=s.lower) if isinstance(s, Loop) else s for s in program.grid.body)
    return replace(program, grid=replace(program.grid, body=body))


def other_version() -> None:
    """Child: says that it is of another version."""
    print('{"version": "other"}', flush=True)
    sys.stdin.read()


def never_starts() -> None:
    """Child: fails before it says anything."""
    raise SystemExit("no such luck")
