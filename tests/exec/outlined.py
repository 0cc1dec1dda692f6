"""Runs programs written by hand in the outlined form: the code generator without the stages before it."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from drystone import mlir
from drystone.codegen import add_workspaces
from drystone.codegen.cpu.generate import generate
from drystone.codegen.cpu.jit import jit
from drystone.dtypes import DTYPES
from drystone.ir.buffers import buffers
from drystone.ir.context import new_context
from drystone.ir.program import Program, Signature, TensorSpec, WeightStore
from drystone.ir.steps import Step
from drystone.targets import resolve
from tests.elements import element

VOID = ctypes.c_void_p


def spec(text: str) -> TensorSpec:
    """ "n,8 f32" -> a TensorSpec."""
    shape, dtype = text.rsplit(" ", 1) if " " in text else ("", text)
    extents = [part.strip() for part in shape.split(",") if part.strip()]
    return TensorSpec(text, dtype, tuple(int(e) if e.isdigit() else e for e in extents))


class Model:
    """A compiled program: `model(*inputs)` gives its outputs, with symbols given by name; states in
    `states`."""

    def __init__(
        self,
        text: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        symbols: dict[str, tuple[int, int]] | None = None,
        states: Sequence[Any] = (),
        state_specs: Sequence[str] = (),
        weights: dict[str, Any] | None = None,
        order: Sequence[int] | None = None,
    ) -> None:
        store = WeightStore()
        for key, array in (weights or {}).items():
            store.add(key, array)
        signature = Signature(
            tuple(map(spec, inputs)),
            tuple(map(spec, outputs)),
            None,
            None,
            symbols or {},
            tuple(map(spec, state_specs)),
            tuple(store.add(f"state.{i}", np.array(state)) for i, state in enumerate(states)),
        )
        self.program = Program(mlir.parse(text, new_context()), store, signature)
        add_workspaces(self.program, resolve("cpu"))
        found = buffers(self.program)
        offsets, top = {}, 0
        for buffer in found.buffers.values():
            if buffer.kind == "arena":
                offsets[buffer.name] = top
                top += -(-buffer.size // 64) * 64
        names = [call.name for call in found.calls]
        names = [names[i] for i in order or range(len(names))]
        self.code = generate(self.program, [Step(name, offsets) for name in names], resolve("cpu"))
        self.compiled = jit(self.code)
        self.states = [np.array(state) for state in states]
        self.weights = [np.ascontiguousarray(store[key]) for key in self.code.weights]
        self.arena = np.full(top + 64, 0xAA, np.uint8)
        self.profile: Any = None
        self.status = 0

    def pool(self, threads: int, pinned: bool = False) -> int:
        """A new pool."""
        create = ctypes.CFUNCTYPE(VOID, ctypes.c_int32, ctypes.c_int32)(self.compiled.create)
        return create(threads, pinned) or 0

    def close(self, pool: int) -> None:
        """End a pool."""
        ctypes.CFUNCTYPE(None, VOID)(self.compiled.destroy)(pool)

    def __call__(
        self, *inputs: Any, pool: int | None = None, arena: Any = None, threads: int = 0, **symbols: int
    ) -> list[Any]:
        """One call with as many `threads` of the pool (0: all); `status` has its result."""
        arrays = [np.ascontiguousarray(x) for x in inputs]
        outs = []
        for out in self.program.signature.outputs:
            shape = [n if isinstance(n, int) else eval(n, {}, dict(symbols)) for n in out.shape]
            outs.append(np.zeros(shape, DTYPES[out.dtype]))
        arena = self.arena if arena is None else arena
        values = [symbols[name] for name in sorted(self.program.signature.symbols)]
        tables = [table(self.weights), table(arrays), table(outs), table(self.states)]
        numbers = (ctypes.c_int64 * max(1, len(values)))(*values)
        start = arena.ctypes.data
        call = (VOID * 8)(
            ctypes.addressof(tables[0]),
            start + -start % 64,
            *map(ctypes.addressof, tables[1:]),
            ctypes.addressof(numbers),
            None if self.profile is None else self.profile.ctypes.data,
            threads,
        )
        run = ctypes.CFUNCTYPE(ctypes.c_int32, VOID, VOID)(self.compiled.run)
        self.status = run(pool, ctypes.addressof(call))
        return outs


def table(arrays: Sequence[Any]) -> Any:
    """A C array of addresses."""
    return (VOID * max(1, len(arrays)))(*(array.ctypes.data for array in arrays))


def tensor_type(array: Any, dtype: str | None = None) -> str:
    """The type of a numpy array as a tensor."""
    return f"tensor<{''.join(f'{n}x' for n in array.shape)}{dtype or element(array)}>"


def call_of(
    kernel: str, inputs: Sequence[str], outputs: Sequence[str], scalars: Sequence[tuple[str, str]] = ()
) -> str:
    """`@main` that calls `@kernel` once: types of its inputs and outputs, (value, type) of its scalars."""
    arguments = ", ".join(f"%x{i}: {kind}" for i, kind in enumerate(inputs))
    lines = [f"%e{i} = tensor.empty() : {kind}" for i, kind in enumerate(outputs)]
    lines += [f"%n{i} = arith.constant {value} : {kind}" for i, (value, kind) in enumerate(scalars)]
    names = [
        f"%{letter}{i}"
        for letter, items in (("x", inputs), ("e", outputs), ("n", scalars))
        for i in range(len(items))
    ]
    kinds = ", ".join([*inputs, *outputs, *(kind for _, kind in scalars)])
    results = ", ".join(outputs)
    body = "\n  ".join(lines)
    return f"""
func.func @main({arguments}) -> ({results}) {{
  {body}
  %r:{len(outputs)} = call @{kernel}({", ".join(names)}) : ({kinds}) -> ({results})
  return {", ".join(f"%r#{i}" for i in range(len(outputs)))} : {results}
}}
"""


def run_kernel(
    text: str, inputs: Sequence[Any], outputs: Sequence[Any], scalars: Sequence[tuple[str, str]] = ()
) -> tuple[Model, list[Any]]:
    """Compile the kernel `@k` of the text and call it, alone and with two threads, which must agree in every
    bit; `outputs` are arrays of the wanted shapes and dtypes."""
    kinds = [[tensor_type(array) for array in group] for group in (inputs, outputs)]
    specs = [
        [f"{','.join(map(str, a.shape))} {element(a)}".strip() for a in group] for group in (inputs, outputs)
    ]
    model = Model(text + call_of("k", *kinds, scalars), *specs)
    alone, status = model(*inputs), model.status
    pool = model.pool(2)
    together = model(*inputs, pool=pool)
    model.close(pool)
    assert model.status == status
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)
    return model, alone
