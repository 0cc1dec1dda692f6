"""Running kernels given as MLIR text: through the tile program's meaning, and lowered to machine code."""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from drystone.codegen import families, interpret
from drystone.codegen.tile import TileProgram
from drystone.dtypes import DTYPES
from drystone.ir.context import new_context
from drystone.mlir import ir, parse
from drystone.targets.cpu import NAMED
from tests.elements import element
from tests.exec.kernels import Compiled, compiled

TARGET = next(target for target in NAMED if target.name == "cpu:avx512")


@cache
def shared_context() -> ir.Context:
    """One context for all tests of a file."""
    return new_context()


@lru_cache(maxsize=1)
def program_of(text: str, target: Any = TARGET) -> TileProgram | None:
    """The tile program the families make of the only function in `text`."""
    module = parse(text, shared_context())
    (kernel,) = module.body.operations
    return families.tile_program_of(kernel, target)


@lru_cache(maxsize=1)
def machine_code(text: str) -> Compiled:
    """The kernel's code; of the last one, as tests call a kernel several times."""
    program = program_of(text)
    assert program is not None, "no family takes this kernel"
    return compiled(program)


def interpreted(
    text: str,
    inputs: Sequence[Any],
    outputs: Sequence[tuple[tuple[int, ...], str]],
    scalars: Sequence[Any] = (),
) -> list[Any]:
    """The results of the kernel by the meaning of its tile program; outputs start as garbage."""
    program = program_of(text)
    assert program is not None, "no family takes this kernel"
    results = [np.full(shape, 77, DTYPES[dtype]) for shape, dtype in outputs]
    interpret.run(program, [*inputs, *results], scalars)
    return results


def check(
    text: str,
    inputs: Sequence[Any],
    expected: Sequence[Any],
    scalars: Sequence[Any] = (),
    tolerance: float = 2e-6,
) -> None:
    """Hold a kernel against what it should give: by its tile program's meaning and as machine code, where
    every unit of the grid is also run by itself."""
    compare(
        interpreted(text, inputs, [(e.shape, element(e)) for e in expected], scalars), expected, tolerance
    )
    call = machine_code(text)
    for singly in (False, True):
        results = [np.full(e.shape, 77, e.dtype) for e in expected]
        call([*inputs, *results], scalars, singly=singly)
        compare(results, expected, tolerance)


def compare(results: Sequence[Any], expected: Sequence[Any], tolerance: float) -> None:
    """Floats to a tolerance relative to the largest, everything else exactly."""
    for result, wanted in zip(results, expected, strict=True):
        if wanted.dtype.kind != "f":
            np.testing.assert_array_equal(result, wanted)
            continue
        size = np.abs(wanted[np.isfinite(wanted)]).max(initial=0)
        np.testing.assert_allclose(result, wanted, rtol=tolerance, atol=tolerance * size)


def relative_error(got: Any, want: Any) -> float:
    """How far a torch tensor is off, over all its elements (L2), in float64."""
    return float((got.double() - want.double()).norm() / want.double().norm())


def generic(
    ins: Sequence[str],
    outs: Sequence[str],
    maps: Sequence[str],
    iterators: str,
    body: str,
    *,
    scalars: str = "",
    fills: Sequence[str] = (),
    captured: Sequence[str] = (),
) -> str:
    """The text of a kernel around one linalg.generic.

    ins, outs: tensor types such as "4x?xf32"; maps: one per operand, such as "(d0, d1) -> (d1)"; iterators:
    "pr" is parallel, reduction; body: its operations over %a0, %a1, ... and %o0, ...; fills: a number for
    each result that starts from one; captured: further inputs, %g0, ..., that only the body names.
    """
    given = [f"%a{i}: tensor<{kind}>" for i, kind in enumerate(ins)]
    given += [f"%g{i}: tensor<{kind}>" for i, kind in enumerate(captured)]
    given += [f"%i{i}: tensor<{kind}>" for i, kind in enumerate(outs)]
    kinds = [kind.rsplit("x", 1)[-1] for kind in (*ins, *outs)]
    lines, starts = [], [f"%i{i}" for i in range(len(outs))]
    for i, number in enumerate(fills):
        kind = outs[i].rsplit("x", 1)[-1]
        lines.append(f"%n{i} = arith.constant {number} : {kind}")
        fill = f"linalg.fill ins(%n{i} : {kind}) outs(%i{i} : tensor<{outs[i]}>) -> tensor<{outs[i]}>"
        lines.append(f"%f{i} = {fill}")
        starts[i] = f"%f{i}"
    names = [f"%a{i}" for i in range(len(ins))], starts
    typed = [
        f"{', '.join(values)} : {', '.join(f'tensor<{k}>' for k in types)}"
        for values, types in zip(names, (ins, outs), strict=True)
    ]
    arguments = [f"%x{i}: {kind}" for i, kind in enumerate(kinds[: len(ins)])]
    arguments += [f"%o{i}: {kind}" for i, kind in enumerate(kinds[len(ins) :])]
    results = ", ".join(f"tensor<{k}>" for k in outs)
    walks = ", ".join(f'"{"parallel" if c == "p" else "reduction"}"' for c in iterators)
    listed = ", ".join(f"affine_map<{m}>" for m in maps)
    returned = ", ".join(f"%r#{i}" for i in range(len(outs)))
    parameters = ", ".join([*given, *([scalars] if scalars else [])])
    reads = f"ins({typed[0]}) " if ins else ""
    return f"""
func.func private @k({parameters}) -> ({results}) {{
  {chr(10).join(lines)}
  %r:{len(outs)} = linalg.generic {{indexing_maps = [{listed}], iterator_types = [{walks}]}}
    {reads}outs({typed[1]}) {{
  ^bb0({", ".join(arguments)}):
{body}
  }} -> ({results})
  return {returned} : {results}
}}"""
