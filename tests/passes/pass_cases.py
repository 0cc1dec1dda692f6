"""Programs of the tests of passes: from text, with random weights and inputs of a fixed seed.

A file `<pass>.mlir` holds cases: `// case: name`, the module before, `// after:`, the module after. A line
`// states: k, v` says that the last arguments of `@main` are states of these names. Run this file to write
the modules after anew; then read the difference.
"""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from drystone import mlir, targets
from drystone.caches import Cache, Coded, Heads
from drystone.dtypes import Array
from drystone.ir import formats
from drystone.ir.context import new_context
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoded import encoding_of
from drystone.ir.encoding import encode, part_key
from drystone.ir.interpreter import run as interpret
from drystone.ir.pieces import Grid, Span
from drystone.ir.program import Program, Signature, TensorSpec, WeightStore
from drystone.passes import (
    EncodeCaches,
    Left,
    Pass,
    Prompt,
    QuantizeConvolutions,
    QuantizeProducts,
    QuantizeWeights,
    RoundActivations,
    Rounding,
    SkipZeros,
    SparsifyWeights,
    pipeline,
    run,
)
from drystone.passes.choose_precision import ChoosePrecision
from drystone.passes.integers.to_integers import ToIntegers
from drystone.passes.patching.patch import Patch
from drystone.passes.pruning import Blocks, Groups, Pruning
from drystone.passes.quantizing.multiply_codes import MultiplyCodes
from drystone.passes.quantizing.ranges import Extremes, Range, Tails
from drystone.passes.rounding import Seen
from drystone.passes.sparsifying.shrink_channels import Removal, ShrinkChannels
from drystone.passes.spell_out import SpellOut

FOLDER = Path(__file__).parent
TARGET = targets.resolve("cpu:avx512")
PASSES: dict[str, Pass] = {each.name: each for each in pipeline(TARGET)}
PASSES["choose-precision"] = ChoosePrecision(targets.resolve("cpu:zen4"), "bf16")
PASSES["quantize-products"] = QuantizeProducts(((".*", "int8"),))
PASSES["quantize-products-static"] = QuantizeProducts(
    ((".*", "int8"),),
    {"w": Extremes(np.full(8, -3.0, np.float32), np.full(8, 3.5, np.float32))},
    dynamic=((".*", False),),
    tails={"w": Tails(*np.zeros((4, 2)))},
)
PASSES["round-activations"] = RoundActivations(((".*", True),), targets.resolve("cpu:zen4"))
PASSES["quantize-weights"] = QuantizeWeights(
    ((".*", Rounding(formats.integers(8, 16))),),
    {"w": Seen.of(np.random.default_rng(2).standard_normal((64, 16)) * np.arange(1, 17))},
)
PASSES["skip-zeros"] = SkipZeros(((".*", Left(0)),))
PASSES["skip-zeros-prompt"] = SkipZeros((("down", Left(0.5, prompt=Prompt())),))
PASSES["sparsify-weights"] = SparsifyWeights(
    (("w|c", Pruning(Blocks(0.05))), (".*", Pruning(Groups(15, 16)))),
    {"w": Seen.of(np.random.default_rng(2).standard_normal((64, 16)) * np.arange(1, 17))},
    tables=True,
)
PASSES["shrink-channels"] = ShrinkChannels(((".*", Removal(0.25)),))
RANGES = {"a 0": 4, "w 0": 4, "v 2": 4, "d 0": 40, "v 0": 1.5, "u 0": 6, "u 2": 6, "e 0": 10}
PASSES["quantize-convolutions"] = QuantizeConvolutions(
    ((".*", "int8"),),
    {name: Range(-peak, peak) for name, peak in RANGES.items()},
    targets.resolve("cpu:zen4"),
)
PASSES["spell-out"] = SpellOut()
PASSES["to-integers"] = ToIntegers(
    {
        "argument 0": Range(-3, 4),
        "5.0 dry.conv": Range(0, 40),
        "6.0 linalg.generic": Range(-1, 1),
        "7.0 dry.conv": Range(-9, 45),
        "3.0 dry.matmul": Range(-9, 9),
        "5.0 linalg.generic": Range(0, 90),
        "2.0 dry.norm": Range(-5, 5),
        "3.0 dry.softmax": Range(0, 1),
    }
)
PASSES["multiply-codes"] = MultiplyCodes(targets.resolve("cpu:zen4"))
PASSES["encode-caches"] = EncodeCaches(((".*", "int8"),))
PASSES["encode-caches-heads"] = EncodeCaches(((".*keys", Heads({(0, 2): "int8"})),))
GROUPED = Cache(Coded(8, by="channel", group=16), Coded(8, group=16), window=16)
PASSES["encode-caches-grouped"] = EncodeCaches(((".*", GROUPED),))
PASSES["patch"] = Patch((Span(0, 1, Grid((2, 1))),))
PASSES["patch-features"] = Patch((Span(0, 2, Grid((2,)), summed=True, features=True),))
PASSES["patch-columns"] = Patch((Span(0, 0, Grid((3,)), features=True),))
#: Passes that round on purpose, and how much.
TOLERANCE = {
    "choose-precision": 2e-2,
    "quantize-products": 1e-1,
    "quantize-products-static": 2e-1,
    "round-activations": 1e-1,
    "quantize-weights": 1e-1,
    "sparsify-weights": 0.4,
    # A channel is gone: test_shrink_channels.py compares with its zeros.
    "shrink-channels": np.inf,
    "quantize-convolutions": 0.3,
    "multiply-codes": 1e-5,
    "encode-caches": 3e-2,
    "encode-caches-grouped": 3e-2,
    "encode-caches-heads": 3e-2,
    "to-integers": 0.3,
}
#: What a dynamic dimension is when a program runs.
DYNAMIC = 3


def program_of(text: str) -> Program:
    """A program from the text of its module: random weights of the types its `dry.weight` operations have."""
    module = mlir.parse(text, new_context())
    weights = WeightStore()
    random = np.random.default_rng(0)
    main = None
    for op in mlir.walk(module):
        if op.operation.name == "dry.weight" and op.operation.attributes["key"].value not in weights:
            kind = op.operation.results[0].type
            for part, stored in encode(numbers(kind, random), encoding_of(kind)).items():
                weights.add(part_key(op.operation.attributes["key"].value, part), stored)
        if op.operation.name == "func.func" and main is None:
            main = op
    assert main is not None
    kind = main.operation.attributes["function_type"].value
    inputs, outputs = (
        tuple(TensorSpec(f"{name}{k}", str(each.element_type), _shape(each)) for k, each in enumerate(kinds))
        for name, kinds in (("x", kind.inputs), ("y", kind.results))
    )
    named = re.search(r"// states: (.*)", text)
    names = named[1].split(", ") if named else []
    states = [
        replace(one, name=name) for one, name in zip(inputs[len(inputs) - len(names) :], names, strict=True)
    ]
    for state, held in zip(states, list(kind.inputs)[len(inputs) - len(names) :], strict=True):
        weights.add(state.name, numbers(held, random))
    inputs, outputs = (each[: len(each) - len(names)] for each in (inputs, outputs))
    symbols = {"n": (1, 8)}
    signature = Signature(inputs, outputs, None, None, symbols, tuple(states), tuple(names))
    return Program(module, weights, signature)


def _shape(kind: Any) -> tuple[int | str, ...]:
    return tuple("n" if kind.is_dynamic_dim(d) else kind.get_dim_size(d) for d in range(kind.rank))


def numbers(kind: Any, random: np.random.Generator) -> Array:
    """Random numbers of a tensor type: normal, small integers, or truth values."""
    shape = [DYNAMIC if n == "n" else n for n in _shape(kind)]
    dtype = np.dtype(numpy_dtype(str(kind.element_type)))
    if dtype.kind == "f":
        return np.asarray(random.standard_normal(shape), dtype)
    return np.asarray(random.integers(0, 2, shape), dtype)


def inputs_of(program: Program) -> list[Array]:
    """Random inputs of a program, and the first values of its states."""
    random = np.random.default_rng(1)
    main = next(op for op in program.module.body.operations if op.operation.name == "func.func")
    kinds = list(main.operation.attributes["function_type"].value.inputs)[: len(program.signature.inputs)]
    states = [program.weights[key] for key in program.signature.initial]
    return [*(numbers(each, random) for each in kinds), *states]


def outputs_of(program: Program) -> list[Array]:
    """What the interpreter makes of random inputs."""
    return interpret(program, inputs_of(program))[: len(program.signature.outputs)]


def check_same(before: list[Array], after: list[Array], tolerance: float = 2e-5) -> None:
    """Equal outputs, up to rounding in another order."""
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def cases(name: str) -> list[tuple[str, str, str]]:
    """(name, text before, text after) of every case in the file of a pass."""
    found = []
    for part in (FOLDER / f"{name.replace('-', '_')}.mlir").read_text().split("// case: ")[1:]:
        title, _, rest = part.partition("\n")
        before, _, after = rest.partition("// after:\n")
        found.append((title.strip(), before.strip() + "\n", after.strip() + "\n"))
    return found


def after(name: str, text: str) -> tuple[Program, str]:
    """The program after a pass, and its text."""
    program = program_of(text)
    run(program, (PASSES[name],))
    return program, mlir.text(program.module).strip() + "\n"


def update(name: str) -> None:
    """Write the modules after the pass anew."""
    parts = [f"// case: {title}\n{text}\n// after:\n{after(name, text)[1]}" for title, text, _ in cases(name)]
    (FOLDER / f"{name.replace('-', '_')}.mlir").write_text("\n".join(parts))


if __name__ == "__main__":
    for each in sys.argv[1:] or PASSES:
        update(each)
