"""Types of the LLVM dialect, as text: what structures and arrays are made of."""

from collections.abc import Iterator, Sequence


def is_scalar(kind: str) -> bool:
    """Whether a type is a number."""
    return not kind.startswith(("!llvm.", "ptr", "struct<", "array<"))


def parts_of(kind: str) -> list[str] | None:
    """The types of a structure's fields; None for what is none."""
    if not kind.startswith("struct<("):
        return None
    parts, depth = [""], 0
    for letter in kind.removeprefix("struct<(").removesuffix(")>"):
        depth += letter in "<("
        depth -= letter in ">)"
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def path_into(kind: str, places: Sequence[int]) -> Iterator[str]:
    """The fields and elements that lead into a structure."""
    for place in places:
        parts = parts_of(kind.removeprefix("!llvm."))
        if parts is None:
            yield f".e[{place}]"
            kind = kind.removeprefix("!llvm.").partition(" x ")[2].removesuffix(">")
        else:
            yield f".f{place}"
            kind = parts[place]
