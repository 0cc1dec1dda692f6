"""From an object file to a shared object, with the system's `cc` or, where there is none, ziglang's."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from drystone.errors import UserError

#: First bytes of an ELF file of type "relocatable": magic, and e_type 1 at byte 16.
_RELOCATABLE = 1


def compiler() -> list[str] | None:
    """The command that links, or None where this machine has none."""
    if found := shutil.which("cc"):
        return [found]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc"]
    return None


def shared_object(image: Any) -> bytes:
    """The shared object for an object file's bytes; a shared object is returned as it is.

    `image` may be a function that gives the bytes, so that nothing is made before it is needed.
    Raises UserError where no linker is found or it fails.
    """
    data: bytes = image() if callable(image) else image
    if data[16] != _RELOCATABLE:
        return data
    command = compiler()
    if command is None:
        raise UserError(
            "saving needs a linker and this machine has no `cc`",
            hint="install a C compiler (Debian: apt install gcc) or `pip install drystone[zig]`",
        )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "model.o"), Path(folder, "model.so")
        source.write_bytes(data)
        flags = ["-shared", "-Wl,--build-id=none", "-Wl,-soname,model.so", "-Wl,-z,noexecstack"]
        done = subprocess.run(
            [*command, *flags, "-o", str(target), str(source), "-lm", "-lpthread"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UserError(
                f"{command[0]} could not link the model:\n{done.stderr.strip()}",
                hint="see that it links C programs here: it needs a C library; `pip install drystone[zig]` "
                "has its own",
            )
        return target.read_bytes()
