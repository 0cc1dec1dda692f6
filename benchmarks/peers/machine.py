"""What the machine is, by its features, and what it can do, measured."""

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FEATURES = (
    ("AVX-512", "avx512f"),
    ("VNNI", "avx512_vnni"),
    ("AVX-512 BF16", "avx512_bf16"),
    ("AVX-512 FP16", "avx512_fp16"),
    ("AMX", "amx_tile"),
)


def description() -> str:
    """Cores and the vector units that matter here, present and absent."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    flags = set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())
    present = [name for name, flag in _FEATURES if flag in flags]
    absent = [f"no {name}" for name, flag in _FEATURES if flag not in flags]
    return ", ".join([f"{os.cpu_count()} cores ({platform.machine()})", *present, *absent])


def peaks(threads: int) -> dict[str, float]:
    """fp32, bf16 and int8 in operations per second, read in bytes per second; empty without a C compiler.

    Multiply-adds count as two operations.
    """
    with built(Path(__file__).with_name("peaks.c")) as program:
        if program is None:
            return {}
        text = subprocess.run([program, str(threads)], check=True, capture_output=True, text=True).stdout
    return {name: 1e9 * float(value) for name, value in map(str.split, text.splitlines())}


@contextmanager
def built(source: Path) -> Iterator[Path | None]:
    """A program in C, compiled for this machine, as long as it is needed; None without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / source.stem
        flags = ["-O3", "-march=native", "-pthread", "-o", str(program)]
        subprocess.run([compiler, *flags, str(source)], check=True)
        yield program
