"""one_model.md: a small model as each stage leaves it."""

import inspect
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from docs.pages.compiled import MACHINE, Compiled, compiled
from docs.pages.text import NOTE
from drystone import targets
from drystone.codegen import families

_BEGINNING = f"""# One model, stage by stage

{NOTE}

What every stage of [the compiler](architecture.md) makes of this model, for `{MACHINE}` and a batch of 8.
`DRYSTONE_DUMP=folder` writes the same, and each pass between, of any model."""
_FRONTEND = """## frontend: torch.export and torch-mlir, then the dialect

Products have an operation of their own, with the bias in a region that is applied to every element. The ReLU
is upstream's linalg. Weights are names."""
_PASSES = """## passes: types are refined until each computation is one kernel

The ReLU went into the first product's epilogue. Weights are laid out for vector registers, which their types
say: `#dry.pack`. Each kernel is a function that writes into its last argument."""
_CODEGEN = """## codegen: a kernel as a tile program

What the family `matmul` builds of the types of `{name}`, with the schedule that `autotune` ranks
first ({chosen}). [Its vocabulary](tile.md) is small; a target lowers each statement its own way."""
_SCHEDULING = """## scheduling: places and times

One tensor lives between the kernels. No plan takes fewer than {bound} bytes, and this one takes {peak}
({status}). A program that knows nothing of the solver has checked it."""


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(64, 256)
        self.down = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.relu(self.up(x)))


def journey_page() -> str:
    """The model, its module before and after the passes, a kernel's tile program, and the plan."""
    made = compiled(Classifier(), torch.zeros(8, 64))
    return (
        "\n\n".join(f"{told}\n\n```{kind}\n{text.strip()}\n```" for told, kind, text in _parts(made)) + "\n"
    )


def _parts(made: Compiled) -> Iterator[tuple[str, str, str]]:
    """Of each stage what is said, what it gives, and that itself."""
    yield _BEGINNING, "python", inspect.getsource(Classifier)
    yield _FRONTEND, "mlir", made.imported
    yield _PASSES, "mlir", made.optimized
    kernel = next(op for op in made.program.module.body if op.sym_name.value.startswith("matmul"))
    name = kernel.sym_name.value
    chosen = ", ".join(f"{key} = {value}" for key, value in made.schedules[name].items())
    tiles = families.tile_program_of(kernel, targets.resolve(MACHINE), made.schedules[name])
    yield _CODEGEN.format(name=name, chosen=chosen), "text", str(tiles)
    plan = made.memory.plan
    homes = [f"{h.tensor}: in {h.level} at {h.offset}, steps {h.start} to {h.end}" for h in plan.homes]
    told = _SCHEDULING.format(bound=plan.bound, peak=max(plan.peaks.values()), status=plan.status)
    yield told, "text", "\n".join([f"order: {', '.join(plan.order)}", *homes])
