"""Caches of few bits: rows that are written and attention that reads them, held against the interpreter."""

from typing import Any

import numpy as np
import pytest

from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import Codes, Joined, Pack, Per, Recent, Scale, Strings, decode, encode
from drystone.ir.encoding.parts import take
from drystone.ir.interpreter import run
from drystone.mlir import ir
from tests.exec.families import check
from tests.unit.ir_cases import CONTEXT, from_text

RNG = np.random.default_rng(3)


def cache(bits: int, axis: int, *, group: int, by: str, ring: int = 0, held: str = "bf16") -> Joined:
    """The encoding of keys or values whose positions are along an axis."""
    per = Per.group(3, group) if by == "token" else Per.group(axis, group)
    half = Codes("f16", None, Pack(outer_perm=(0, 3 - axis, 3, axis)) if by == "token" else None)
    codes = Codes(f"uint{bits}", Scale(per, half, minimum=half), Strings(axis))
    return Joined(Recent(codes, axis, ring, Codes(held)) if ring else codes)


def spelled(shape: tuple[int, ...], encoding: Joined | None = None) -> str:
    """A tensor type."""
    with CONTEXT, ir.Location.unknown():
        return str(with_encoding(ir.RankedTensorType.get(shape, ir.F32Type.get()), encoding))


CACHES: dict[str, tuple[tuple[int, ...], int, dict[str, Any]]] = {
    "int4": ((1, 2, 20, 16), 2, {"bits": 4, "group": 16, "by": "token"}),
    "int4, positions first": ((2, 20, 2, 24), 1, {"bits": 4, "group": 8, "by": "token"}),
    "bytes": ((1, 1, 9, 40), 2, {"bits": 8, "group": 20, "by": "token"}),
    "2 bits, recent rows": ((1, 2, 48, 32), 2, {"bits": 2, "group": 32, "by": "token", "ring": 16}),
    "2 bits by channel": ((2, 3, 64, 32), 2, {"bits": 2, "group": 32, "by": "channel", "ring": 32}),
    "4 bits by channel": (
        (1, 64, 2, 20),
        1,
        {"bits": 4, "group": 16, "by": "channel", "ring": 32, "held": "f32"},
    ),
}


def writing(kind: str, rows: str, count: int, axis: int, tries: int) -> tuple[str, Any]:
    """A kernel, and a program, that write rows."""
    body = (
        f'%r = "dry.write_rows"(%c, %x, %at) {{axis = {axis} : i64, tries = {tries} : i64}} '
        f": ({kind}, {rows}, tensor<{count}x1xi64>) -> {kind}\n  return %r : {kind}"
    )
    head = f"%c: {kind}, %x: {rows}, %at: tensor<{count}x1xi64>"
    kernel = f"func.func private @k({head}, %i: {kind}) -> {kind} {{\n  {body}\n}}"
    return kernel, from_text(f"func.func @main({head}) -> {kind} {{\n  {body}\n}}")


@pytest.mark.parametrize(("flat", "tries"), [(False, 5), (True, 1)])
@pytest.mark.parametrize("name", CACHES)
def test_rows_enter_a_cache(name: str, flat: bool, tries: int) -> None:
    shape, axis, given = CACHES[name]
    encoding, count = cache(axis=axis, **given), 11
    extents = (count, *(1 if d == axis else n for d, n in enumerate(shape) if not flat or d != axis))
    kernel, program = writing(spelled(shape, encoding), spelled(extents), count, axis, tries)
    held = encode(RNG.standard_normal(shape), encoding)["codes"]
    positions = shape[axis]
    before = held
    for at in (
        np.arange(count) + 3,
        np.arange(count) + 27,
        np.array([40, 2, 15, 15, 99, 31, -4, 16, 31, 7, 2]),
    ):
        x = RNG.standard_normal(extents).astype(np.float32) * np.float32(3)
        inputs = [held, x, at[:, None].astype(np.int64)]
        (held,) = run(program, inputs)
        check(kernel, inputs, [held])
        got = np.moveaxis(decode({"codes": held}, encoding, shape, "f32"), axis, 0)
        last = {int(np.clip(p, 0, positions - 1)): n for n, p in enumerate(at)}
        new = x.reshape(count, *got.shape[1:])
        if given["by"] == "token":
            error = max(float(np.abs(got[p] - new[n]).max()) for p, n in last.items())
            assert error < {2: 3.0, 4: 0.6, 8: 0.1}[given["bits"]]
    assert (held != before).any()


@pytest.mark.parametrize("by", ["token", "channel"])
@pytest.mark.parametrize("bits", [2, 4])
def test_ends_that_are_searched_for_leave_less(bits: int, by: str) -> None:
    shape, ring = (1, 2, 64, 32), 32 if by == "channel" else 0
    encoding = cache(bits, 2, group=32, by=by, ring=ring, held="f32")
    x = RNG.standard_normal((64, 1, 2, 1, 32)).astype(np.float32)
    inputs = [encode(np.zeros(shape), encoding)["codes"], x, np.arange(64)[:, None]]
    errors = []
    for tries in (1, 5):
        _, program = writing(spelled(shape, encoding), spelled(x.shape), 64, 2, tries)
        (held,) = run(program, inputs)
        codes = encoding.base
        parts = encoding.split(held, shape)
        if isinstance(codes, Recent):
            codes, parts = codes.base, take("base", parts)
        rest = np.moveaxis(codes.decode(parts, shape), 2, 0) - x[:, 0, :, 0][:, None]
        errors.append(np.square(rest).reshape(2, 32, 2, 32).sum(1 if by == "channel" else 3))
    assert (errors[1] <= errors[0] * (1 + 1e-6)).all()
    assert errors[1].sum() < {2: 0.85, 4: 0.98}[bits] * errors[0].sum()


def filled(encoding: Joined, shape: tuple[int, ...], axis: int) -> Any:
    """A cache of random numbers, other ones in the ring of all heads but one."""
    parts = encode(RNG.standard_normal(shape), encoding.base)
    if isinstance(encoding.base, Recent):
        ring = encoding.base.ring(shape)
        parts["rows"] = encode(RNG.standard_normal(ring), encoding.base.held)["codes"]
        parts["places"][...] = 40 + np.arange(ring[axis]).reshape(-1, *[1] * (2 - axis))
        parts["places"][(0, 0) if axis == 2 else (0, slice(None), 0)] = -1
    return encoding.join(parts, shape)


ATTENTION: dict[str, tuple[int, dict[str, Any]]] = {
    "one query": (1, {}),
    "one query of few heads": (1, {"heads": 2}),
    "one query, a window": (1, {"span": (37, 71)}),
    "three queries, causal": (3, {"causal": True}),
    "many queries": (40, {"span": (0, 71)}),
    "grouped": (4, {"heads": 8}),
    "one query, values by channel": (1, {"by": "channel", "span": (3, 90)}),
    "many keys in parts": (1, {"positions": 2048, "span": (100, 2000)}),
}


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("name", ATTENTION)
def test_attention_reads_codes(name: str, axis: int) -> None:
    queries, more = ATTENTION[name]
    positions, heads, depth = more.get("positions", 96), more.get("heads", 4), 32
    kv = (1, 2, positions, depth) if axis == 2 else (1, positions, 2, depth)
    q = (1, heads, queries, depth) if axis == 2 else (1, queries, heads, depth)
    by = more.get("by", "token")
    encodings = (
        cache(2, axis, group=32, by="channel", ring=32),
        cache(4, axis, group=16, by=by, ring=32 if by == "channel" else 0),
    )
    kinds = [spelled(q), *(spelled(kv, each) for each in encodings)]
    span, head = more.get("span"), ["%q", "%k", "%v"]
    if span is not None:
        kinds.append("tensor<2x1x1xi64>")
        head.append("%s")
    named = {
        "scale": "0.3 : f64",
        "causal": str(more.get("causal", False)).lower(),
        "sinks": "0 : i64",
        "tile": "[]",
        "layout": '"bhsd"' if axis == 2 else '"bshd"',
        "operandSegmentSizes": f"array<i32: 1, 1, 1, 0, {int(span is not None)}, 0, 0, 0>",
    }
    attributes = ", ".join(f"{name} = {value}" for name, value in named.items())
    body = (
        f'%y = "dry.attention"({", ".join(head)}) {{{attributes}}} '
        f": ({', '.join(kinds)}) -> {kinds[0]}\n  return %y : {kinds[0]}"
    )
    arguments = ", ".join(f"{each}: {kind}" for each, kind in zip(head, kinds, strict=True))
    program = from_text(f"func.func @main({arguments}) -> {kinds[0]} {{\n  {body}\n}}")
    kernel = f"func.func private @k({arguments}, %i: {kinds[0]}) -> {kinds[0]} {{\n  {body}\n}}"
    held = [filled(encoding, kv, axis) for encoding in encodings]
    inputs = [RNG.standard_normal(q).astype(np.float32), *held]
    if span is not None:
        inputs.append(np.array(span, np.int64).reshape(2, 1, 1))
    check(kernel, inputs, run(program, inputs), tolerance=1e-5)
