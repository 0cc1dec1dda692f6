"""Random models by NNSmith, compiled and compared with torch.

python -m benchmarks.fuzz --count 200
python -m benchmarks.fuzz --first 17 --count 1     # one again

Results must agree as `coverage.compare` has it, at the precision of the narrowest floating-point type that
the model computes with. A model may lose more than that by itself (a sum that cancels, a sine of thousands,
a floor of what is nearly whole): where results differ, torch runs it again with the result of every operation
changed by up to its last digit, at random, and an element within the range of these runs is right.
"""

import argparse
import functools
import logging
import random
import warnings
from collections import Counter
from typing import Any

import numpy as np
import torch
from nnsmith.error import InternalError
from nnsmith.graph_gen import model_gen
from nnsmith.materialize.torch import TorchModelCPU
from nnsmith.narrow_spec import infer_topset_from_scratch
from rich.console import Console
from rich.progress import Progress
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import isolated
from benchmarks.coverage import TOLERANCES, compare, reason

#: NNSmith finds out what an operation can do by trying it at values of its solver's choice, some of which it
#: trips over.
_ATTEMPTS = 20
#: Runs of torch that show how exact a model's results can be.
_RUNS = 16


class _Elements(TorchDispatchMode):
    """Notes the floating-point types that a model computes with."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[torch.dtype] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        done = function(*args, **(kwargs or {}))
        self.found |= {x.dtype for x in pytree.tree_leaves(done) if isinstance(x, torch.Tensor)}
        return done


class _Rounded(TorchDispatchMode):
    """Moves each element that an operation gives by up to its last digit."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return pytree.tree_map(_nudged, function(*args, **(kwargs or {})))


def _nudged(x: Any) -> Any:
    if not isinstance(x, torch.Tensor) or not x.dtype.is_floating_point:
        return x
    return x * (1 + torch.finfo(x.dtype).eps * (2 * torch.rand_like(x) - 1))


@functools.cache
def operators() -> list[Any]:
    """NNSmith's operations that torch runs, with the element types it runs them for."""
    for log in ("dtest", "mgen", "smt", "core", "gen|torch"):
        logging.getLogger(log).setLevel(logging.CRITICAL)
    found = []
    for op in TorchModelCPU.operators():
        if op.limit_domain:
            continue
        config = _config(op)
        if config is not None:
            op.in_dtypes = sorted(config.in_dtypes, key=str)
            op.out_dtypes = sorted(config.out_dtypes, key=str)
            found.append(op)
    return found


def _config(op: Any) -> Any:
    for _ in range(_ATTEMPTS):
        try:
            known = infer_topset_from_scratch(TorchModelCPU, None, [op])
        except InternalError:
            continue
        if known:
            return known[op.name()]
    return None


def generate(seed: int, nodes: int = 10) -> tuple[Any, dict[str, torch.Tensor]]:
    """A random torch model and its named inputs."""
    ops = operators()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    made = model_gen(ops, method="symbolic-cinit", max_nodes=nodes, seed=seed).make_concrete()
    model = TorchModelCPU.from_gir(made).torch_model.eval()
    # The model looks at the values of its inputs first, which torch.export cannot follow.
    model.debug_numeric = lambda tensors: None
    return model, model.get_random_inps()


def check(seed: int) -> str:
    """ "" where the model of this seed compiles and agrees with torch, else the reason."""
    import drystone

    warnings.filterwarnings("ignore")
    model, named = generate(seed)
    with torch.no_grad(), _Elements() as elements:
        want = model(**named)
    if any(torch.is_floating_point(t) and not torch.isfinite(t).all() for t in want):
        return "not finite in torch"
    narrowest = max(elements.found & set(TOLERANCES), key=lambda kind: TOLERANCES[kind], default=None)
    try:
        got = drystone.compile(model, (), kwargs=named)(**named)
    except drystone.DrystoneError as error:
        return reason(str(error))
    why = compare(got, want, narrowest)
    return compare(_settled(got, model, named, want), want, narrowest) if why else ""


def _settled(got: Any, model: Any, named: dict[str, torch.Tensor], want: Any) -> list[Any]:
    """What was got, with torch's own result in place of each element within the range of torch's runs with
    results rounded otherwise."""
    least, most = list(want), list(want)
    for run in range(_RUNS):
        torch.manual_seed(run)
        with torch.no_grad(), _Rounded():
            other = model(**named)
        least = [_extreme(torch.minimum, a, b) for a, b in zip(least, other, strict=True)]
        most = [_extreme(torch.maximum, a, b) for a, b in zip(most, other, strict=True)]
    return [
        x if x.is_complex() or x.shape != a.shape else torch.where((x >= low) & (x <= high), a, x)
        for x, a, low, high in zip(pytree.tree_leaves(got), want, least, most, strict=True)
    ]


def _extreme(of: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a if a.is_complex() else of(a, b)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    seeds = list(range(arguments.first, arguments.first + arguments.count))
    kinds: Counter[str] = Counter()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("models", total=len(seeds))
        for seed, why in isolated.run(check, seeds, workers=arguments.workers):
            kinds[why.split(":")[0] if why else "agree"] += 1
            bar.advance(task)
            if why and why != "not finite in torch":
                print(f"seed {seed}: {why}", flush=True)
    print(", ".join(f"{n} {kind}" for kind, n in kinds.most_common()))


if __name__ == "__main__":
    main()
