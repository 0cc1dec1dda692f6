"""`model.dry`: an uncompressed zip of manifest.json, model.so, model.h and weights.safetensors; the code has
another name where it is not for this machine itself (`drystone.runtime.runners`).

The weights' bytes start at a multiple of 64 in the file, so that they are memory-mapped where they are.
Nothing is pickled. Every entry has a fixed date and order: the same model gives the same bytes.
"""

import dataclasses
import hashlib
import json
import mmap
import os
import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.files import writing
from drystone.machine import missing_features
from drystone.runtime.header import header
from drystone.runtime.manifest import FORMAT, Manifest
from drystone.runtime.memory import ALIGNMENT
from drystone.runtime.runners import named
from drystone.runtime.stored import Stored

_DATE = (1980, 1, 1, 0, 0, 0)
#: Bytes that are hashed at a time.
_PIECE = 1 << 20
_SAFETENSORS = {
    "f32": "F32",
    "f64": "F64",
    "f16": "F16",
    "bf16": "BF16",
    "i64": "I64",
    "i32": "I32",
    "i16": "I16",
    "i8": "I8",
    "ui8": "U8",
    "i1": "BOOL",
    "complex<f32>": "C64",
    "complex<f64>": "C128",
}


def _alignment(manifest: Manifest) -> int:
    """What the weights' places in the file are multiples of: pages, where rows of them are read as needed."""
    return mmap.PAGESIZE if manifest.streaming is not None and manifest.streaming.windows else ALIGNMENT


def weight_offsets(weights: Sequence[Array], alignment: int = ALIGNMENT) -> list[int]:
    """Where each weight starts in the data part of weights.safetensors."""
    offsets, end = [], 0
    for array in weights:
        offsets.append(end)
        end += -(-array.nbytes // alignment) * alignment
    return offsets


def _weights_header(manifest: Manifest, weights: Sequence[Array]) -> bytes:
    entries: dict[str, Any] = {}
    alignment = _alignment(manifest)
    starts = weight_offsets(weights, alignment)
    for leaf, array, start in zip(manifest.weights, weights, starts, strict=True):
        end = start + array.nbytes
        shape = list(array.shape)
        entries[leaf.name] = {
            "dtype": _SAFETENSORS[leaf.dtype],
            "shape": shape,
            "data_offsets": [start, end],
        }
        rest = -end % alignment
        if rest:  # the format allows no holes
            entries[f"{leaf.name}.pad"] = {"dtype": "U8", "shape": [rest], "data_offsets": [end, end + rest]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % alignment)
    return struct.pack("<Q", len(text)) + text


def _weights_chunks(manifest: Manifest, weights: Sequence[Array]) -> Iterator[bytes | memoryview]:
    yield _weights_header(manifest, weights)
    for array in weights:
        yield array.reshape(-1).view(np.uint8).data
        yield bytes(-array.nbytes % _alignment(manifest))


def _add(
    archive: zipfile.ZipFile,
    name: str,
    chunks: Iterator[bytes | memoryview],
    size: int,
    alignment: int = ALIGNMENT,
) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    info.external_attr = 0o644 << 16
    large = size >= 1 << 31
    assert archive.fp is not None
    start = archive.fp.tell() + 30 + len(name) + 4 + (20 if large else 0)
    pad = -start % alignment
    info.extra = struct.pack("<HH", 0xD935, pad) + bytes(pad)
    info.file_size = size
    with archive.open(info, "w", force_zip64=large) as entry:
        for chunk in chunks:
            entry.write(chunk)


def write(path: Path, manifest: Manifest, weights: Sequence[Array], image: Any) -> Path:
    """Write an artifact; `image` is what the manifest's runner stores as the code (for a CPU the bytes of a
    shared object, or of an object file to be linked).

    The file appears whole or not at all. Raises UserError where linking is not possible.
    """
    runner = named(manifest.runner)
    code = runner.stored(image)
    digest = hashlib.sha256()
    size = 0
    for chunk in _weights_chunks(manifest, weights):
        digest.update(chunk)
        size += len(chunk)
    hashes = {runner.file: hashlib.sha256(code).hexdigest(), "weights.safetensors": digest.hexdigest()}
    text = dataclasses.replace(manifest, hashes=hashes).to_json().encode()
    alignment = _alignment(manifest)
    offsets = weight_offsets(weights, alignment)
    include = header(manifest, len(_weights_header(manifest, weights)), offsets).encode()
    partial = unfinished(path)
    if path.exists() and not path.is_file():
        # It would be replaced: a device by a file.
        raise UserError(f"{path} is there, and no file", hint="name a file to write, such as model.dry")
    with writing(path):
        try:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
                _add(archive, "manifest.json", iter([text]), len(text))
                _add(archive, runner.file, iter([code]), len(code))
                _add(archive, "model.h", iter([include]), len(include))
                _add(archive, "weights.safetensors", _weights_chunks(manifest, weights), size, alignment)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return path


def unfinished(path: Path) -> Path:
    """The file that becomes the artifact when all of it is written."""
    return path.with_name(path.name + ".partial")


def _data_start(file: Any, info: zipfile.ZipInfo) -> int:
    file.seek(info.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    return int(info.header_offset) + 30 + int(name) + int(extra)


def read(path: Path, *, verify: bool) -> tuple[Manifest, list[Array], bytes, Stored]:
    """The manifest, the memory-mapped weights, the shared object's bytes, and where the weights lie. Raises
    UserError, see `load`."""
    manifest, image, stored = _opened(path, verify=verify)
    lacking = missing_features(manifest.required)
    if lacking:
        raise UserError(
            f"{path} was compiled for {manifest.target} and needs CPU features this machine lacks: "
            + ", ".join(lacking),
            hint="compile it here, or for a target this machine has (see `drystone targets`)",
        )
    return manifest, stored.views(manifest.weights), image, stored


def checked(path: Path) -> Manifest:
    """The manifest of an artifact that is whole, for whichever machine it is. Raises UserError for one that
    is not."""
    return _opened(path, verify=True)[0]


def _opened(path: Path, *, verify: bool) -> tuple[Manifest, bytes, Stored]:
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            manifest = Manifest.from_json(archive.read("manifest.json").decode())
            if manifest.format != FORMAT:
                raise UserError(
                    f"{path} has format {manifest.format}, this drystone reads {FORMAT}",
                    hint="compile the model again, or use the drystone version that wrote it",
                )
            file_name = named(manifest.runner).file
            image = archive.read(file_name)
            info = archive.getinfo("weights.safetensors")
            start = _data_start(file, info)
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            digest = _digest(file, start, info.file_size) if verify else None
            stored = Stored(os.dup(file.fileno()), mapping, tuple(_ranges(manifest, mapping, start)))
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}", hint="fitted.save(path) writes one") from error
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError, struct.error) as error:
        raise UserError(
            f"{path} is not a drystone artifact, or it is damaged: {error}",
            hint="copy it anew, or compile the model again and save it: fitted.save(path)",
        ) from error
    if hashlib.sha256(image).hexdigest() != manifest.hashes.get(file_name) or (
        verify and digest != manifest.hashes.get("weights.safetensors")
    ):
        raise UserError(
            f"{path} is damaged: its contents do not match their hashes",
            hint="copy it anew from where it was written, or compile the model again",
        )
    return manifest, image, stored


def _digest(file: Any, start: int, size: int) -> str:
    """The hash of a part of a file, read piece by piece: through the mapping all of it would stay."""
    digest = hashlib.sha256()
    file.seek(start)
    while size:
        piece = file.read(min(size, _PIECE))
        if not piece:
            raise ValueError("its end is missing")
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest()


def _ranges(manifest: Manifest, mapping: mmap.mmap, start: int) -> Iterator[tuple[int, int]]:
    """Where each weight lies in the file, from the header of the safetensors part that starts there."""
    (length,) = struct.unpack("<Q", mapping[start : start + 8])
    data = start + 8 + length
    entries = json.loads(mapping[start + 8 : data])
    for leaf in manifest.weights:
        first, last = entries[leaf.name]["data_offsets"]
        yield data + first, data + last


def unpack(path: Path, folder: Path) -> list[Path]:
    """Write the artifact's entries as files (model.so, model.h, weights.safetensors, manifest.json), for C
    programs.

    Raises UserError for a damaged file, or where a file is already there.
    """
    checked(path)
    written = []
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            out = folder / name
            if out.exists():
                raise UserError(f"{out} is already there", hint="name another folder")
            with writing(out):
                out.write_bytes(archive.read(name))
            written.append(out)
    return written
