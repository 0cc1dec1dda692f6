"""What this machine offers drystone, found by trying it."""

import importlib.metadata
import importlib.util
import platform
from dataclasses import dataclass

from drystone import registry, targets
from drystone.errors import UserError
from drystone.machine import cpu_flags
from drystone.runtime import link
from drystone.targets.dots import UNITS


@dataclass(frozen=True)
class Finding:
    """One thing looked for: whether it is there, whether anything needs it, and what was found or to be
    done."""

    what: str
    ok: bool
    detail: str
    needed: bool = True


def _package(name: str, *, needed: bool = True, why: str = "") -> Finding:
    try:
        return Finding(name, True, importlib.metadata.version(name), needed)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, f"pip install {name}{why}", needed)


def _extensions() -> Finding:
    try:
        registry.load_installed()
    except UserError as error:
        return Finding("extensions", False, error.what)
    return Finding("extensions", True, ", ".join(registry.installed()) or "none installed", needed=False)


def examine() -> list[Finding]:
    """Look for everything compiling, saving and running need, in that order."""
    linker = link.compiler()
    flags = cpu_flags()
    known = dict.fromkeys(flag for unit in UNITS for flag in unit.flags if flag != "amx_tile")
    units = [flag for flag in known if flag in flags]
    machine = targets.resolve("cpu")
    described = f"{machine.summary}, {machine.threads} threads"
    here = platform.system() == "Linux" and platform.machine() == "x86_64"
    needed = ("torch", "torch-mlir", "numpy", "ortools", "safetensors", "click", "jinja2")
    advice = "for save: install a C compiler, or pip install drystone[zig]"
    return [
        Finding("system", here, platform.platform()),
        Finding("cpu", {"avx2", "fma"} <= flags, " ".join(units) or "needs at least AVX2 and FMA"),
        Finding("target cpu", True, described),
        *(_package(name) for name in needed),
        _package("xgboost-cpu", needed=False, why=" (for tuning)"),
        _package("resvg-py", needed=False, why=" (for pictures as PNG)"),
        _extensions(),
        Finding("linker", linker is not None, " ".join(linker) if linker else advice, needed=False),
    ]
