"""Descriptions of machines: frozen data, checked when registered."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """A memory level: capacity in bytes (None: unlimited), alignment of every offset in bytes."""

    name: str
    capacity: int | None = None
    alignment: int = 64


@dataclass(frozen=True)
class CpuTarget:
    """An x86-64 CPU as the code generator sees it.

    llvm_cpu and features go to LLVM as target-cpu and target-features; vector_bits and registers size the
    register tiles; required are the names in /proc/cpuinfo a machine must show to run the code.
    """

    name: str
    llvm_cpu: str
    features: tuple[str, ...]
    required: tuple[str, ...]
    vector_bits: int
    registers: int
    l1: int
    l2: int
    levels: tuple[Level, ...]
    threads: int

    def lanes(self, bits: int) -> int:
        """Elements of `bits` bits in one vector register."""
        return self.vector_bits // bits
