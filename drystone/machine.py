"""What this machine is: its CPU's flags and caches, read from Linux. Imports the standard library only, so
that the runtime and the targets can share it."""

import ctypes
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
#: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA): may this process use tile registers?
_ASK_FOR_TILES = (158, 0x1023, 18)
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def parse_flags(cpuinfo: str) -> frozenset[str]:
    """The flags of the first processor in the text of /proc/cpuinfo; none where there is no such line."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def parse_size(text: str) -> int:
    """Bytes of a size as /sys writes it: "48K", "2M", or a plain number."""
    text = text.strip()
    return int(text[:-1]) * _UNITS[text[-1]] if text[-1:] in _UNITS else int(text)


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """This machine's CPU flags as /proc/cpuinfo names them; none where it cannot be read. Those of tile
    registers only where the system lets this process use them."""
    flags = parse_flags(_CPUINFO.read_text()) if _CPUINFO.exists() else frozenset()
    if "amx_tile" not in flags or ctypes.CDLL(None).syscall(*_ASK_FOR_TILES) == 0:
        return flags
    return frozenset(flag for flag in flags if not flag.startswith("amx_"))


def cpu_name() -> str:
    """The CPU's model name, for reports."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown CPU"


def missing_features(required: Iterable[str]) -> list[str]:
    """The names in `required` that this machine's CPU does not show, in their order."""
    have = cpu_flags()
    return [name for name in required if name not in have]


def cache_sizes(folder: Path = _CACHES) -> dict[int, int]:
    """Bytes of the data (or unified) cache of each level of the first core; empty where /sys says nothing."""
    sizes: dict[int, int] = {}
    for entry in sorted(folder.glob("index*")):
        if (entry / "type").read_text().strip() != "Instruction":
            sizes[int((entry / "level").read_text())] = parse_size((entry / "size").read_text())
    return sizes


def usable_cores() -> int:
    """Processors this process may run on."""
    return len(os.sched_getaffinity(0))


def free_memory(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that processes can still get, of the machine or of the group of processes that this one is in."""
    lines = meminfo.read_text().splitlines() if meminfo.exists() else []
    free = next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), 0)
    try:
        most, used = ((group / f"memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return free
    return free if most == "max" else min(free, max(0, int(most) - int(used)))
