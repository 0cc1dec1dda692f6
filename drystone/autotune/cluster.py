"""Measuring on other machines: the workers of a dask.distributed cluster.

A worker says what it measures for by a resource named like the target, of which every trial takes one:

    dask worker ADDRESS --nthreads 1 --resources "cpu:avx512=1"

so that a worker measures one schedule at a time, in a child process of its own.
"""

from collections.abc import Sequence
from typing import Any

from drystone import registry
from drystone.autotune.task import Task, code_version
from drystone.autotune.worker import Outcome, Worker
from drystone.codegen.search import Point
from drystone.errors import UserError
from drystone.targets.target import Target

#: Seconds to wait for the scheduler.
_CONNECT = 10.0
#: On a worker: what watches over its child, by the time limit.
_WORKERS: dict[float, Worker] = {}


class Cluster:
    """Measures on the workers of the scheduler at `address` that are tagged with the target.

    limit: seconds for one trial. Raises UserError where dask.distributed is not installed, the scheduler does
    not answer, or no worker has the tag or the same version of drystone.
    """

    def __init__(self, address: str, target: Target, limit: float) -> None:
        distributed = _distributed()
        try:
            self._client = distributed.Client(address, timeout=_CONNECT, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise UserError(
                f"no dask scheduler answers at {address}: {error}",
                hint="start one with `dask scheduler`, and give the address it prints",
            ) from error
        self._tag, self._limit = target.name, limit
        try:
            self._able = self._find(address)
        except UserError:
            self._client.close()
            raise

    @property
    def width(self) -> int:
        """A trial for each worker."""
        return len(self._able)

    def measure(self, task: Task, points: list[Point], seconds: float) -> list[Outcome]:
        """See `Measurer`."""
        # Not pure: the same point may be measured again.
        futures = [
            self._client.submit(
                measure_here,
                task.as_data(),
                point,
                seconds,
                self._limit,
                pure=False,
                workers=self._able,
                resources={self._tag: 1},
            )
            for point in points
        ]
        return [_outcome(future) for future in futures]

    def close(self) -> None:
        """Leave the cluster; its workers end their children."""
        self._client.run(_end_here, workers=self._able)
        self._client.close()

    def _find(self, address: str) -> list[str]:
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        tagged = [name for name, about in workers.items() if self._tag in about.get("resources", {})]
        if not tagged:
            raise UserError(
                f"none of the {len(workers)} workers of {address} measures for {self._tag}",
                hint=f'start workers with `dask worker {address} --nthreads 1 --resources "{self._tag}=1"`',
            )
        versions = self._client.run(_version_here, registry.modules(), workers=tagged)
        same = [name for name in tagged if versions[name] == code_version()]
        if not same:
            raise UserError(
                f"the workers of {address} have another version of drystone",
                hint="install the same version there, and the same extensions; measurements of another one "
                "say nothing of this one",
            )
        return sorted(same)


def measure_here(task: Any, point: Point, seconds: float, limit: float) -> dict[str, Any]:
    """Run on a worker: one trial in its child process."""
    (outcome,) = _held(limit).measure(Task.of_data(task), [point], seconds)
    return outcome.as_data()


def _held(limit: float) -> Worker:
    if limit not in _WORKERS:
        _WORKERS[limit] = Worker(limit)
    return _WORKERS[limit]


def _end_here() -> None:
    while _WORKERS:
        _WORKERS.popitem()[1].close()


def _version_here(extensions: Sequence[str]) -> str:
    """Run on a worker: its version, with these extensions."""
    registry.load(extensions)
    return code_version()


def _outcome(future: Any) -> Outcome:
    error = future.exception()
    if error is not None:  # the worker itself ended, or could not run the trial at all
        return Outcome("crashed", detail=f"{type(error).__name__}: {error}"[:500])
    return Outcome(**future.result())


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise UserError(
            "measuring on a cluster needs dask.distributed", hint='pip install "drystone[cluster]"'
        ) from error
    return distributed
