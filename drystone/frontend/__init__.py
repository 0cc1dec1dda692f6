"""The frontend: a PyTorch model becomes a module of the `dry` dialect and a weight store."""

from collections.abc import Mapping
from typing import Any

from drystone.frontend import complex_numbers
from drystone.frontend.graph import prepare
from drystone.frontend.lowering import lower, name_weights
from drystone.frontend.signature import signature_of
from drystone.frontend.symbols import Symbols, given_names
from drystone.frontend.tracing import example_call, export
from drystone.frontend.unsupported import explain
from drystone.frontend.weights import Weights
from drystone.ir.program import Program
from drystone.mlir import ir

__all__ = ["example_call", "import_model"]


def import_model(
    model: Any,
    example_inputs: Any,
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    ctx: ir.Context,
) -> Program:
    """Import a model into `ctx`.

    model: an nn.Module, a torch.export.ExportedProgram, or the path of a .pt2 file. example_inputs: a tuple
    with the positional arguments of one call (or a single tensor), torch's tensors or numpy's arrays; unused
    for programs that are exported already. dynamic_shapes: as for torch.export.export.

    `@main` takes the input tensors and the states and gives the output tensors and the states' new values;
    everything else the model holds is a `dry.weight`. Raises UserError for models and inputs that cannot be
    taken, with every operation that has no lowering and its line in the model.
    """
    exported, args, named = export(model, example_inputs, kwargs, dynamic_shapes)
    graph = prepare(exported)
    complex_numbers.refuse(graph.fx)
    names = {}
    if dynamic_shapes is not None and hasattr(model, "forward"):
        names = given_names(args, named, dynamic_shapes, graph.inputs, model)
    weights = Weights(exported)
    call = signature_of(exported, graph, Symbols(exported.range_constraints, names), weights.key)
    try:
        module = lower(graph.fx, ctx)
    except Exception as error:
        # MLIR's failures, and whatever torch-mlir's importer raises for what it does not know.
        raise explain(graph.fx, error, ctx) from error
    name_weights(module, [weights.key(name) for name in graph.weights.values()])
    used = {*call.initial, *(op_key for op_key in _named(module))}
    weights.store.keep_only(used)
    return Program(module, weights.store, call)


def _named(module: Any) -> list[str]:
    from drystone.ir.dialect import Weight
    from drystone.mlir import walk

    return [op.key.value for op in walk(module) if isinstance(op, Weight)]
