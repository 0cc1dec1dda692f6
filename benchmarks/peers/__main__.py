"""drystone beside its peers on the same weights and inputs, interleaved in one process: time, share of the
measured peak, memory, artifact, compile time, error.

Use: python -m benchmarks.peers [workload ...] [--peers torch ov ...] [--classes fp32 bf16 int8]
     [--output benchmarks/results/peers.md] [--plot benchmarks/results/peers.png]

A workload in one arithmetic is measured in a process of its own; a peer has a time limit until its first
result. With --output, what the file's .json neighbour holds of the same machine is kept, so the table can be
filled piece by piece: the same command with --resume --minutes 8, again and again, until nothing is left.
"""

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks import isolated
from benchmarks.peers import machine, plot
from benchmarks.peers.adapters import PEERS
from benchmarks.peers.measure import Job, Result, Row, quiet, work
from benchmarks.peers.table import Records, markdown
from benchmarks.peers.workloads import SIZES, WORKLOADS


def measured(job: Job) -> Result | str:
    """The job's result; where its process dies, that of the peers which do not kill theirs."""
    result = _isolated(job)
    if isinstance(result, Result) or len(job.peers) == 1:
        return result
    alone = {peer: _isolated(replace(job, peers=(peer,), seconds=0)) for peer in job.peers}
    sound = tuple(peer for peer in job.peers if isinstance(alone[peer], Result))
    again = _isolated(replace(job, peers=sound)) if 0 < len(sound) < len(job.peers) else result
    if isinstance(again, Result):
        again.rows += [Row(peer, failed=f"failed: {alone[peer]}") for peer in job.peers if peer not in sound]
    return again


def _isolated(job: Job) -> Result | str:
    # A peer that hangs where no signal reaches it must not hold the others up for ever.
    limit = job.limit * (1 + len(job.peers)) + 4 * job.seconds
    ((_, result),) = isolated.run(work, [job], workers=1, seconds=limit)
    return result


def _jobs(arguments: argparse.Namespace) -> Iterator[Job]:
    """The workloads that are asked for, each with the peers that can compute it."""
    special = {peer for workload in WORKLOADS.values() for peer in workload.further}
    for name in arguments.workloads or WORKLOADS:
        workload = WORKLOADS[name]
        asked = {"drystone", *arguments.peers} - special.difference(workload.further)
        peers = tuple(peer for peer in PEERS if peer in asked)
        for arithmetic in workload.wanted:
            if arithmetic in arguments.classes:
                yield Job(
                    name,
                    arithmetic,
                    peers,
                    arguments.threads,
                    arguments.seconds,
                    arguments.limit,
                    tuple(arguments.lock),
                )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", help=", ".join(WORKLOADS))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="beside drystone")
    parser.add_argument("--classes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="timing per workload and arithmetic")
    parser.add_argument("--limit", type=float, default=Job.limit, help="seconds until a peer's first result")
    parser.add_argument("--output", type=Path, help="also write the tables here, and the figures as .json")
    parser.add_argument("--resume", action="store_true", help="leave out what the records have of all peers")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin with no workload after that")
    parser.add_argument("--plot", type=Path, help="draw the ratios to the best peer into this picture")
    parser.add_argument(
        "--lock",
        nargs="+",
        default=[],
        metavar="FILE",
        help="on a machine shared with others: hold the last of these files locked, for reading while peers"
        " are loaded and alone while they are timed, and the others while waiting for it",
    )
    arguments = parser.parse_args()
    unknown = set(arguments.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"no workload {sorted(unknown)}; there are {', '.join(WORKLOADS)}")
    return arguments


def main() -> None:
    arguments = _arguments()
    began = time.monotonic()
    records = Records(machine.description(), arguments.threads)
    kept = arguments.output.with_suffix(".json") if arguments.output else None
    if kept and kept.exists():
        records.read(kept)
    with quiet(tuple(arguments.lock)):
        records.raise_peaks(machine.peaks(arguments.threads))
    jobs = list(_jobs(arguments))
    if arguments.resume:
        jobs = [job for job in jobs if not records.has(job.workload, job.arithmetic, job.peers)]
    now = Records(records.machine, records.threads, records.peaks)
    for job in track(jobs, "workloads", console=Console(stderr=True), transient=True):
        if time.monotonic() - began > 60 * arguments.minutes:
            break
        result = measured(job)
        now.results[job.workload, job.arithmetic] = records.results[job.workload, job.arithmetic] = result
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            records.write(kept)
            arguments.output.write_text(markdown(records), encoding="utf-8")
    print(markdown(now), end="")
    if arguments.plot:
        plot.draw(records, arguments.plot)
    if left := len(jobs) - len(now.results):
        raise SystemExit(f"the time is up with {left} to measure: run again with --resume to go on")


if __name__ == "__main__":
    main()
