"""What the user gives to be compiled: a model with a call of it, and what is to become of its numbers."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from drystone import choosing, frontend, passes
from drystone.asking import quantizing, skipping, sparsifying
from drystone.caches import Held
from drystone.errors import InternalError
from drystone.ir.context import new_context
from drystone.ir.program import Program
from drystone.options import Budget, Checkpoint, Format, Skipped, Zeroed
from drystone.runtime.manifest import ChosenFormat


@dataclass(frozen=True)
class Source:
    """A model to be compiled, with the arguments of one call and the passes for its numbers; `formats`: those
    that were chosen for weights. kept: where the model is built several times, the program it is imported as,
    once it is; each build gets a copy that shares its arrays."""

    model: Any
    example_inputs: Sequence[Any]
    kwargs: Mapping[str, Any] | None
    dynamic_shapes: Any
    checkpoint: Checkpoint | None
    quantized: passes.Quantization
    formats: tuple[ChosenFormat, ...] = ()
    kept: list[Program] | None = None

    def imported(self) -> Program:
        """The model as a program of the IR. Raises UserError for what cannot be imported."""
        if self.kept:
            return passes.copy_of(self.kept[0])
        program = frontend.import_model(
            self.model,
            self.example_inputs,
            kwargs=self.kwargs,
            dynamic_shapes=self.dynamic_shapes,
            checkpoint=self.checkpoint,
            ctx=new_context(),
        )
        if self.kept is not None:
            self.kept.append(passes.copy_of(program))
        return program

    def exported(self) -> Any:
        """The model as torch exports it, to show a fault of the import. Raises InternalError where that
        takes a file of weights."""
        if self.checkpoint is not None:
            raise InternalError("weights of a checkpoint are not in the file")
        return frontend.exported(self.model, self.example_inputs, self.kwargs, self.dynamic_shapes)


def asked(
    quantize: Format | Mapping[str, Format | None] | None,
    caches: Held | Mapping[str, Held | None] | None,
    sparsify: Zeroed | Mapping[str, Zeroed | None] | None,
    skip: Skipped | Mapping[str, Skipped | None] | None,
    calibration: Sequence[Any] | str | os.PathLike[str] | None,
    budget: Budget,
) -> tuple[passes.Quantization, frozenset[str]]:
    """The passes for what is to be quantized, pruned and skipped, and patterns of formats to be chosen."""
    auto = quantizing.autos(quantize)
    quantized = sparsifying.sparsified(quantizing.quantization_of(quantize, caches), sparsify, auto)
    quantized = skipping.skipped(quantized, skip, auto, streams=isinstance(budget.ram, int | str))
    sparsifying.check(quantized, calibration, budget)
    skipping.check(quantized, calibration)
    quantizing.check(quantized, auto, choosing.are_chosen(quantized), calibration, budget)
    return replace(quantized, settled=passes.Sparsity(sparsifying.are_bytes_asked(budget))), auto
