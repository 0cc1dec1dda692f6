"""Why a layer of a compiled model is as it is: what the artifact says of its kernels, weights and memory."""

from collections.abc import Iterator
from difflib import get_close_matches

from drystone.errors import UserError
from drystone.runtime.manifest import KernelCall, Manifest


def explain(manifest: Manifest, name: str = "") -> str:
    """The kernel calls of a layer, where their results lie and when, what its weights are held in and why.

    name: of a module of the model, all below it counted in, of a weight or of a kernel; "" for all. Raises
    UserError where nothing has the name.
    """
    lines: list[str] = []
    for number, call in enumerate(manifest.kernels):
        layer, _ = _origin(call)
        if name == call.name or _below(layer, name):
            lines += [_kernel(manifest, number, call), *_homes(manifest, number)]
    lines += _weights(manifest, name)
    lines += [f"why: {note}" for note, about in _notes(manifest) if _names(about, name)]
    if not lines:
        raise _unknown(manifest, name)
    return "\n".join(lines)


def _origin(call: KernelCall) -> tuple[str, str]:
    """The layer that a kernel call came from, and the line."""
    layer, parenthesis, line = call.where.partition(" (")
    return (layer, line.removesuffix(")")) if parenthesis else ("", call.where)


def _below(known: str, name: str) -> bool:
    return not name or known == name or known.startswith(f"{name}.")


def _notes(manifest: Manifest) -> Iterator[tuple[object, str]]:
    """What the compiler noted, and the names of the layers and weights that it is about."""
    yield from ((each, each.weight) for each in manifest.formats)
    yield from ((each, each.weight) for each in manifest.sparsity)
    yield from ((each, each.where) for each in manifest.attention)
    yield from ((each, ", ".join(each.weights)) for each in manifest.removed)
    yield from ((each, f"{each.first}, {each.last}") for each in manifest.patched)


def _names(about: str, name: str) -> bool:
    """Whether one of these names is that of the layer, or of what is below it."""
    return any(_below(word, name) for word in about.replace(",", " ").split())


def _kernel(manifest: Manifest, number: int, call: KernelCall) -> str:
    layer, line = _origin(call)
    place = " at ".join(filter(None, (layer, line))) or "the model itself"
    return (
        f"call {number} of {len(manifest.kernels)}, {call.kind} {call.name}, for {place}: "
        f"{call.flops:,} operations, {call.bytes:,} bytes read and written"
    )


def _homes(manifest: Manifest, number: int) -> Iterator[str]:
    """Where the plan has the results of a call, and how long."""
    calls, plan = manifest.kernels, manifest.plan
    computed = sum(call.kind != "copy" for call in calls[:number])  # the plan's order leaves out copies
    step = next(iter(plan["order"][computed : computed + 1]), "")
    if not step.endswith(f".{calls[number].name}"):
        return
    prefix = f"{step}."
    homes = [home for home in plan["homes"] if str(home["tensor"]).startswith(prefix)]
    for home in homes:
        yield (
            f"  result {str(home['tensor']).removeprefix(prefix)}: in {home['level']} from byte "
            f"{home['offset']:,} on, from step {home['start']} to {home['end']} of the plan"
        )
    if not homes:
        yield "  results: over what an earlier call left, or in the caller's memory"


def _weights(manifest: Manifest, name: str) -> Iterator[str]:
    plan = manifest.streaming
    for slot, (leaf, size) in enumerate(zip(manifest.weights, manifest.sizes(manifest.weights), strict=True)):
        if not _below(leaf.name, name):
            continue
        stays = "there all the time"
        if plan is not None and slot in plan.tables:
            stays = "only the rows that are read come"
        elif plan is not None and any(slot == each for each, *_ in plan.windows):
            (runs,) = (runs for each, runs, _ in plan.windows if each == slot)
            stays = f"rows that are read come, and stay for {runs} calls more where the budget holds them"
        elif plan is not None and slot not in plan.kept:
            first, last = next(((a, b) for a, b, read in plan.reads if read == slot), (0, 0))
            stays = f"comes from call {first} on for call {last}, as the budget does not hold all"
        yield f"weight {leaf}, {size:,} bytes, {stays}"


def _unknown(manifest: Manifest, name: str) -> UserError:
    layers = [_origin(call)[0] for call in manifest.kernels]
    known = [*dict.fromkeys([*filter(None, layers), *(leaf.name for leaf in manifest.weights)])]
    close = get_close_matches(name, known, cutoff=0.0)
    return UserError(
        f"no kernel and no weight of the model is named {name!r}, or came from a layer of that name",
        hint=f"name a layer, a weight or a kernel, such as {', '.join(close)}; a layer without weights may "
        "be a part of the kernel before it: without a name, all are listed",
    )
