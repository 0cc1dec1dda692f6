"""passes.md: what each pass does, in the order of the pipeline."""

import dataclasses

from docs.pages.text import NOTE, blocks, doc
from drystone import passes, targets


def passes_page() -> str:
    """Every pass, in the order of the pipeline for a CPU."""
    listed = passes.pipeline(targets.resolve("cpu:avx512"))
    order = " -> ".join(f"`{each.name}`" for each in listed)
    lines = ["# Passes", "", NOTE, "", doc(passes), "", f"For a CPU: {order}.", ""]
    more = [*passes.integers_only(None), *passes.integers_only({})]
    names = " -> ".join(f"`{each.name}`" for each in passes.integers_only({}))
    lines += [f"With integers only, behind `quantize-convolutions`: {names}.", ""]
    for each in dict.fromkeys(map(type, (*listed, *more))):
        options = [field for field in dataclasses.fields(each) if field.default is not dataclasses.MISSING]
        lines += [f"## `{each.name}`", "", *blocks(doc(each))]
        if options:
            lines += ["Options: " + ", ".join(f"`{o.name}` = {o.default}" for o in options) + ".", ""]
    return "\n".join(lines)
