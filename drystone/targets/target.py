"""Descriptions of machines: frozen data, checked when registered."""

from dataclasses import dataclass, field

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


@dataclass(frozen=True, kw_only=True)
class Target:
    """A machine as every stage sees it.

    backend: the name of what makes code for it and runs that (`drystone.backends`). levels: where tensors
    lie, the first one is where operations work. vector_bits and registers: of the vector registers that tiles
    are cut for; scalar code likes few numbers at once too, 128 bits and 16 registers. l1, l2: bytes that are
    near and less near to a core, which tiles are to fit in. threads: that a call has unless it says
    otherwise. dots: the dot units, from the least to the most able, and with them the elements that it
    multiplies natively. required: features that a machine must have to run the code, by their names in
    /proc/cpuinfo.

    A kind of machine that is described by more (flags of its compiler, a board) is a subclass.
    """

    name: str
    backend: str
    levels: tuple[Level, ...]
    vector_bits: int = 128
    registers: int = 16
    l1: int = 32 * 2**10
    l2: int = 256 * 2**10
    threads: int = 1
    dots: tuple[DotUnit, ...] = ()
    required: tuple[str, ...] = ()

    def lanes(self, bits: int) -> int:
        """Elements of `bits` bits in one vector register."""
        return self.vector_bits // bits

    @property
    def shuffles(self) -> bool:
        """Whether an instruction picks each byte of a register of 64 from another one."""
        return False

    @property
    def summary(self) -> str:
        """What it is, in a few words."""
        levels = ", ".join(each.name for each in self.levels)
        return f"{self.vector_bits}-bit vectors, {self.registers} registers, memory: {levels}"

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


@dataclass(frozen=True, kw_only=True)
class CpuTarget(Target):
    """An x86-64 CPU: llvm_cpu and features go to LLVM as target-cpu and target-features; its dot units are
    those of the features that it has."""

    backend: str = "cpu"
    llvm_cpu: str
    features: tuple[str, ...]
    dots: tuple[DotUnit, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dots", units_of(self.required))

    @property
    def shuffles(self) -> bool:
        """Whether an instruction picks each byte of a register of 64 from another one (AVX-512 VBMI)."""
        return "avx512vbmi" in self.required and self.vector_bits == 512

    @property
    def summary(self) -> str:
        """What it is, in a few words."""
        return f"{self.llvm_cpu}, {self.vector_bits}-bit vectors, {self.registers} registers"
