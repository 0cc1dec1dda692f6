"""How drystone is extended from outside: operations, kernels, element codes, formats and passes that stand
beside its own.

Each function here adds to the tables that drystone's own things stand in, so that what is added works
wherever they do: in the verifier, the interpreter, kernels, budgets and error messages. A name there is
already raises UserError. Call them where a module is imported: schedules of kernels are measured in processes
that import the same modules. A package that names such a module in its entry points, as

    [project.entry-points."drystone.extensions"]
    anything = "package.module"

is loaded by `drystone.compile` and the command line wherever it is installed. What is added inside `scope()`
is taken out at its end.

`docs/adding_an_operation.md`, `adding_a_format.md` and `adding_a_pass.md` show each of them at work. Targets,
backends and runners are registered where they stand: `drystone.targets.register`,
`drystone.backends.register`, `drystone.runtime.runners.register`."""

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from drystone import registry, targets
from drystone.choosing.choose import CANDIDATES
from drystone.codegen import families
from drystone.codegen.cost import FLOPS, SizedKernel
from drystone.codegen.families import Builder, Finder
from drystone.codegen.families.codes.numbers import RULES
from drystone.codegen.tile import Tile, TileBuilder
from drystone.errors import UserError
from drystone.frontend.convert import CONVERTERS
from drystone.frontend.importer import Converter
from drystone.ir import formats, rules
from drystone.ir.dialect import Dry
from drystone.ir.encoding import Encoding
from drystone.ir.encoding.code import FAMILIES, Code, Family, is_known
from drystone.ir.interpreter.machine import HANDLERS, Handler
from drystone.ir.shapes import SHAPES, ExtentRule, RankRule, ShapeRule, first_rank
from drystone.passes import Pass, pipeline
from drystone.passes.pipeline import INSERTIONS, Insertion
from drystone.registry import Addition, Registry

__all__ = ["element", "format", "insert", "kernel", "operation", "scope"]

#: A table, the name of an entry, and the entry.
_Entry = tuple[Registry[Any], str, Any]
_Format = TypeVar("_Format", bound=Callable[..., Encoding])


@contextmanager
def scope() -> Iterator[None]:
    """What is added inside is taken out at the end, whatever happens."""
    registry.load_installed()
    with registry.scope():
        yield


def operation(
    cls: Any,
    *,
    meaning: Handler,
    extent: ExtentRule,
    tiles: Builder,
    rank: RankRule = first_rank,
    problems: Callable[[Any], Iterator[str]] = lambda op: iter(()),
    flops: Callable[[SizedKernel], int] | None = None,
    search: Finder | None = None,
    imports: Mapping[str, Converter] | None = None,
) -> None:
    """Add an operation to the dialect.

    cls: its class, `class Name(Dry.Operation, name="..", traits=[Pure])` as in `drystone.ir.dialect`; one
    that is a `WithEpilogue` has maps of its result fused into it. meaning: what the reference interpreter
    computes, (machine, operation, arrays) -> arrays. extent, rank: the shapes of results, see
    `drystone.ir.shapes`. problems: sentences for what is wrong with an operation's operands and attributes.
    tiles: what makes its tile program from a kernel function and a target. flops: arithmetic operations of a
    call (default: an operation for each element of the result). search: its schedules, where there are
    several to choose from. imports: by operators of torch, as "library.name.overload", what makes operations
    of a node (see `drystone.frontend.convert`).

    Raises UserError where the dialect has such an operation, or torch's operator is imported already.
    """
    if not (inspect.isclass(cls) and issubclass(cls, Dry.Operation) and hasattr(cls, "OPERATION_NAME")):
        raise UserError(
            f"{cls!r} is no class of an operation",
            hint='write class Name(drystone.ir.dialect.Dry.Operation, name="name"): and its fields',
        )
    name = cls.OPERATION_NAME
    entries: list[_Entry] = [
        (HANDLERS, name, meaning),
        (SHAPES, name, ShapeRule(extent, rank)),
        (rules.RULES, name, problems),
        (families.FAMILIES, name, (families.Family(tiles, search),)),
        *([(FLOPS, name, flops)] if flops is not None else []),
        *((CONVERTERS, key, converter) for key, converter in (imports or {}).items()),
    ]
    made = (cls, meaning, extent, tiles, *([search] if search is not None else []))
    same = [each for each in Dry.operations if name == each.OPERATION_NAME]
    try:
        _add("operation", name, entries, made, lambda: Dry.operations.remove(cls))
    except UserError:
        # A class is in the dialect as soon as it is written.
        if cls in same and (len(same) > 1 or name not in rules.RULES):
            Dry.operations.remove(cls)
        raise
    if cls not in Dry.operations:
        Dry.operations.append(cls)


def kernel(operation: str, tiles: Builder, *, search: Finder | None = None) -> None:
    """Add another kernel for an operation there is, such as "dry.softmax" or "linalg.generic".

    tiles: what makes a tile program from a kernel function and a target, or None where the kernel is not of a
    form it is for: it is asked before those that are there. A kernel function can hold several products, or
    what is computed of a product's rows besides (`drystone.codegen.families.outlined.main_operations`).
    search: its schedules, where there are several to choose from.

    Raises UserError where no kernels are made of the operation.
    """
    table = families.FAMILIES
    if operation not in table:
        raise UserError(
            f"no kernels are made of an operation called {operation}", hint=f"give one of {', '.join(table)}"
        )
    before = table[operation]
    table.replace(operation, (families.Family(tiles, search), *before))
    made = (tiles, *([search] if search is not None else []))
    _note("kernel", operation, made, lambda: table.replace(operation, before))


def element(code: Code, *, tiles: Callable[[TileBuilder, Code, Tile], Tile] | None = None) -> None:
    """Add an element code (see `drystone.ir.encoding.code`) under its name, which `Codes` then takes.

    Kernels look up the numbers of codes of at most 5 bits. Of up to 8 they compute them by the rule called
    `code.rule`; tiles: that rule, where drystone has none of this name: it takes codes in the highest bits of
    words (i32) and gives their numbers (f32). Weights in codes without a rule are decoded when a model is
    compiled.

    Raises UserError where there is a code, an element or a rule of the name, and for `tiles` of no name.
    """
    if is_known(code.name):
        raise UserError(f"there is another element code called {code.name}", hint="give it a name of its own")
    if (tiles is None) != (not code.rule or code.rule in RULES):
        have = "is no rule of that name" if tiles is None else "is a rule, which has no name of its own"
        raise UserError(
            f"the element code {code.name} has rule {code.rule!r}, and there {have}",
            hint="name the rule in the code's class, and give it as tiles=",
        )
    entries: list[_Entry] = [(FAMILIES, code.name, Family(re.escape(code.name), lambda name: code))]
    entries += [] if tiles is None else [(RULES, code.rule, tiles)]
    _add("element code", code.name, entries, (code, *([tiles] if tiles is not None else [])))


def format(*, candidate: bool = False) -> Callable[[_Format], _Format]:
    """Decorates a function that makes an encoding of a weight [outputs, inputs], so that it is a format
    called like the function, as those of `drystone.ir.formats` are. Its parameters need defaults where it is
    to be named alone; one called `group` is what `Quantize(group=)` sets. candidate: whether
    `quantize="auto"` chooses from it too.

    Raises UserError where there is a format of this name, and for what makes no encoding.
    """

    def add(function: _Format) -> _Format:
        name = function.__name__
        if name in ("int8", "auto"):
            raise UserError(f"quantize={name!r} is no format but a way to quantize", hint="take another name")
        needed = formats.needed(function)
        if candidate and needed:
            raise UserError(
                f"the format {name} is a candidate and needs to know {needed[0]}",
                hint="give its parameters defaults, or leave candidate out",
            )
        made = None if needed else function()
        if not needed and not isinstance(made, Encoding):
            raise UserError(
                f"the format {name} makes {made!r}, which is no encoding",
                hint="return one, made as those of drystone.ir.formats are",
            )
        entries: list[_Entry] = [(formats.TABLE, name, function)]
        _add("format", name, [*entries, *([(CANDIDATES, name, function)] if candidate else [])])
        return function

    return add


def insert(step: Pass, *, after: str | None = None, before: str | None = None) -> None:
    """Add a pass to the pipelines of all targets, right behind the pass of a name or before it. Where there
    are several of that name, behind the last one, or before the first.

    Raises UserError where there is a pass of this name, and none called `after` or `before`.
    """
    names = [each.name for each in pipeline(targets.resolve("cpu"))]
    if (after is None) == (before is None):
        raise UserError(f"the pass {step.name} needs one place", hint="give either after= or before=")
    at = str(before if after is None else after)
    if at not in names:
        raise UserError(
            f"there is no pass called {at} in the pipeline",
            hint=f"give one of {', '.join(dict.fromkeys(names))}",
        )
    if step.name in names:
        raise UserError(f"there is another pass called {step.name}", hint="give it a name of its own")
    _add("pass", step.name, [(INSERTIONS, step.name, Insertion(step, at, after is not None))])


def _add(
    what: str,
    name: str,
    entries: Sequence[_Entry],
    made: tuple[object, ...] = (),
    undo: Callable[[], None] = lambda: None,
) -> None:
    """Put all entries into their tables, or none where one's name is taken, and note how they are taken
    out."""
    for table, key, _ in entries:
        table.check(key)
    for table, key, entry in entries:
        table.add(key, entry)

    def taken_out() -> None:
        for table, key, _ in entries:
            table.drop(key)
        undo()

    _note(what, name, made, taken_out)


def _note(what: str, name: str, made: tuple[object, ...], undo: Callable[[], None]) -> None:
    """Note what is added, by the module that calls the function of this one."""
    frame = sys._getframe(1)
    while frame.f_globals["__name__"] == __name__ and frame.f_back is not None:
        frame = frame.f_back
    registry.record(Addition(what, name, frame.f_globals["__name__"], made, undo))
