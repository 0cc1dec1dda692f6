"""Which of torch's own operators compile and agree: the first samples of every op in torch's op_db, fp32.

python -m benchmarks.coverage                  # writes docs/coverage.md
python -m benchmarks.coverage --ops add conv2d
"""

import argparse
import itertools
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch.utils import _pytree as pytree

from benchmarks import isolated

PAGE = Path(__file__).parents[1] / "docs" / "coverage.md"
SAMPLES = 2


class OneOp(torch.nn.Module):
    """An operator with everything that is no tensor fixed; takes the tensors in the order of the sample."""

    def __init__(self, op: Any, leaves: list[Any], spec: Any) -> None:
        super().__init__()
        self.op, self.leaves, self.spec = op, leaves, spec

    def forward(self, *tensors: torch.Tensor) -> Any:
        rest = iter(tensors)
        leaves = [next(rest) if isinstance(leaf, torch.Tensor) else leaf for leaf in self.leaves]
        first, args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return self.op(first, *args, **kwargs)


def ops() -> dict[str, Any]:
    """Every forward float32 operator of torch's op_db by its full name."""
    from torch.testing._internal.common_methods_invocations import op_db

    found = [op for op in op_db if op.supports_dtype(torch.float32, "cpu")]
    return {".".join(filter(None, (op.name, op.variant_test_name))): op for op in found}


#: Element type -> accepted relative and absolute difference: those of torch.testing, but for f32 1e-4 instead
#: of 1.3e-6, which reorderings of a long sum exceed. Integers and booleans must be equal.
TOLERANCES = {
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (1.6e-2, 1e-5),
    torch.float32: (1e-4, 1e-5),
    torch.complex64: (1e-4, 1e-5),
    torch.float64: (1e-7, 1e-7),
    torch.complex128: (1e-7, 1e-7),
}


def compare(got: Any, want: Any, narrowest: torch.dtype | None = None) -> str:
    """ "" where two results agree within TOLERANCES, in shape and in element type, else how they differ.

    narrowest: the element type that floating-point results were computed in, where that is not their own. A
    number that the model returns is a tensor without dimensions in a compiled model's results.
    """
    got, want = pytree.tree_leaves(got), pytree.tree_leaves(want)
    if len(got) != len(want):
        return f"differs: {len(got)} results instead of {len(want)}"
    for a, b in zip(got, want, strict=True):
        if isinstance(a, torch.Tensor) and isinstance(b, int | float):
            b = torch.tensor(b, dtype=a.dtype)
        if not isinstance(b, torch.Tensor):
            if a != b:
                return f"differs: {a} instead of {b}"
            continue
        relative, absolute = TOLERANCES.get(b.dtype, (0.0, 0.0))
        if b.dtype in TOLERANCES and narrowest is not None:
            relative, absolute = map(max, (relative, absolute), TOLERANCES[narrowest])
        try:
            torch.testing.assert_close(a, b, rtol=relative, atol=absolute, equal_nan=True)
        except AssertionError as error:
            return "differs: " + " ".join(line for line in str(error).split("\n")[:5] if line)[:200]
    return ""


def check(name: str) -> str:
    """ "" where the operator's first samples compile and agree with torch, else the reason."""
    import drystone

    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    op = ops_cache()[name]
    for sample in itertools.islice(op.sample_inputs("cpu", torch.float32), SAMPLES):
        leaves, spec = pytree.tree_flatten((sample.input, sample.args, sample.kwargs))
        model = OneOp(op.op, leaves, spec).eval()
        tensors = tuple(leaf.detach() for leaf in leaves if isinstance(leaf, torch.Tensor))
        with torch.no_grad():
            want, again = (model(*(tensor.clone() for tensor in tensors)) for _ in range(2))
        if compare(want, again):
            return "random"
        try:
            fitted = drystone.compile(model, tensors)
            why = compare(fitted(*tensors), want)
        except drystone.DrystoneError as error:
            return reason(str(error))
        if why:
            return why
    return ""


_CACHE: dict[str, Any] = {}


def ops_cache() -> dict[str, Any]:
    """`ops()`, made once a process."""
    if not _CACHE:
        _CACHE.update(ops())
    return _CACHE


def reason(text: str) -> str:
    """The first lines of a message, on one line, without paths or addresses."""
    text = re.sub(r"0x[0-9a-f]+|\S*/site-packages/|/\S*/", "", text)
    text = text.replace(" that drystone cannot compile", "").split("say it with other operations")[0]
    return re.sub(r" at coverage.py:\d+", "", " ".join(text.split()))[:160]


def page(results: dict[str, str]) -> str:
    """The text of docs/coverage.md."""
    passed = [name for name, why in results.items() if not why]
    lines = [
        "# Operators",
        "",
        f"The first {SAMPLES} samples of every forward float32 operator of torch's own test table (`op_db`),",
        "compiled for `cpu` and compared with torch (relative 1e-4, absolute 1e-5).",
        "Written by `python -m benchmarks.coverage`.",
        "",
        f"**{len(passed)} of {len(results)} pass.** "
        + ", ".join(f"{n} {k}" for k, n in kinds(results).most_common()),
        "",
        "## Pass",
        "",
        ", ".join(f"`{name}`" for name in sorted(passed)),
        "",
        "## Do not",
        "",
        "| operator | why |",
        "|---|---|",
        *(f"| `{name}` | {why.replace('|', '/')} |" for name, why in sorted(results.items()) if why),
    ]
    return "\n".join(lines) + "\n"


def kinds(results: dict[str, str]) -> Counter[str]:
    """How many fail for which kind of reason."""
    names = {
        "random": "random",
        "differs": "differ",
        "crashed": "crash",
        "raised": "raise an error that is not ours",
        "timed": "time out",
    }
    return Counter(
        next((kind for start, kind in names.items() if why.startswith(start)), "are refused with a message")
        for why in results.values()
        if why
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ops", nargs="*", help="only these; prints, writes nothing")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    names = arguments.ops or list(ops())
    results: dict[str, str] = {}
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("operators", total=len(names))
        for name, why in isolated.run(check, names, workers=arguments.workers):
            results[name] = why
            bar.advance(task)
            if arguments.ops:
                print(f"{name}: {why or 'passes'}")
    passed = sum(not why for why in results.values())
    print(
        f"{passed} of {len(results)} pass; " + ", ".join(f"{n} {k}" for k, n in kinds(results).most_common())
    )
    if not arguments.ops:
        PAGE.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
