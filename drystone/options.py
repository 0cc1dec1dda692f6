"""What the user may spend, and how the compiler is to work: plain data for `drystone.compile`."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from drystone.errors import UserError, meant

_Kind = TypeVar("_Kind")

#: What is to be done where calibration is missing.
CALLS = "give calibration=[(x,), ..], the inputs of some calls (on the command line: --calibration calls.npz)"

_UNITS = {
    "": 1,
    "B": 1,
    "KB": 1 << 10,
    "KIB": 1 << 10,
    "MB": 1 << 20,
    "MIB": 1 << 20,
    "GB": 1 << 30,
    "GIB": 1 << 30,
}


def byte_count(value: int | str) -> int:
    """Bytes from a number or from text such as "256KB", "1.5 MB" (units of 1024); UserError otherwise."""
    if isinstance(value, int) and value >= 0:
        return value
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", str(value))
    if match is None or match[2].upper() not in _UNITS:
        raise UserError(f"{value!r} is not a number of bytes", hint='write it as 262144, "256KB" or "8MB"')
    return int(float(match[1]) * _UNITS[match[2].upper()])


@dataclass(frozen=True)
class Budget:
    """Limits the compiled model must keep.

    ram: in bytes or as text ("256KB", "8MB"), for all that the model has in memory while it runs: its
    activations, its states, and its weights or, where those do not fit beside them, as much of them as is
    there at once; the others are read from the model's file in time for the kernels that need them. Or limits
    of the target's memory levels by name ({"ram": "256KB"}), for the activations that are planned in them.
    weights: for all weights as they are stored. bits: what a weight takes on the mean, scales and everything
    else counted, of those whose format, or zeros, are to be chosen (`quantize="auto"`, `sparsify="auto"`).
    error: the largest relative L2 error of any output on the example inputs, against the same model compiled
    in f32; where a shorter element keeps it, products are computed in that one. Where formats or zeros are
    chosen it is that of these, on the calls of the calibration.
    """

    ram: int | str | Mapping[str, int | str] | None = None
    weights: int | str | None = None
    error: float | None = None
    bits: float | None = None


@dataclass(frozen=True)
class Checkpoint:
    """Where a model's weights come from, as they were quantized there.

    path: a .gguf file, a .safetensors file, or a folder with such files and the config.json that says how
    they are quantized. names: what the checkpoint calls the model's tensors, {"layers.*.attn.q.weight":
    "blk.*.attn_q.weight"}: every * stands for the same text on both sides, and the first pattern that fits
    counts; names that no pattern fits are the model's own. "llama" is a ready map of transformers' names to
    those of GGUF files, and is found by itself where a file's architecture is known: such names are looked up
    as the file has them. strict: a tensor of the checkpoint that the model takes nothing from is an error.
    """

    path: str | os.PathLike[str]
    names: Mapping[str, str] | str | None = None
    strict: bool = True


@dataclass(frozen=True)
class Options:
    """How the compiler works.

    threads: used unless a call says otherwise (None: the target's). pin: keep each on a core of its own (best
    where nothing else runs on them). plan_seconds: the memory planner's time limit. progress: show progress
    on a terminal when a step takes over a second. compute: what products of f32 are computed in: "f32"
    exactly, "bf16" with both factors rounded to bf16 and sums in f32, "fp16" with weights rounded to f16;
    None is "f32", or what `Budget(error=...)` allows. database: measurements (as in `Tune`) whose best
    schedules are taken where they know a kernel; nothing is measured.
    """

    threads: int | None = None
    plan_seconds: float = 5.0
    progress: bool = True
    compute: str | None = None
    pin: bool = False
    database: str | None = None


#: The element that products of f32 are held in, for each `Options.compute`; None: as they are.
ELEMENTS: Mapping[str, str | None] = {"f32": None, "bf16": "bf16", "fp16": "f16"}


def element_of(compute: str | None) -> str | None:
    """The element that products of f32 are to be held in. Raises UserError for a word that names none."""
    if compute is not None and compute not in ELEMENTS:
        known = ", ".join(f'"{name}"' for name in ELEMENTS)
        raise UserError(
            f"Options(compute={compute!r}) names no precision",
            hint=f"{meant(compute, ELEMENTS)}give one of {known}",
        )
    return None if compute is None else ELEMENTS[compute]


@dataclass(frozen=True)
class Tune:
    """How schedules are searched for. minutes and trials: the budget, whichever is spent first (None: no
    limit; not both). database: where measurements are kept, a file or an SQLAlchemy URL (None: tuning.db in
    drystone's cache folder). cluster: the address of a dask scheduler whose workers measure. trial_seconds: a
    schedule that is not compiled and timed by then counts as failed. seed: of the random part of the search.
    report: called at the end with what came of each kernel (`drystone.autotune.session.Tuned`).
    """

    minutes: float | None = 5.0
    trials: int | None = None
    database: str | None = None
    cluster: str | None = None
    trial_seconds: float = 30.0
    seed: int = 0
    report: Callable[[Sequence[Any]], None] | None = None

    def __post_init__(self) -> None:
        for name in ("minutes", "trials", "trial_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"Tune({name}={value!r}): a budget is above 0", hint=f"leave {name} out")
        if self.minutes is None and self.trials is None:
            raise UserError("Tune without minutes and trials would never end", hint="give one of them")


@dataclass(frozen=True)
class Quantize:
    """How weights are held, where more is to be said than a format's name.

    format: a name of docs/formats.md ("w4", "q4_k", ..), or an encoding of a weight [outputs, inputs]
    (`drystone.ir.formats` makes them); "int8" stands for products in bytes and takes nothing else; "auto" for
    the formats within a budget with which the model changes least. method: how numbers are rounded:
    "nearest", or some of "awq", "gptq", "rounding" and "bias" with + between them, which need calibration
    (docs/quantization.md); None: all of them where there is calibration, the last where there is a bias.
    group: how many inputs share a scale, for formats that have groups. integer: with "int8", for the whole
    model: nothing is computed with real numbers between its inputs and its outputs; needs calibration.
    activations: the bits that what is multiplied with the weight is rounded to when the model runs, 8 or None
    (not at all); "w4a8" stands for Quantize("w4", activations=8), and format None for weights as a checkpoint
    holds them. dynamic: with "int8", whether the scales of what weights are multiplied with are found for
    every row when the model runs (True), or fixed beforehand, one for a tensor (False, static; needs
    calibration); None: the faster of both where it is not less exact. ranges: the ends of static codes:
    "minmax" (the least and largest number of the calibration), "mse" (those with the least squared error), or
    a percentile such as 99.99 ("percentile").
    """

    format: Any = None
    method: str | None = None
    group: int | None = None
    integer: bool = False
    activations: int | None = None
    dynamic: bool | None = None
    ranges: str | float = "minmax"


@dataclass(frozen=True)
class Sparsify:
    """How weights are pruned, where more is to be said than a pattern or a level (docs/sparsity.md).

    pattern: "2:4" (of every 4 neighbouring inputs of an output 2 are left) or any other N:M; "16x16",
    blocks of so many outputs and inputs that are zero together; None: zeros anywhere; "auto": anywhere, at
    levels that are chosen for each weight, so that all together have `level`, or without one whatever zeros,
    or none, are best for each within a `Budget`; "channels" and "heads", outputs of weights that go with all
    that is computed of them: tensors are smaller. level: the part of the numbers, blocks, channels or heads
    that become 0, or go, between 0 and 1; N:M says it itself.
    method: which numbers become 0, or channels go, and what the others then are: "magnitude" (the smallest of
    every output), "layer-magnitude" (of a weight; not of channels), or "wanda" or "sparsegpt" (not of
    channels), which need calibration; each with "+refit" (not of channels), which does too, behind it. None:
    "wanda" where there is calibration, else "magnitude".
    """

    pattern: str | None = None
    level: float | None = None
    method: str | None = None


@dataclass(frozen=True)
class Skip:
    """What products leave out of what their weights are multiplied with (docs/sparsity.md).

    level: the part of these numbers, between 0 and 1, that becomes 0 when the model runs: the least, times
    what they meet, which calibration shows; 0: those alone that are 0 as it is (behind a ReLU). at: "gate",
    where a weight reads the results of another one times those of a gate: the gate's numbers, so that rows of
    both weights are left out; "inputs": what is multiplied with the weight itself; None: the gate where there
    is one. per: "row": each row of a call leaves out its own; "prompt": a call of many rows computes all, and
    fixes neurons that calls of one row leave out, those of all the weights around them: nothing needs to be
    calibrated, and `reset()` makes all neurons live. core: of a prompt: None: neurons stay by their squares
    in all of its rows (GRIFFIN: Dong et al. 2024); a part, such as 0.4: by how many rows have them among this
    part of their positive numbers, the largest (CoreInfer: Wang et al. 2024). window: where weights do not
    fit the budget, and rows of them come from the file as they are read: for how many calls a row stays that
    is not read (0 to 252; LLM in a flash: Alizadeh et al. 2023, section 3.1); None: they come as a whole,
    which needs less memory at once than rows that lie side by side do.
    """

    level: float
    at: str | None = None
    per: str = "row"
    core: float | None = None
    window: int | None = 4


#: A level of zeros (0.7), or a `Skip`.
Skipped = Any


#: A pattern of zeros ("2:4"), a level of zeros anywhere (0.9), or a `Sparsify`.
Zeroed = Any


#: A format's name, an encoding or a `Quantize`.
Format = Any


def formats_of(given: Format | Mapping[str, Format | None] | None) -> tuple[tuple[str, Quantize | None], ...]:
    """Pairs of a regular expression for weights' names and what the weight is to be held in, from
    `compile(..., quantize=)`. Raises UserError for what is no regular expression."""
    return tuple((pattern, _spelled_out(each)) for pattern, each in by_pattern("quantize", given))


def _spelled_out(each: Format | None) -> Quantize | None:
    """What a name, or an encoding, stands for."""
    if isinstance(each, Quantize | None):
        return each
    both = re.fullmatch(r"(w\d)a8", each) if isinstance(each, str) else None
    return Quantize(each) if both is None else Quantize(both[1], activations=8)


def by_pattern(what: str, given: Any) -> tuple[tuple[str, Any], ...]:
    """Pairs of a regular expression and what is given for it: for all names where no mapping says which.
    Raises UserError for what is no regular expression."""
    if given is None:
        return ()
    pairs = tuple(given.items()) if isinstance(given, Mapping) else ((".*", given),)
    for pattern, _ in pairs:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise UserError(
                f"{what}: {pattern!r} is no regular expression: {error}",
                hint=r'give one that matches whole names of weights, such as "layers\..*\.weight"',
            ) from None
    return pairs


def checkpoint_of(given: Checkpoint | str | os.PathLike[str] | None) -> Checkpoint | None:
    """The checkpoint that the user gave, or names by its path alone. Raises UserError for anything else."""
    if isinstance(given, str | os.PathLike):
        return Checkpoint(given)
    if given is None or isinstance(given, Checkpoint):
        return given
    raise UserError(
        f"checkpoint={given!r} is no path",
        hint='give checkpoint="model.gguf", a folder, or drystone.Checkpoint(path, names={..})',
    )


def chosen(given: _Kind | None, kind: type[_Kind]) -> _Kind:
    """What the user gave, or the kind's defaults for None. Raises UserError for anything else."""
    if given is None or isinstance(given, kind):
        return kind() if given is None else given
    name = kind.__name__
    examples = {"Budget": 'budget=drystone.Budget(ram="256KB")', "Tune": "tune=drystone.Tune(minutes=5)"}
    raise UserError(
        f"{name.lower()}={given!r} is no drystone.{name}",
        hint=f"give {examples.get(name, 'drystone.Options(...)')}",
    )
