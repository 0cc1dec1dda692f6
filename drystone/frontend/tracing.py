"""From what the user gives to an ExportedProgram of functional ATen operations."""

import inspect
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from drystone.errors import UserError
from drystone.frontend.checkpoints import Held
from drystone.frontend.decompositions import taken_apart
from drystone.frontend.dequantized import hold_weights, without_subclasses
from drystone.frontend.origin import place_of_error, place_of_trace, restore, traces
from drystone.frontend.scans import without_scans
from drystone.frontend.semi_structured import without_semi_structured
from drystone.frontend.sparse import hold_sparse
from drystone.frontend.training import refuse_training

_ABOUT_TORCH = re.compile(
    r"^(?:For .*(?:TORCH|https://docs\.google).*|If you suspect .*TORCH.*|Caused by: .*|consider using data-"
    r"dependent friendly APIs.*)$\n?",
    re.MULTILINE,
)


def export(
    model: Any, example_inputs: Any, kwargs: Mapping[str, Any] | None, dynamic_shapes: Any
) -> tuple[ExportedProgram, dict[str, Held], tuple[Any, ...], dict[str, Any]]:
    """The model's program, taken apart as `decompositions.table` says, those of its buffers that are held in
    encodings, and the example's arguments.

    Raises UserError where the model is no model, the inputs do not fit it, or torch.export cannot trace it.
    """
    args, named = _arguments(example_inputs, kwargs)
    with _quiet():
        program = _exported(model, args, named, dynamic_shapes)
        refuse_training(program)
        program = without_subclasses(program)
        without_scans(program)
        program, sparse = hold_sparse(program)
        program, encoded = hold_weights(program)
        known = traces(program)
        program = _attempt("torch could not take the exported model apart", lambda: taken_apart(program))
        restore(program, known)
    return program, sparse | encoded, args, named


def exported(
    model: Any, example_inputs: Any, kwargs: Mapping[str, Any] | None, dynamic_shapes: Any
) -> ExportedProgram:
    """The model's program as torch gives it. Raises UserError as `export` does."""
    args, named = _arguments(example_inputs, kwargs)
    with _quiet():
        return _exported(model, args, named, dynamic_shapes)


def _exported(model: Any, args: tuple[Any, ...], named: dict[str, Any], dynamic_shapes: Any) -> Any:
    program = _load(model) if isinstance(model, str | os.PathLike) else model
    if isinstance(program, torch.nn.Module):
        return _traced(without_semi_structured(program), args, named, dynamic_shapes)
    if not isinstance(program, ExportedProgram):
        raise _no_model(model)
    return program


def example_call(
    model: Any, example_inputs: Any, kwargs: Mapping[str, Any] | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """One call's arguments: those given or, where there are none, those an exported program carries."""
    args, named = _arguments(example_inputs, kwargs)
    if args or named:
        return args, named
    program = _load(model) if isinstance(model, str | os.PathLike) else model
    carried = program.example_inputs if isinstance(program, ExportedProgram) else None
    return _arguments(*carried) if carried else ((), {})


def _arguments(
    example_inputs: Any, kwargs: Mapping[str, Any] | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example_inputs, torch.Tensor | np.ndarray):
        example_inputs = (example_inputs,)
    if not isinstance(example_inputs, list | tuple | None):
        raise UserError(
            f"example_inputs is a {type(example_inputs).__name__}",
            hint="give a tuple with the arguments of one call of the model; named ones go in kwargs",
        )
    return _tensors(tuple(example_inputs or ())), _tensors(dict(kwargs or {}))


def _tensors(tree: Any) -> Any:
    """The same nested value with numpy's arrays as torch's."""
    return pytree.tree_map(
        lambda leaf: torch.from_numpy(leaf) if isinstance(leaf, np.ndarray) else leaf, tree
    )


def _no_model(model: Any) -> UserError:
    if isinstance(model, type):
        hint = f"give an instance: {model.__name__}(...)"
    else:
        hint = "give a torch.nn.Module, a torch.export.ExportedProgram or the path of a .pt2 file"
        hint += "; a function can be the forward of a module" if callable(model) else ""
    kind = f"the class {model.__name__}" if isinstance(model, type) else f"a {type(model).__name__}"
    return UserError(f"cannot compile {kind}", hint=hint)


def _load(path: str | os.PathLike[str]) -> ExportedProgram:
    if not Path(path).is_file():
        raise UserError(
            f"there is no file {os.fspath(path)}", hint="torch.export.save(program, path) writes one"
        )
    return _attempt(
        f"{os.fspath(path)} is not a program that torch.export.save has written",
        lambda: torch.export.load(path),
        "torch.export.save(torch.export.export(model, inputs), path) writes one; what torch.save wrote, "
        "weights alone or a module, is loaded and exported first",
    )


def _traced(
    model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], dynamic_shapes: Any
) -> ExportedProgram:
    takes = inspect.signature(model.forward)
    try:
        takes.bind(*args, **kwargs)
    except TypeError as error:
        raise UserError(
            f"the example inputs are no call of {type(model).__name__}.forward{takes}: {error}",
            hint="give one call's arguments: compile(model, (first, second), kwargs={'name': third})",
        ) from error
    return _attempt(
        "torch.export could not trace the model with these example inputs",
        lambda: torch.export.export(model, args, kwargs, dynamic_shapes=dynamic_shapes, strict=False),
        "see that model(*example_inputs, **kwargs) runs; branches on values must become torch.where or "
        "torch.cond, and data-dependent sizes fixed ones",
        model,
    )


def _attempt(what: str, action: Callable[[], Any], hint: str | None = None, model: Any = None) -> Any:
    """The action's result; whatever it raises as a UserError at the user's own line."""
    try:
        return action()
    except UserError as error:
        # Said by a decomposition of ours: torch adds to the text which node it is for.
        where = error.where or place_of_trace(str(error))
        raise UserError(error.what, where=where, hint=error.hint) from error
    except Exception as error:
        # Torch raises nearly every type there is; all of them speak about the user's model.
        message = _short(str(error)) or type(error).__name__
        hint = _plain_sparse(model) or hint
        raise UserError(f"{what}:\n{message}", where=place_of_error(error, model), hint=hint) from error


def _short(message: str) -> str:
    """What torch says about a model, without what it says about itself: how its own log shows more, where in
    its own files it was."""
    message = message.split("\n\nThe error above occurred when calling")[0]
    return re.sub(r"\n{3,}", "\n\n", _ABOUT_TORCH.sub("", message)).strip()


def _plain_sparse(model: Any) -> str | None:
    """What to do about a sparse tensor of rows or columns that is neither buffer nor parameter, which torch
    cannot trace; None where there is none."""
    layouts = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)
    for module in model.modules() if isinstance(model, torch.nn.Module) else ():
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor) and value.layout in layouts:
                return (
                    f"{type(module).__name__}.{name} is a sparse tensor that torch traces as a buffer alone: "
                    f'self.register_buffer("{name}", {name})'
                )
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's warnings unheard, no gradients, and its fused encoder layers left as their parts."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    # What torch logs about a failure, its exception says again.
    heard = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(heard)
        torch.backends.mha.set_fastpath_enabled(fast)
