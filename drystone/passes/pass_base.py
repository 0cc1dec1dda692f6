"""What a pass is, and how a list of them is run."""

import time
from collections.abc import Sequence
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
    return Program(*copy, [*program.zeros], [*program.removed])


def run(
    program: Program, passes: Sequence[Pass], dump: Path | None = None, aside: str = ""
) -> Program | None:
    """Run the passes in order and verify the program after each; a copy of what the first pass named `aside`
    was given, if any was.

    With `dump`, `NN_<pass>.mlir` in that folder is the re-parseable text after each pass (00 before the
    first), its first line a comment with the time taken and "(unchanged)" where the text did not change.
    Raises InternalError naming the pass that failed or left an invalid program; UserError passes through.
    """
    before, kept = _dump(program, dump, 0, "input", 0.0, None), None
    for number, step in enumerate(passes, start=1):
        kept = copy_of(program) if kept is None and step.name == aside else kept
        started = time.perf_counter()
        with program.module.context, ir.Location.unknown():
            given = program.module.operation.clone()
        try:
            with program.module.context, ir.Location.unknown():
                step.run(program)
            verify(program)
        except UserError:
            raise
        except Exception as error:
            _dump(program, dump, number, f"{step.name}_failed", 0.0, None)
            left = ",".join(one.name for one in passes[number - 1 :])
            shown = str(given.get_asm(enable_debug_info=True))
            raise InternalError(f"pass {step.name} failed: {error}", ir=shown, left=left) from error
        before = _dump(program, dump, number, step.name, time.perf_counter() - started, before)
    return kept


def _dump(
    program: Program, folder: Path | None, number: int, name: str, seconds: float, before: str | None
) -> str | None:
    """Write one file; the text written, to be compared with the next."""
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    after = text(program.module)
    note = " (unchanged)" if after == before else ""
    head = f"// {name}: {seconds * 1e3:.1f} ms{note}\n"
    (folder / f"{number:02d}_{name}.mlir").write_text(head + after)
    return after
