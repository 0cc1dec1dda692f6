"""A compiled model's outputs beside the model's own."""

import copy
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from drystone import frontend
from drystone.ir.context import new_context
from drystone.ir.elements import widen
from drystone.ir.interpreter import run as interpret
from drystone.options import Checkpoint
from drystone.runtime import accuracy
from drystone.runtime.fitted import Fitted


def difference(
    fitted: Fitted,
    model: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    dynamic_shapes: Any = None,
    checkpoint: Checkpoint | None = None,
) -> float:
    """The largest difference of an output from the model's on one call (`runtime.accuracy.distance`).

    The model is run by torch; where its weights come from a checkpoint, by the interpreter.
    """
    given = fitted.leaves(copy.deepcopy(args), copy.deepcopy(kwargs))
    got = fitted.execute(given, threads=fitted.threads)
    if checkpoint is None:
        want = _by_torch(model, args, kwargs)
    else:
        program = frontend.import_model(
            model,
            args,
            kwargs=kwargs,
            dynamic_shapes=dynamic_shapes,
            checkpoint=checkpoint,
            ctx=new_context(),
        )
        states = [program.weights[key] for key in program.signature.initial]
        want = interpret(program, [*map(_array, given), *states])[: len(got)]
    pairs = zip(got, map(_array, want), strict=True)
    apart = [accuracy.distance(widen(a), widen(b)) for a, b in pairs]
    # JSON has no infinity.
    return min(sys.float_info.max, max(apart, default=0.0))


def _by_torch(model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The tensors that a model gives."""
    if isinstance(model, str | os.PathLike):
        model = torch.export.load(model)
    if isinstance(model, torch.export.ExportedProgram):
        model = model.module()
    with torch.no_grad():
        return [leaf for leaf in pytree.tree_leaves(model(*args, **kwargs)) if isinstance(leaf, torch.Tensor)]


def _array(leaf: Any) -> Any:
    """A tensor as an array of numpy, bf16 as its bits."""
    if not isinstance(leaf, torch.Tensor):
        return leaf
    leaf = leaf.detach().cpu()
    return (leaf.view(torch.uint16) if leaf.dtype == torch.bfloat16 else leaf).numpy()
