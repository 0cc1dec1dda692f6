"""The last touches on a module of the LLVM dialect: what LLVM is told about its functions."""

from typing import Any

from drystone.codegen.cpu.dispatch import WAYS
from drystone.mlir import ir
from drystone.targets.target import CpuTarget

#: The functions a caller sees; everything else is internal.
PUBLIC = ("drystone_pool_create", "drystone_pool_destroy", "drystone_run", "drystone_entry_points")


#: On a kernel function until the end: the positions of the arguments, once memrefs have become pointers and
#: numbers, that point to memory no other argument writes.
_RESTRICT = "drystone.restrict"


def promise(function: Any) -> None:
    """Note on a kernel's function that its tensors do not overlap. True of all but those that share memory on
    purpose, and harmless there as long as each element is read before it is written: do not say it of a
    kernel with several results."""
    places, at = [], 0
    for kind in function.operation.regions[0].blocks[0].arguments:
        if isinstance(kind.type, ir.MemRefType):
            # A memref becomes the allocated and the aligned pointer, an offset, extents and strides.
            places.append(at + 1)
            at += 3 + 2 * ir.MemRefType(kind.type).rank
        else:
            at += 1
    function.operation.attributes[_RESTRICT] = ir.DenseI64ArrayAttr.get(places)


def target_attributes(target: CpuTarget) -> dict[str, Any]:
    """What says of a function of the LLVM dialect which processor runs it."""
    features = ", ".join(f'"{feature}"' for feature in target.features)
    return {
        "target_cpu": ir.StringAttr.get(target.llvm_cpu),
        "target_features": ir.Attribute.parse(f"#llvm.target_features<[{features}]>"),
    }


def finish(module: Any, target: CpuTarget) -> None:
    """Set target, linkage and promises of every function; keep kernels and their dispatchers whole."""
    width = ir.StringAttr.get(str(target.vector_bits))
    attributes = target_attributes(target) | {"prefer_vector_width": width}
    internal = ir.Attribute.parse("#llvm.linkage<internal>")
    for op in module.body.operations:
        operation = op.operation
        if operation.name != "llvm.func" or not len(operation.regions[0].blocks):
            continue
        for name, value in attributes.items():
            operation.attributes[name] = value
        name = operation.attributes["sym_name"].value
        if name not in PUBLIC:
            operation.attributes["linkage"] = internal
        if name.endswith(tuple(f"_{way}" for way in WAYS)) or _RESTRICT in operation.attributes:
            operation.attributes["no_inline"] = ir.UnitAttr.get()
        if _RESTRICT in operation.attributes:
            _restrict(operation)


def _restrict(operation: Any) -> None:
    """Turn the note of `promise` into attributes of arguments."""
    places = set(operation.attributes[_RESTRICT])
    noalias, none = ir.Attribute.parse("{llvm.noalias}"), ir.Attribute.parse("{}")
    count = len(operation.regions[0].blocks[0].arguments)
    operation.attributes["arg_attrs"] = ir.ArrayAttr.get(
        [noalias if i in places else none for i in range(count)]
    )
    del operation.attributes[_RESTRICT]
