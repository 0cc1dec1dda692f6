"""Reading the user's files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError


def read_text(path: Path) -> str:
    """A file's text, which is UTF-8. Raises UserError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path}: it is no UTF-8 text ({error.reason})") from error


def read_arrays(path: Path, names: Sequence[str]) -> list[Array]:
    """The arrays of an .npz by these names, or by their numbers as `numpy.savez` has them for arrays without
    (arr_0, arr_1, ..). Raises UserError where it cannot be read or lacks one."""
    try:
        held = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not an .npz of arrays: {error}") from error
    if not isinstance(held, np.lib.npyio.NpzFile):
        raise UserError(f"{path} is not an .npz of arrays", hint="write it with numpy.savez, by input name")
    found = [name if name in held else f"arr_{i}" for i, name in enumerate(names)]
    missing = [name for name, key in zip(names, found, strict=True) if key not in held]
    if missing:
        raise UserError(f"{path} lacks the inputs {missing}", hint=f"it holds {sorted(held)}")
    return [held[key] for key in found]
