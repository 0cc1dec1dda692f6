"""The graphs of the MLSys 2026 graph-scheduling contest, solved within the contest's time limits.

python -m benchmarks.planning.mlsys FOLDER [--only 1,5,9,17] [--output benchmarks/results/mlsys.md]

FOLDER holds the contest's instances, mlsys-2026-N.json (github.com/yarongmu-google/MLSys has five of them).
Costs are those of `drystone.scheduling.mlsys.evaluate`, which judges by the rules of the evaluators that took
part. The public costs are those that TeamKorea published for its pattern solver (github.com/HoyunYoum/
TeamKorea) and its agent (github.com/chnlee/TeamKorea).
"""

import argparse
import re
import time
from pathlib import Path

from drystone.scheduling.mlsys import read_problem, solve

#: Published costs by instance: the pattern solver's and the agent's.
PUBLIC = {
    1: (322_008, 367_002),
    2: (48_738, 39_000),
    3: (65_982, 72_768),
    4: (22_281, 25_395),
    5: (492_614, 508_644),
    6: (166_579, 174_763),
    7: (115_853, 129_596),
    8: (74_470, 92_636),
    9: (20_411_920, 20_731_121),
    10: (6_224_041, 8_156_915),
    11: (1_040_921, 1_153_683),
    12: (2_766_694, 3_081_782),
    13: (15_297_786, 22_156_739),
    14: (2_654_400, 2_755_886),
    15: (1_314_179, 1_431_241),
    16: (4_348_356, 4_623_211),
    17: (4_966_400, 5_025_300),
    18: (1_417_600, 1_417_600),
    19: (1_993_600, 1_994_769),
    20: (5_228_800, 5_689_540),
    21: (2_102_400, 2_158_100),
    22: (3_096_000, 3_159_381),
    23: (3_435_200, 3_445_107),
    24: (2_526_400, 2_640_251),
}
#: Seconds that the contest gives each block of four.
LIMITS = (2, 5, 15, 30, 60, 120)

_INTRO = """\
The graphs of the MLSys 2026 graph-scheduling contest, each solved within the contest's time limit by
`benchmarks/planning/mlsys.py`: Python, one core of an AMD EPYC (Zen 4). *cost*: latency as our judge has it;
*at least*: what no solution is below; *public*: what TeamKorea published for its pattern solver (C++) and its
agent; *ratio*: our cost to the better of them.

"""
_HEAD = """\
| graph | operations | limit s | time s | steps | cost | at least | public solver | public agent | ratio |
|---|---|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", help="numbers of instances, separated by commas")
    parser.add_argument("--limit", type=float, help="seconds for each, instead of the contest's")
    parser.add_argument(
        "--output", type=Path, help="also write the table here, with rows of other graphs it has"
    )
    options = parser.parse_args()
    chosen = [int(number) for number in options.only.split(",")] if options.only else list(PUBLIC)
    found = {
        int(m[1]): path for path in options.folder.iterdir() if (m := re.search(r"-(\d+)\.json$", path.name))
    }
    rows = _rows(options.output)
    print(_HEAD, end="")
    for number in chosen:
        if number in found:
            rows[number] = _row(number, found[number], options.limit)
            print(rows[number], end="", flush=True)
            if options.output:
                options.output.write_text(_INTRO + _HEAD + "".join(rows[n] for n in sorted(rows)))


def _rows(output: Path | None) -> dict[int, str]:
    """The rows of an earlier table by instance."""
    if output is None or not output.exists():
        return {}
    lines = output.read_text().splitlines(keepends=True)
    return {int(m[1]): line for line in lines if (m := re.match(r"\| (\d+) \|", line))}


def _row(number: int, path: Path, limit: float | None) -> str:
    problem = read_problem(path)
    seconds = limit or LIMITS[(number - 1) // 4]
    began = time.monotonic()
    solved = solve(problem, seconds)
    took = time.monotonic() - began
    solver, agent = PUBLIC[number]
    return (
        f"| {number} | {len(problem.operations)} | {seconds:g} | {took:.1f} | {len(solved.steps)} "
        f"| {solved.time:,.0f} | {solved.bound:,.0f} | {solver:,} | {agent:,} "
        f"| {solved.time / min(solver, agent):.3f} |\n"
    )


if __name__ == "__main__":
    main()
