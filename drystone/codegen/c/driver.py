"""The driver in C: `drystone_run`, which does what a planned program does, line by line, on one thread."""

from collections.abc import Iterator, Mapping, Sequence

from drystone.codegen.c import scalars
from drystone.codegen.c.scalars import identifier
from drystone.codegen.index import Index
from drystone.codegen.launches import Check, Compute, Copy, Launch, Launches, Line, Read, View


def driver(made: Launches, symbols: Sequence[str], checks: Mapping[str, int]) -> str:
    """The function `drystone_run` of an artifact's header, which runs lines that `launches` gives.

    Kernels are functions `int NAME(const struct dry_tensor *tensors, scalars..)` that give 0, or 1 + the
    number of a check of their own that failed. symbols: in the order of the call's sizes. checks: how many
    there are before those of a kernel, the program's own included.
    """
    return "\n".join(_function(made, symbols, checks)) + "\n"


def _function(made: Launches, symbols: Sequence[str], checks: Mapping[str, int]) -> Iterator[str]:
    yield "int32_t drystone_run(void *pool, const struct drystone_call *call) {"
    for number, name in enumerate(symbols):
        yield f"    const int64_t n_{identifier(name)} = call->symbols[{number}];"
    for line in made.lines:
        yield f"    {_line(line, checks)}"
    yield from ["    return 0;", "}"]


def _line(line: Line, checks: Mapping[str, int]) -> str:
    match line:
        case Launch():
            return _launch(line, checks[line.kernel])
        case Read():
            place = "0"
            for at, extent in zip(line.at, line.source.extents, strict=True):
                place = f"({place} * {_scalar(extent)} + {_scalar(at)})"
            element = line.source.element
            held = f"((const {scalars.held(element)} *)({_address(line.source)}))[{place}]"
            return f"const {scalars.valued(line.element)} n_{line.name} = {scalars.loaded(element, held)};"
        case Compute():
            args = [_scalar(arg) for arg in line.args]
            made = scalars.expression(line.op, args, line.elements, line.element, line.attributes)
            return f"const {scalars.valued(line.element)} n_{line.name} = {made};"
        case Check():
            return f"if (!{_scalar(line.holds)}) return {line.number + 1};"
        case Copy():
            size = [f"sizeof({scalars.held(line.source.element)})", *map(_scalar, line.source.extents)]
            return f"memmove({_address(line.target)}, {_address(line.source)}, {' * '.join(size)});"


def _launch(launch: Launch, before: int) -> str:
    given = []
    for view in launch.tensors:
        extents = ", ".join(map(_scalar, view.extents)) or "0"
        given.append(f"{{{_address(view)}, {{{extents}}}}}")
    passed = ", ".join(["t", *(_scalar(value) for value, _ in launch.scalars)])
    call = f"const int failed = {launch.kernel}({passed}); if (failed) return {before} + failed;"
    return f"{{ const struct dry_tensor t[] = {{{', '.join(given)}}}; {call} }}"


def _address(view: View) -> str:
    kind, _, slot = view.base.partition(".")
    return f"(char *){f'call->{kind}s[{slot}]' if slot else 'call->arena'} + {_scalar(view.offset)}"


def _scalar(value: Index) -> str:
    return scalars.size(value, lambda leaf: f"n_{identifier(leaf.args[0])}")
