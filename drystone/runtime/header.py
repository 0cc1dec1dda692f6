"""The C header of an artifact: how to call the model without Python."""

from collections.abc import Sequence

from drystone.runtime.manifest import Leaf, Manifest

_TYPES = {
    "f32": "float",
    "f64": "double",
    "f16": "uint16_t (IEEE half)",
    "bf16": "uint16_t (bfloat16)",
    "i64": "int64_t",
    "i32": "int32_t",
    "i16": "int16_t",
    "i8": "int8_t",
    "ui8": "uint8_t",
    "i1": "uint8_t (0 or 1)",
    "complex<f32>": "float[2]",
    "complex<f64>": "double[2]",
}


def _leaf(kind: str, number: int, leaf: Leaf) -> str:
    shape = " x ".join(str(n) for n in leaf.shape) or "1"
    return f" *   {kind}[{number}] {leaf.name}: {_TYPES[leaf.dtype]}, {shape}"


def _array(name: str, values: Sequence[int], kind: str = "uint64_t") -> str:
    rows = [", ".join(map(str, values[i : i + 8])) for i in range(0, len(values), 8)]
    body = ",\n    ".join(rows) or "0"
    return f"static const {kind} {name}[] = {{\n    {body}}};"


def described(manifest: Manifest) -> list[str]:
    """The comment that says what a call takes and gives."""
    leaves = [
        *(_leaf("inputs", i, leaf) for i, leaf in enumerate(manifest.inputs)),
        *(_leaf("outputs", i, leaf) for i, leaf in enumerate(manifest.outputs)),
        *(_leaf("states", i, leaf) for i, leaf in enumerate(manifest.states)),
    ]
    names = [
        f" *   symbols[{i}] {name}: {low} to {high}"
        for i, (name, (low, high)) in enumerate(sorted(manifest.symbols.items()))
    ]
    return [
        "/* A model compiled by drystone. Target: " + manifest.target,
        " *",
        " * Every buffer is contiguous, row-major and aligned to 64 bytes.",
        *leaves,
        *names,
        " */",
    ]


def arrays(prefix: str, manifest: Manifest) -> list[str]:
    """Bytes of inputs and outputs, as arrays in C."""
    return [
        _array(f"{prefix}_input_bytes", manifest.sizes(manifest.inputs)),
        _array(f"{prefix}_output_bytes", manifest.sizes(manifest.outputs)),
    ]


def _pages(manifest: Manifest) -> list[int]:
    windows = () if manifest.streaming is None else manifest.streaming.windows
    sizes, slots = manifest.sizes(manifest.weights), {slot for slot, *_ in windows}
    return [-(-size // 4096) if slot in slots else 0 for slot, size in enumerate(sizes)]


def header(manifest: Manifest, data_start: int, offsets: Sequence[int]) -> str:
    """The text of model.h.

    data_start: bytes before the data part of weights.safetensors; offsets: of the weights within it.
    """
    bounds = [manifest.symbols[name] for name in sorted(manifest.symbols)]
    lines = [
        *described(manifest),
        "#ifndef DRYSTONE_MODEL_H",
        "#define DRYSTONE_MODEL_H",
        "#include <stdint.h>",
        "",
        f"#define DRYSTONE_ARENA_BYTES {manifest.arena}u",
        f"#define DRYSTONE_INPUTS {len(manifest.inputs)}",
        f"#define DRYSTONE_OUTPUTS {len(manifest.outputs)}",
        f"#define DRYSTONE_STATES {len(manifest.states)}",
        f"#define DRYSTONE_WEIGHTS {len(manifest.weights)}",
        "",
        "/* Start of each of drystone_call.weights in the file weights.safetensors. */",
        _array("drystone_weight_offsets", [data_start + offset for offset in offsets]),
        _array("drystone_initial_states", list(manifest.initial)),
        "/* Pages of 4096 bytes of each weight of which rows come when they are read (see held), else 0. */",
        _array("drystone_window_pages", _pages(manifest)),
        "/* Bytes of each input, output and state at the upper bounds of the symbols. */",
        *arrays("drystone", manifest),
        _array("drystone_state_bytes", manifest.sizes(manifest.states)),
        _array("drystone_symbol_bounds", [high for _, high in bounds], "int64_t"),
        CALLS,
        "#endif",
        "",
    ]
    return "\n".join(lines)


#: How the code is called.
CALLS = """
struct drystone_call {
    const void *const *weights;
    void *arena;
    const void *const *inputs;
    void *const *outputs;
    void *const *states;      /* updated in place; first values: weights[drystone_initial_states[i]] */
    const int64_t *symbols;   /* the dynamic sizes of this call */
    int64_t *profile;         /* NULL, or start and end in ns of every kernel call */
    int64_t threads;          /* how many of the pool's threads take part; 0: all */
    int64_t *progress;        /* NULL, or gets the number of the kernel call that runs (where weights come
                               * and go) */
    int64_t mapped;           /* 1: the weights are a shared mapping of a file; pages of those that are not
                               * needed for now are given back (madvise) */
    int64_t file;             /* a descriptor of the file that rows of weights with windows are read from, */
    const int64_t *places;    /* where each weight starts in it, */
    uint8_t *const *held;     /* and NULL, or for each weight NULL or, where it has a window, bytes for its
                               * pages of 4096 bytes, 0 at first; weights[i] is then a private mapping of
                               * nothing (MAP_PRIVATE | MAP_ANONYMOUS) with room for all of them, which
                               * belongs to one call at a time */
    int64_t *read;            /* NULL, or where to add the bytes that were read */
};

#ifdef __cplusplus
extern "C" {
#endif
/* A pool of `threads` threads, the caller counted; NULL where it cannot be made. If `pinned` is not 0 each of
 * them stays on a core of its own, of those that the caller may use now; the caller while it runs a model.
 * Models of one drystone version can share a pool, as long as the library that made it stays loaded. */
void *drystone_pool_create(int32_t threads, int32_t pinned);
void drystone_pool_destroy(void *pool);
/* Run the model with the pool, or on the calling thread alone where it is NULL. 0, or 1 + the failed check.
 * A pool serves one call at a time; calls with different pools and arenas may run at once. */
int32_t drystone_run(void *pool, const struct drystone_call *call);
#ifdef __cplusplus
}
#endif
"""
