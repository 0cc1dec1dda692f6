"""Random models by NNSmith, compiled and compared with torch.

python -m benchmarks.fuzz --count 200
"""

import argparse
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress

from benchmarks import isolated
from benchmarks.coverage import compare, reason


def generate(seed: int, folder: Path, nodes: int = 10) -> None:
    """Write one random torch model.

    NNSmith's first run on a machine finds out which operators work, and fails now and then while at it; it is
    asked again.
    """
    command = [sys.executable, "-m", "nnsmith.cli.model_gen", "model.type=torch", f"mgen.max_nodes={nodes}"]
    command += [f"mgen.seed={seed}", f"mgen.save={folder}", f"hydra.run.dir={folder}.log"]
    for _ in range(5):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0 and (folder / "model.pth").exists():
            return
    raise RuntimeError(f"nnsmith made no model of seed {seed}: {done.stderr[-500:]}")


def check(seed: int) -> str:
    """ "" where the model of this seed compiles and agrees with torch, else the reason."""
    from nnsmith.materialize.torch import TorchModelCPU

    import drystone

    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder:
        generate(seed, Path(folder, "model"))
        model = TorchModelCPU.load(Path(folder, "model", "model.pth")).torch_model.eval()
    torch.manual_seed(seed)
    named = model.get_random_inps()
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
    arguments = parser.parse_args()
    seeds = list(range(arguments.first, arguments.first + arguments.count))
    kinds: Counter[str] = Counter()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("models", total=len(seeds))
        for seed, why in isolated.run(check, seeds):
            kinds[why.split(":")[0] if why else "agree"] += 1
            bar.advance(task)
            if why and why != "not finite in torch":
                print(f"seed {seed}: {why}", flush=True)
    print(", ".join(f"{n} {kind}" for kind, n in kinds.most_common()))


if __name__ == "__main__":
    main()
