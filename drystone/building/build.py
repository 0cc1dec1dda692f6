"""The artifacts of drystone.toml, made of what they are made of now."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drystone import machine
from drystone.building import children, content, project, results, state
from drystone.building.children import Task
from drystone.building.order import Answer, Order
from drystone.building.project import Entry, Project
from drystone.building.results import Result
from drystone.building.state import Made
from drystone.options import byte_count

#: Bytes that building takes of itself, and for each byte of its files, where it was never measured.
_BASE, _EACH = 3 << 28, 4


def build(
    file: str | Path = "drystone.toml",
    *,
    only: Sequence[str] = (),
    force: bool = False,
    jobs: int | None = None,
    dry: bool = False,
    report: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Build what a file lists and is not as it would be built now (docs/pipelines.md).

    only: names of models, or paths of artifacts, or patterns; all by default. force: whatever changed or not.
    jobs: how many are built at once, at most; by default a core each. dry: build nothing. report: called with
    each result as it is there. Of each artifact there is one result, in the file's order; what could not be
    built is one too, but a file that cannot be read is a UserError. Where it is interrupted, what was built
    until then stays and is known, and nothing is half written.
    """
    found = project.read(Path(file))
    chosen = found.only(only)
    if dry:
        return list(_Run(found, chosen, force, state.read(found.folder)).planned())
    with state.alone(found.folder):
        run = _Run(found, chosen, force, state.read(found.folder), report)
        with run.remembered():
            run.build(jobs)
        return run.all()


@dataclass
class _Run:
    """One run over the entries that were chosen. done: results, by the entries' names."""

    project: Project
    chosen: Sequence[Entry]
    force: bool
    state: state.State
    report: Callable[[Result], None] | None = None
    done: dict[str, Result] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.files = content.Files(self.state.files)
        self.compiler = content.compiler()
        self.now = {each.name: self._ingredients(each, self._known(each).read) for each in self.chosen}
        self.why = {each.name: self._why(each) for each in self.chosen}

    def planned(self) -> Iterator[Result]:
        """What would be built, and why."""
        for entry in self.chosen:
            why = self.why[entry.name]
            yield self._result(entry, "stale" if why else "fresh", {} if why else self._known(entry).measured)

    def build(self, jobs: int | None) -> None:
        """Build what is stale, then time what has a limit of time."""
        stale = [each for each in self.chosen if self.why[each.name]]
        for entry in self.chosen:
            if entry not in stale and not self._is_untimed(entry):
                self._end(entry, self._result(entry, "fresh", self._known(entry).measured))
        limit = self.project.build
        cores = limit.cores or machine.usable_cores()
        most = max(1, min(jobs or cores, len(stale)))
        memory = byte_count(limit.memory) if limit.memory is not None else machine.free_memory()
        tasks = [self._task(each, max(1, cores // most)) for each in stale]
        children.run(tasks, most, memory, self._built)
        untimed = [each for each in self.chosen if each.name not in self.done and self._is_untimed(each)]
        # One after the other: nothing else is to run meanwhile.
        children.run([self._task(each, cores, timed=True) for each in untimed], 1, memory, self._timed)

    @contextmanager
    def remembered(self) -> Iterator[None]:
        """However it ends, what was done is written down."""
        try:
            yield
        finally:
            self.state.files = self.files.known()
            listed, root = {self._key(each) for each in self.project.entries}, self.project.root
            made = self.state.made.items()
            self.state.made = {key: each for key, each in made if key in listed or (root / key).exists()}
            state.write(self.project.folder, self.state)
            state.replace(self.project.results, results.to_json(self.all()))

    def all(self) -> list[Result]:
        """A result of each entry, in their order."""
        return [self.done.get(each.name) or self._result(each, "stopped", {}) for each in self.chosen]

    def _why(self, entry: Entry) -> list[str]:
        """Why an artifact is to be built; nothing where it is not."""
        made = self._known(entry)
        if not made.ingredients:
            return ["it is new"]
        found = content.changes(made.ingredients, self.now[entry.name])
        if made.error:
            found.append("it failed")
        elif not entry.output.is_file():
            found.append("it is not there")
        elif self.files.digest(entry.output) != made.digest:
            found.append("its file was changed")
        return found or (["it is asked for"] if self.force else [])

    def _ingredients(self, entry: Entry, read: Sequence[str]) -> dict[str, str]:
        return content.ingredients(entry, self.project, read, self.files, self.compiler)

    def _key(self, entry: Entry) -> str:
        return content.relative(entry.output, self.project.root)

    def _known(self, entry: Entry) -> Made:
        """What is remembered of an artifact."""
        return self.state.made.get(self._key(entry)) or Made()

    def _is_untimed(self, entry: Entry) -> bool:
        """Whether a limit of time is not judged yet."""
        measured = self._known(entry).measured
        asked = entry.settings.budget.latency is not None
        return asked and bool(measured) and not {"latency", "not_run"} & measured.keys()

    def _task(self, entry: Entry, threads: int, *, timed: bool = False) -> Task:
        root = self.project.root
        order = Order(
            table=entry.table,
            where=entry.where,
            target=entry.target,
            output=str(entry.output),
            root=str(root),
            path=[str(each) for each in self.project.path],
            threads=threads,
            report="",
            timed=timed,
        )
        return Task(entry.name, order, self._memory(entry))

    def _memory(self, entry: Entry) -> int:
        """Bytes that building is expected to take: as stated, as measured last, or after the files' sizes."""
        if entry.settings.memory is not None:
            return byte_count(entry.settings.memory)
        if (peak := self._known(entry).measured.get("peak")) is not None:
            return int(peak)
        return _BASE + _EACH * content.size(content.named(entry, self.project))

    def _entry(self, task: Task) -> Entry:
        return next(each for each in self.chosen if each.name == task.name)

    def _built(self, task: Task, answer: Answer, seconds: float) -> None:
        entry = self._entry(task)
        self.seconds[entry.name] = seconds
        self.files.forget(entry.output)
        digest = "" if answer.error else self.files.digest(entry.output)
        read = sorted(content.relative(Path(each), self.project.root) for each in answer.read)
        self.state.made[self._key(entry)] = Made(
            self._made_of(entry, read, seconds), read, digest, dict(answer.measured), answer.error
        )
        if answer.error:
            self._end(entry, self._result(entry, "failed", {}, answer))
        elif not self._is_untimed(entry):
            self._end(entry, self._result(entry, "built", answer.measured))

    def _made_of(self, entry: Entry, read: Sequence[str], seconds: float) -> dict[str, str]:
        """The ingredients as they were when building began; of files that were written since, and not known
        before, nobody can tell which were read."""
        began = time.time_ns() - int(seconds * 1e9)
        before, after = self.now[entry.name], self._ingredients(entry, read)
        late = {each for each in read if content.changed_since(self.project.root / each, began)}
        return {name: before.get(name, "" if name in late else each) for name, each in after.items()}

    def _timed(self, task: Task, answer: Answer, seconds: float) -> None:
        entry = self._entry(task)
        made = self._known(entry)
        made.measured |= answer.measured
        status = "failed" if answer.error else "built" if self.why[entry.name] else "fresh"
        self._end(entry, self._result(entry, status, made.measured, answer))

    def _result(
        self,
        entry: Entry,
        status: str,
        measured: Mapping[str, Any],
        answer: Answer | None = None,
    ) -> Result:
        return Result(
            name=entry.name,
            output=self._key(entry),
            model=entry.model,
            variant=entry.variant,
            target=entry.target,
            status=status,
            why=tuple(self.why[entry.name]),
            seconds=self.seconds.get(entry.name),
            error="" if answer is None else answer.error,
            fault=answer is not None and answer.fault,
            missed=results.missed(entry.settings.budget, entry.settings.allowed, measured),
            measured=measured,
        )

    def _end(self, entry: Entry, result: Result) -> None:
        self.done[entry.name] = result
        if self.report is not None:
            self.report(result)
