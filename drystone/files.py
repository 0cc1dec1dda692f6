"""Reading and writing the user's files."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError

_SAVEZ = "write it with numpy.savez, by input name"


def read_text(path: Path) -> str:
    """A file's text, which is UTF-8. Raises UserError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", hint="check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"cannot read {path}: it is no UTF-8 text ({error.reason})", hint="give a file of text"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """While something is written to a path: UserError where that cannot be."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}",
            hint="give a place in a folder that is there, may be written to and has room",
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8. Raises UserError where that cannot be."""
    with writing(path):
        path.write_text(text, encoding="utf-8")


def read_arrays(path: Path, names: Sequence[str]) -> list[Array]:
    """The arrays of an .npz by these names, or by their numbers as `numpy.savez` has them for arrays without
    (arr_0, arr_1, ..). Raises UserError where it cannot be read or lacks one."""
    try:
        held = np.load(path, allow_pickle=False)
        if isinstance(held, np.lib.npyio.NpzFile):
            found = [name if name in held else f"arr_{i}" for i, name in enumerate(names)]
            if missing := [name for name, key in zip(names, found, strict=True) if key not in held]:
                raise UserError(f"{path} lacks the inputs {missing}", hint=f"it holds {sorted(held)}")
            return [held[key] for key in found]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", hint="check the path") from error
    except (ValueError, EOFError, BadZipFile, zlib.error) as error:
        # What numpy says is of pickles, which it takes everything else for.
        raise UserError(f"{path} is not an .npz of arrays, or it is damaged", hint=_SAVEZ) from error
    raise UserError(f"{path} is not an .npz of arrays", hint=_SAVEZ)
