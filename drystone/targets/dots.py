"""Dot units: the instructions that multiply and add, as data.

A unit computes acc[m, n] += sum over k of a[m, k] b[k, n] for the few rows, columns and k that one
instruction takes. Where it sums `group` neighbouring k in a lane, b lies interleaved: [k / group, n, group].
A vector unit takes one row, an element (or group) of a in all lanes; a tile unit as many rows as its tiles.

Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2 (VFMADD231PS, VPDPBUSD,
VDPBF16PS, VFMADD231PH, TDPBSSD, TDPBF16PS); Intel 64 and IA-32 Optimization Reference Manual, chapters 20
and 22.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class DotUnit:
    """One instruction.

    a, b, acc: elements (i8: signed, ui8: unsigned). group: neighbouring k summed in one lane. rows, columns,
    depth: of the part of a product that one instruction does. registers: how many hold accumulators and
    operands. intrinsic: LLVM's name. flags: what /proc/cpuinfo calls the feature. run: how many k at most it
    sums before the sums are added up in f32 (0: all of them, its sums are as wide as they need to be).
    """

    name: str
    a: str
    b: str
    acc: str
    group: int
    rows: int
    columns: int
    depth: int
    registers: int
    intrinsic: str
    flags: tuple[str, ...]
    run: int = 0

    @property
    def tiles(self) -> bool:
        """Whether it works on tile registers rather than vectors."""
        return self.rows > 1

    def fills(self, k: int) -> bool:
        """Whether k, a multiple of `group`, is enough for the instructions to be worth their trouble."""
        return 4 * k >= self.depth

    def parts_of(self, k: int) -> tuple[int, int]:
        """How a tile unit cuts k, a multiple of `group`: the depth of all parts but the last, and that of the
        last where it is another one (else 0), which starts anew with tiles of its own shape."""
        depths = range(self.depth, 0, -self.group)
        even = next(depth for depth in depths if k % depth == 0)
        least = -(-k // self.depth)
        return (even, 0) if k // even <= least + 2 else (self.depth, k % self.depth)

    def unfolds(self, channels: int, taps: int) -> bool:
        """Whether a tile unit multiplies `taps` neighbouring positions of an image of few channels, each in
        whole groups, as one k."""
        k = -(-channels // self.group) * self.group * taps
        return channels <= 2 * self.group and self.fills(k) and not self.parts_of(k)[1]

    def run_of(self, k: int | None) -> int:
        """How many of k products are summed before the sums are added up in f32: 0 where all are, or where no
        run is long enough to pay for that."""
        runs = range(self.run, max(1, self.run // 2) - 1, -1)
        return 0 if k is None or not self.run else next((run for run in runs if k % run == 0), 0)


#: From the least to the most able.
UNITS = (
    DotUnit("avx2-fma", "f32", "f32", "f32", 1, 1, 8, 1, 16, "llvm.fma.v8f32", ("avx2", "fma")),
    DotUnit("avx512-fma", "f32", "f32", "f32", 1, 1, 16, 1, 32, "llvm.fma.v16f32", ("avx512f",)),
    DotUnit(
        *("avx512-vnni", "ui8", "i8", "i32", 4, 1, 16, 4, 32),
        *("llvm.x86.avx512.vpdpbusd.512", ("avx512f", "avx512_vnni")),
    ),
    DotUnit(
        *("avx512-bf16", "bf16", "bf16", "f32", 2, 1, 16, 2, 32),
        *("llvm.x86.avx512bf16.dpbf16ps.512", ("avx512f", "avx512_bf16")),
    ),
    # Sums of runs in f16 are off by 1.5e-4 sqrt(run) of them, 6e-4 for 16: twice what rounding the factors to
    # f16 costs, a quarter of what rounding them to bf16 does. Moving them to f32 takes a third of the time.
    DotUnit(
        *("avx512-fp16", "f16", "f16", "f16", 1, 1, 32, 1, 32),
        *("llvm.fma.v32f16", ("avx512f", "avx512_fp16"), 16),
    ),
    DotUnit(
        *("amx-int8", "i8", "i8", "i32", 4, 16, 16, 64, 8),
        *("llvm.x86.tdpbssd", ("amx_tile", "amx_int8")),
    ),
    DotUnit(
        *("amx-bf16", "bf16", "bf16", "f32", 2, 16, 16, 32, 8),
        *("llvm.x86.tdpbf16ps", ("amx_tile", "amx_bf16")),
    ),
)


def units_of(flags: Iterable[str]) -> tuple[DotUnit, ...]:
    """The units of a machine that shows these flags in /proc/cpuinfo."""
    have = set(flags)
    return tuple(unit for unit in UNITS if have.issuperset(unit.flags))
