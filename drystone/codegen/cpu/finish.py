"""The last touches on a module of the LLVM dialect: what LLVM is told about its functions."""

from typing import Any

from drystone.mlir import ir
from drystone.targets.target import CpuTarget

#: The functions a caller sees; everything else is internal.
PUBLIC = ("drystone_pool_create", "drystone_pool_destroy", "drystone_run", "drystone_entry_points")


def finish(module: Any, target: CpuTarget) -> None:
    """Set target and linkage of every function."""
    features = ", ".join(f'"{feature}"' for feature in target.features)
    attributes = {
        "target_cpu": ir.StringAttr.get(target.llvm_cpu),
        "target_features": ir.Attribute.parse(f"#llvm.target_features<[{features}]>"),
        "prefer_vector_width": ir.StringAttr.get(str(target.vector_bits)),
    }
    internal = ir.Attribute.parse("#llvm.linkage<internal>")
    for op in module.body.operations:
        operation = op.operation
        if operation.name != "llvm.func" or not len(operation.regions[0].blocks):
            continue
        for name, value in attributes.items():
            operation.attributes[name] = value
        if operation.attributes["sym_name"].value not in PUBLIC:
            operation.attributes["linkage"] = internal
