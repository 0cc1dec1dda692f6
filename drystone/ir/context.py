"""MLIR contexts that know the dialect of drystone."""

import sys

from drystone.ir import attributes, dialect
from drystone.mlir import ext, ir, run_pipeline, torch_dialect


def new_context() -> ir.Context:
    """A context with every upstream dialect, torch-mlir's dialects and `dry` loaded."""
    # The bindings look for a module of this name whenever they see an operation, until they find one.
    sys.modules.setdefault(f"{ext.__package__}.dry", dialect)
    ctx = ir.Context()
    torch_dialect.register_dialect(ctx)
    with ctx, ir.Location.unknown():
        # The bindings cannot load torch_c and tm_tensor by name; passes that depend on them do.
        run_pipeline(
            ir.Module.create(), "torch-func-backend-type-conversion,func.func(convert-torch-to-tmtensor)"
        )
        attributes.Dry.load()
    return ctx
