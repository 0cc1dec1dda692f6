"""How far a compiled model is from another one, and the choice of a precision that an error budget allows."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drystone import machine
from drystone.dtypes import Array
from drystone.errors import UserError

if TYPE_CHECKING:
    from drystone.runtime.fitted import Fitted

#: What is tried for an error budget, the fastest first; "f32" is the reference.
_TRIED = ("bf16", "fp16")


class Call(NamedTuple):
    """The arguments of a call."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]


def choose(
    build: "Callable[[str], Fitted]",
    allowed: float,
    compute: str | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> "Fitted":
    """The model that `build` makes for the fastest precision whose relative L2 error on a call of these
    arguments, against the one for "f32", is at most `allowed`. compute: the only one to be tried, if any.

    Raises UserError where there are no arguments, the machine cannot run the model, or the precision asked
    for exceeds the budget.
    """
    if not 0 <= allowed < math.inf:
        raise UserError(f"Budget(error={allowed!r}) is no error", hint="give a number such as 0.01")
    if not args and not kwargs:
        raise UserError(
            "Budget(error=...) needs example inputs to measure the error on",
            hint="give those of a call: compile(model, (x,), ..); an exported program may carry its own",
        )
    reference = build("f32")
    if lacking := machine.missing_features(reference.manifest.required):
        raise UserError(
            f"an error is measured by running the model, and this machine lacks {', '.join(lacking)}",
            hint="leave Budget(error=...) out and choose with Options(compute=...)",
        )
    for precision in [compute] if compute else _TRIED:
        made = build(precision)
        error = difference(made, reference, args, kwargs)
        if error <= allowed:
            return made
        if compute:
            raise UserError(
                f"in {precision} the outputs are off by {error:.1e} (relative L2), {allowed:g} is allowed",
                hint='raise Budget(error=...), or take Options(compute="f32")',
            )
    return reference


def difference(made: "Fitted", reference: "Fitted", args: Sequence[Any], kwargs: Mapping[str, Any]) -> float:
    """The largest relative L2 error of any floating-point output of one compiled model against another's;
    infinite where one is not finite. Both start from their initial states, and are left there."""
    outputs = []
    for model in (made, reference):
        model.reset()
        given = model.execute(model.leaves(args, kwargs), threads=model.threads)
        outputs.append([numbers(a, leaf.dtype) for a, leaf in zip(given, model.outputs, strict=True)])
        model.reset()
    pairs = ((a, b) for a, b in zip(*outputs, strict=True) if a.dtype.kind in "fc")
    return max((_relative(a, b) for a, b in pairs), default=0.0)


def numbers(array: Array, dtype: str) -> Any:
    """An output's real or complex numbers at their widest; others as they are."""
    if dtype == "bf16":
        return (array.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    if dtype.startswith("complex"):
        return array.astype(np.complex128)
    return array.astype(np.float64) if dtype.startswith("f") else array


def distance(got: Any, want: Any) -> float:
    """How far an array is from another one: the relative L2 error of real and complex numbers, the part of
    all elements that differ for others; infinite where shapes differ or an error is not finite."""
    a, b = np.asarray(got), np.asarray(want)
    if a.shape != b.shape:
        return math.inf
    if np.issubdtype(a.dtype, np.inexact) or np.issubdtype(b.dtype, np.inexact):
        wide = np.complex128 if np.iscomplexobj(a) or np.iscomplexobj(b) else np.float64
        return _relative(a.astype(wide), b.astype(wide))
    return float(np.mean(a != b)) if a.size else 0.0


def _relative(a: Any, b: Any) -> float:
    norm = float(np.linalg.norm(b))
    error = float(np.linalg.norm(a - b)) / (norm or 1.0)
    return error if math.isfinite(error) else math.inf
