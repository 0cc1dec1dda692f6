"""What a pass is, and how a list of them is run."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from drystone import mlir
from drystone.errors import InternalError, UserError
from drystone.ir.program import Program
from drystone.ir.verifier import verify
from drystone.mlir import ir, text


class Pass(Protocol):
    """A rewrite of a program in place. Implementations are frozen dataclasses whose fields are the options;
    file `fuse_epilogue.py`, class `FuseEpilogue`, `name` "fuse-epilogue"."""

    name: ClassVar[str]

    def run(self, program: Program) -> None:
        """Rewrite the program."""


def copy_of(program: Program) -> Program:
    """The same program, to be rewritten apart; both hold the same arrays."""
    copy = mlir.copy_of(program.module), program.weights.copy(), program.signature
    return Program(*copy, [*program.zeros], [*program.removed], {**program.windows})


#: What is written behind a dumped program that has these passes left to do.
Note = Callable[[Program, Sequence[Pass]], str]


def run(
    program: Program,
    passes: Sequence[Pass],
    dump: Path | None = None,
    aside: str = "",
    note: Note = lambda program, left: "",
) -> Program | None:
    """Run the passes in order and verify the program after each; a copy of what the first pass named `aside`
    was given, if any was.

    With `dump`, `NN_<pass>.mlir` in that folder is the re-parseable text after each pass (00 before the
    first), its first line a comment with the time taken and "(unchanged)" where the text did not change, and
    behind it what `note` says.
    Raises InternalError naming the pass that failed or left an invalid program; UserError passes through.
    """
    write = _Dump(dump, note)
    write(program, 0, "input", 0.0, passes)
    kept = None
    for number, step in enumerate(passes, start=1):
        kept = copy_of(program) if kept is None and step.name == aside else kept
        started = time.perf_counter()
        given = copy_of(program)
        try:
            with program.module.context, ir.Location.unknown():
                step.run(program)
            verify(program)
        except UserError:
            raise
        except Exception as error:
            write(program, number, f"{step.name}_failed", 0.0, ())
            left = passes[number - 1 :]
            raise InternalError(f"pass {step.name} failed: {error}", program=given, passes=left) from error
        write(program, number, step.name, time.perf_counter() - started, passes[number:])
    return kept


class _Dump:
    """Writes a program's text after each pass, where there is a folder for it."""

    def __init__(self, folder: Path | None, note: Note) -> None:
        self._folder, self._note, self._before = folder, note, ""

    def __call__(
        self, program: Program, number: int, name: str, seconds: float, left: Sequence[Pass]
    ) -> None:
        """Write one file."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        after = text(program.module)
        said = " (unchanged)" if after == self._before else ""
        head = f"// {name}: {seconds * 1e3:.1f} ms{said}\n"
        behind = "" if name.endswith("_failed") else self._note(program, left)
        (self._folder / f"{number:02d}_{name}.mlir").write_text(head + after + behind)
        self._before = after
