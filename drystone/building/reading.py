"""Which files a model is made of: what Python reads while it makes one."""

import site
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import drystone

_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/lib64", "/var")


@contextmanager
def watched(root: Path) -> Iterator[set[str]]:
    """Gives a set that files get into, by their absolute paths, that are opened to be read inside, and those
    of modules that are imported there; the installed packages' and the system's do not, unless they are below
    `root`. Of what other languages open, files are seen that are mapped into memory when it is left (as those
    of safetensors are, while tensors of theirs are there), others are not."""
    found: set[str] = set()
    opened: set[str] = set()
    before, mapped, watching = set(sys.modules), _mapped(), True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open":
            path, mode, _ = arguments
            if isinstance(path, str) and (mode is None or not set(mode) & set("wax+")):
                opened.add(path)

    sys.addaudithook(hook)  # for good: there is no way to remove one
    try:
        yield found
    finally:
        watching = False
        modules = [sys.modules.get(name) for name in set(sys.modules) - before]
        files = {getattr(module, "__file__", None) for module in modules} | opened | (_mapped() - mapped)
        paths = (Path(file).absolute() for file in files if file)
        found.update(str(path) for path in paths if _is_own(path, root))


def _mapped() -> set[str]:
    """The files that are mapped into this process's memory."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return {line[line.index("/") :] for line in lines if "/" in line}


def _is_own(path: Path, root: Path) -> bool:
    """Whether a file belongs to the user's project."""
    installed = [sys.prefix, sys.base_prefix, *site.getsitepackages(), str(Path(drystone.__file__).parent)]
    packages = [Path(folder) for folder in installed]
    within = any(
        path.is_relative_to(folder) for folder in (*packages, *(each.resolve() for each in packages))
    )
    system = any(path.is_relative_to(folder) for folder in _SYSTEM) and not path.is_relative_to(root)
    return path.is_file() and not within and not system and "__pycache__" not in path.parts
