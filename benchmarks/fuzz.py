"""Random models by NNSmith, compiled and compared with torch.

python -m benchmarks.fuzz --count 200
python -m benchmarks.fuzz --first 17 --count 1     # one again

Results must agree as `coverage.compare` has it. That is the last digits of the element type, and no rule for a
model that loses them itself: so where results differ, the model is run in float64 too (its f16, f32 and bf16
tensors widened), and torch's own distance from that is what is granted on top, ten times over.
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

from benchmarks import isolated
from benchmarks.coverage import compare, reason

#: NNSmith finds out what an operation can do by trying it at values of its solver's choice, some of which it
#: trips over.
_ATTEMPTS = 20


@functools.cache
def operators() -> list[Any]:
    """NNSmith's operations that torch runs, with the element types it runs them for."""
    logging.disable(logging.CRITICAL)
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
    with torch.no_grad():
        want = model(**named)
    if any(torch.is_floating_point(t) and not torch.isfinite(t).all() for t in want):
        return "not finite in torch"
    try:
        fitted = drystone.compile(model, (), kwargs=named)
        return compare(fitted(**named), want)
    except drystone.DrystoneError as error:
        return reason(str(error))


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
