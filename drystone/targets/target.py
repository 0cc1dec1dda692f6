"""Descriptions of machines: frozen data, checked when registered."""

from dataclasses import dataclass

from drystone.targets.dots import DotUnit, units_of


@dataclass(frozen=True)
class Level:
    """A memory level: capacity in bytes (None: unlimited), alignment of every offset in bytes, what moving a
    byte to or from it costs beside the other levels, whether operations may work in it directly (as they
    always may in the first level), and how many bytes it moves per unit of time while operations run (None:
    moves take no time)."""

    name: str
    capacity: int | None = None
    alignment: int = 64
    cost: int = 1
    direct: bool = False
    bandwidth: int | None = None


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

    @property
    def dots(self) -> tuple[DotUnit, ...]:
        """The dot units the machine has, from the least to the most able."""
        return units_of(self.required)

    @property
    def shuffles(self) -> bool:
        """Whether an instruction picks each byte of a register of 64 from another one (AVX-512 VBMI)."""
        return "avx512vbmi" in self.required and self.vector_bits == 512

    def dot(self, a: str, b: str, *, tiles: bool = False) -> DotUnit | None:
        """The most able vector (or tile) unit for elements a and b, in either order; None without one."""
        wanted = [(a, b, tiles), (b, a, tiles)]
        return next((u for u in reversed(self.dots) if (u.a, u.b, u.tiles) in wanted), None)

    def neighbours(self, a: str, b: str) -> int:
        """How many neighbouring k lie side by side in the right operand of products of these elements, so
        that a unit sums them at once: 1 where none does. Vectors make one of two signed bytes unsigned."""
        units = [self.dot(a, b), self.dot(a, b, tiles=True)]
        units += [self.dot("ui8", "i8")] if (a, b) == ("i8", "i8") else []
        return next((unit.group for unit in units if unit is not None), 1)
