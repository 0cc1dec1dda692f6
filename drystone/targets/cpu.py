"""x86-64 CPUs: the named machines to build for, and the one drystone runs on."""

from dataclasses import replace

from drystone import machine
from drystone.errors import UserError
from drystone.targets.target import CpuTarget, Level

_AVX2_FLAGS = ("sse4_2", "popcnt", "avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "movbe", "abm")
_AVX2_LLVM = ("sse4.2", "popcnt", "avx", "avx2", "fma", "f16c", "bmi", "bmi2", "movbe", "lzcnt")
_AVX512_FLAGS = (*_AVX2_FLAGS, "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl")
_AVX512_LLVM = (*_AVX2_LLVM, "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl")
_BF16_FLAGS = (
    *_AVX512_FLAGS,
    *("avx512ifma", "avx512vbmi", "avx512_vbmi2", "avx512_vnni", "avx512_bitalg", "avx512_vpopcntdq"),
    *("gfni", "vaes", "vpclmulqdq", "avx512_bf16"),
)
_BF16_LLVM = (
    *_AVX512_LLVM,
    *("avx512ifma", "avx512vbmi", "avx512vbmi2", "avx512vnni", "avx512bitalg", "avx512vpopcntdq"),
    *("gfni", "vaes", "vpclmulqdq", "avx512bf16"),
)
_SPR_FLAGS = (*_BF16_FLAGS, "avx_vnni", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16")
_SPR_LLVM = (*_BF16_LLVM, "avxvnni", "avx512fp16", "amx-tile", "amx-int8", "amx-bf16")

#: The named machines, from the least to the most able. Code for a named machine is built elsewhere, so its
#: number of threads is only what a call gets that does not say; one call may use any number.
NAMED = (
    CpuTarget(
        name="cpu:avx2",
        llvm_cpu="haswell",
        features=tuple(f"+{name}" for name in _AVX2_LLVM),
        required=_AVX2_FLAGS,
        vector_bits=256,
        registers=16,
        l1=32 * 2**10,
        l2=256 * 2**10,
        levels=(Level("ram"),),
        threads=2,
    ),
    CpuTarget(
        name="cpu:avx512",
        llvm_cpu="skylake-avx512",
        # LLVM's tuning for these CPUs shies from full registers; the kernels are laid out for them.
        features=(*(f"+{name}" for name in _AVX512_LLVM), "-prefer-256-bit"),
        required=_AVX512_FLAGS,
        vector_bits=512,
        registers=32,
        l1=32 * 2**10,
        l2=2**20,
        levels=(Level("ram"),),
        threads=2,
    ),
    CpuTarget(
        name="cpu:zen4",
        llvm_cpu="znver4",
        # Machines of other makers that have all of `required` lack SSE4a.
        features=(*(f"+{name}" for name in _BF16_LLVM), "-prefer-256-bit", "-sse4a"),
        required=_BF16_FLAGS,
        vector_bits=512,
        registers=32,
        l1=32 * 2**10,
        l2=2**20,
        levels=(Level("ram"),),
        threads=2,
    ),
    CpuTarget(
        name="cpu:spr",
        llvm_cpu="sapphirerapids",
        features=(*(f"+{name}" for name in _SPR_LLVM), "-prefer-256-bit"),
        required=_SPR_FLAGS,
        vector_bits=512,
        registers=32,
        l1=48 * 2**10,
        l2=2 * 2**20,
        levels=(Level("ram"),),
        threads=2,
    ),
)


def detect() -> CpuTarget:
    """This machine as a target named "cpu": the most able named machine whose features it all has, with its
    own caches and cores.

    Raises UserError where the CPU has less than the least named machine.
    """
    able = [target for target in NAMED if not machine.missing_features(target.required)]
    if not able:
        lacking = ", ".join(machine.missing_features(NAMED[0].required))
        raise UserError(
            f"this CPU ({machine.cpu_name()}) lacks {lacking}",
            hint="drystone runs on x86-64 CPUs with AVX2 and FMA (2013 and later); to build for another "
            "machine name it: " + ", ".join(f'target="{target.name}"' for target in NAMED),
        )
    caches = machine.cache_sizes()
    return replace(
        able[-1],
        name="cpu",
        l1=caches.get(1, able[-1].l1),
        l2=caches.get(2, able[-1].l2),
        threads=machine.usable_cores(),
    )
