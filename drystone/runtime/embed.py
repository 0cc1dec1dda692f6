"""An artifact as C source that has it inside: a header, a source file, and what that includes."""

import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import IO

from drystone.errors import UserError
from drystone.files import writing
from drystone.runtime import artifact
from drystone.runtime.header import arrays, described
from drystone.runtime.manifest import NATIVE, Manifest


def embed(path: Path, folder: Path, name: str) -> list[Path]:
    """Write NAME.h and NAME.c, and NAME.model.h, NAME.so and NAME.safetensors, which the source includes;
    files of these names are replaced. So that any number of models can be in one program, all its names begin
    with NAME. `-DDRYSTONE_FOLDER="folder"` says where the source finds the others, unless it is compiled in
    there. Returns the files.

    Raises UserError for a damaged file, for a name that C does not know, and for code that is not this
    machine's.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise UserError(f"{name!r} is no name in C", hint="use letters, digits and _")
    manifest = artifact.checked(path)
    if manifest.runner != NATIVE:
        raise UserError(
            f"{path} has code for {manifest.target}, which no C program of this machine runs",
            hint="compile the model for a target that runs here (see `drystone targets`)",
        )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    template = files("drystone.runtime").joinpath("embedded.c").read_text(encoding="utf-8")
    needed = "".join(f'"{feature}", ' for feature in manifest.required)
    source = template.replace("@required@", needed).replace("@name@", name)
    written = {f"{name}.h": _header(manifest, name), f"{name}.c": source}
    held = {".model.h": "model.h", ".so": "model.so", ".safetensors": "weights.safetensors"}
    for file, text in written.items():
        with _whole(folder / file) as out:
            out.write(text.encode())
    with zipfile.ZipFile(path) as archive:
        for suffix, entry in held.items():
            with archive.open(entry) as part, _whole(folder / (name + suffix)) as out:
                shutil.copyfileobj(part, out)
    return [folder / file for file in (*written, *(name + suffix for suffix in held))]


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to be written, that is there when all of it is."""
    partial = path.with_name(f"{path.name}.partial")
    with writing(path):
        with partial.open("wb") as file:
            yield file
        partial.replace(path)


def _header(manifest: Manifest, name: str) -> str:
    """The text of NAME.h."""
    upper = name.upper()
    lines = [
        *described(manifest),
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "#include <stdint.h>",
        "",
        f"#define {upper}_INPUTS {len(manifest.inputs)}",
        f"#define {upper}_OUTPUTS {len(manifest.outputs)}",
        "",
        "/* Bytes of each input and output at the upper bounds of the symbols. */",
        *arrays(name, manifest),
        _CALLS.replace("@name@", name),
        "#endif",
        "",
    ]
    return "\n".join(lines)


_CALLS = """
#ifdef __cplusplus
extern "C" {
#endif
struct @name@;
/* The model with states and working memory of its own, and so many threads, the caller counted; NULL where
 * they cannot be had, or the CPU lacks what the code needs (stderr says so). */
struct @name@ *@name@_open(int32_t threads);
/* Run it; symbols: the dynamic sizes of this call, or NULL for their upper bounds. 0; -1 where a buffer is
 * not aligned to 64 bytes; or 1 + the model's own check that failed. One call at a time. */
int32_t @name@_call(struct @name@ *model, const void *const *inputs, void *const *outputs,
                    const int64_t *symbols);
/* Give every state (cache) its first value again. */
void @name@_reset(struct @name@ *model);
void @name@_close(struct @name@ *model);
#ifdef __cplusplus
}
#endif
"""
