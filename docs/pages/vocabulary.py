"""tile.md: the vocabulary of kernels."""

import dataclasses
import inspect

from docs.pages.text import NOTE, doc, line, parameters, parted
from drystone.codegen import index, tile


def tile_page() -> str:
    """The vocabulary of tile programs."""
    first, rest = parted(doc(tile))
    lines = ["# Tile programs", "", NOTE, "", first, "", rest, "", "## What a family calls", ""]
    lines += ["| of `TileBuilder` | |", "| --- | --- |"]
    methods = [each for part in reversed(tile.TileBuilder.__mro__) for each in vars(part).items()]
    for name, method in methods:
        if inspect.isfunction(method) and not name.startswith("_"):
            lines.append(f"| `{name}({parameters(method)})` | {line(method)} |")
    lines += ["", "| beside it | |", "| --- | --- |"]
    for helper in (tile.tile_program, tile.distinct, tile.broadcast, tile.Tensor.collapse, tile.Tensor.dim):
        lines.append(f"| `{helper.__qualname__}({parameters(helper)})` | {line(helper)} |")
    lines += ["", "## What a program is made of", "", "| class | fields | |", "| --- | --- | --- |"]
    classes = [getattr(tile, name) for name in tile.__all__ if inspect.isclass(getattr(tile, name))]
    for each in classes:
        if dataclasses.is_dataclass(each) and each not in (tile.TileBuilder, index.Index):
            fields = ", ".join(f"`{field.name}`" for field in dataclasses.fields(each))
            meaning = "" if doc(each).startswith(f"{each.__name__}(") else line(each)
            lines.append(f"| `{each.__name__}` | {fields} | {meaning} |")
    return "\n".join([*lines, "", "## Index expressions", "", doc(index.Index)]) + "\n"
