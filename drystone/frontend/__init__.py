"""The frontend: a PyTorch model becomes a module of the `dry` dialect and a weight store."""

from collections.abc import Mapping
from typing import Any

import torch

from drystone.frontend import complex_numbers
from drystone.frontend.blank import with_memory
from drystone.frontend.checkpoints import opened
from drystone.frontend.graph import prepare
from drystone.frontend.lowering import lower, name_weights
from drystone.frontend.signature import signature_of
from drystone.frontend.symbols import Symbols, given_names
from drystone.frontend.tracing import example_call, export, exported
from drystone.frontend.unsupported import explain
from drystone.frontend.weights import Weights
from drystone.ir.dialect import Weight
from drystone.ir.program import Program
from drystone.mlir import ir, walk
from drystone.options import Checkpoint

__all__ = ["example_call", "exported", "import_model"]


def import_model(
    model: Any,
    example_inputs: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    checkpoint: Checkpoint | None = None,
    ctx: ir.Context,
) -> Program:
    """Import a model into `ctx`.

    model: an nn.Module, a torch.export.ExportedProgram, or the path of a .pt2 file. example_inputs: a tuple
    with the positional arguments of one call (or a single tensor), torch's tensors or numpy's arrays; unused
    for programs that are exported already. dynamic_shapes: as for torch.export.export. checkpoint: what has
    the model's parameters, whose own may then be on the meta device.

    `@main` takes the input tensors and the states and gives the output tensors and the states' new values;
    everything else the model holds is a `dry.weight`, of a type with an encoding where a checkpoint holds it
    in one; a copy without it is what the model reads. Raises UserError for models, inputs and checkpoints
    that cannot be taken, with every operation that has no lowering and its line in the model.
    """
    given, blank = None, frozenset[str]()
    if checkpoint is not None:
        given = opened(checkpoint)
        if isinstance(model, torch.nn.Module):
            model, blank = with_memory(model)
    program, encoded, args, named = export(model, example_inputs, kwargs, dynamic_shapes)
    graph = prepare(program)
    complex_numbers.refuse(graph.fx)
    names = {}
    if dynamic_shapes is not None and hasattr(model, "forward"):
        names = given_names(args, named, dynamic_shapes, graph.inputs, model)
    weights = Weights(program, given, blank, encoded)
    weights.check(name for node, name in graph.weights.items() if node.users)
    call = signature_of(program, graph, Symbols(program.range_constraints, names), weights.plain_key)
    try:
        module = lower(graph.fx, ctx)
    except Exception as error:
        # MLIR's failures, and whatever torch-mlir's importer raises for what it does not know.
        told = explain(graph.fx, error, ctx)
        raise told from None if told is error else error
    keys = [weights.key(name) if node.users else name for node, name in graph.weights.items()]
    name_weights(module, keys, weights.encodings)
    read = [op for op in walk(module) if isinstance(op, Weight)]
    held = [weights.parts(op.key.value, op.out.type.shape) for op in read]
    weights.store.keep_only(set(call.initial).union(*held))
    return Program(module, weights.store, call)
