"""Kernels no family takes: lowered by MLIR's own linalg path to loops that LLVM vectorizes.

tensors -> memrefs of the caller (one-shot bufferization, results straight into their destinations)
        -> loop nests -> a grid over the outermost ones where they are independent
"""

from typing import Any

from drystone.codegen.cpu.fallback import grid, order, safety, sorting
from drystone.codegen.cpu.fallback.decode import decode_arguments
from drystone.codegen.cpu.fallback.sparse import SPARSIFY, assembled, is_sparse
from drystone.codegen.cpu.text import memref_type
from drystone.codegen.kernel import Kernel
from drystone.errors import InternalError
from drystone.ir.values import is_tensor, tensors
from drystone.mlir import bufferization, func, ir, linalg, parse, run_pipeline, walk

_BUFFERIZE = (
    "eliminate-empty-tensors,empty-tensor-to-alloc-tensor,one-shot-bufferize{allow-unknown-ops=1},cse"
)
_LOOPS = (
    "func.func(tm-tensor-to-loops),func.func(convert-linalg-to-parallel-loops),fold-memref-alias-ops,"
    "canonicalize,cse,func.func(buffer-hoisting,buffer-loop-hoisting,"
    "promote-buffers-to-stack{max-alloc-size-in-bytes=4096}),"
    "ownership-based-buffer-deallocation,canonicalize,buffer-deallocation-simplification,"
    "bufferization-lower-deallocations,lower-affine,canonicalize,cse"
)
_SCALARS = "convert-complex-to-standard,convert-math-to-funcs,func.func(arith-expand{include-bf16=true}),cse"


def lower(kernel: Any, name: str) -> Kernel:
    """The kernel function `kernel` (outlined form) as a Kernel called `name`.

    Raises InternalError where upstream passes cannot lower it.
    """
    module = parse(kernel.operation.get_asm(enable_debug_info=False), kernel.operation.context)
    with module.context, ir.Location.unknown():
        (function,) = module.body.operations
        function.attributes["sym_name"] = ir.StringAttr.get(name)
        kind = main_name(function)
        if kind.startswith("dry."):
            raise InternalError(f"no kernel family takes this {kind}:\n{function}")
        decode_arguments(function)
        run_pipeline(module, "func.func(convert-elementwise-to-linalg)")
        (function,) = module.body.operations
        order.arrange(function)
        _take_memrefs(function)
        _bufferize(module)
        sorts = sorting.lower_sorts(module, name)
        safety.clamp_slices(module)
        run_pipeline(module, _LOOPS)
        for made in sorts:
            sorting.define(module, made)
        function = _named(module, name)
        checks = safety.collect_checks(function)
        safety.clamp(function)
        safety.call_libm(module)
        _contract(module)
        run_pipeline(module, _SCALARS)
        function = _named(module, name)
        units = grid.split(function)
        _rename_globals(module, name)
        texts = [
            str(op.operation.get_asm(use_local_scope=True, enable_debug_info=False))
            for op in module.body.operations
        ]
    return Kernel(name, kind.split(".")[-1], "\n".join([*texts, units]), checks)


def _contract(module: Any) -> None:
    """Let a product and a sum become one operation."""
    allowed = ir.Attribute.parse("#arith.fastmath<contract>")
    for op in walk(module):
        if op.operation.name.startswith("arith.") and "fastmath" in op.operation.attributes:
            op.operation.attributes["fastmath"] = allowed


def main_name(function: Any) -> str:
    """The name of the one operation a kernel is for; of a fill or copy where it holds nothing else."""
    names = [op.operation.name for op in function.regions[0].blocks[0].operations]
    around = ("tensor.empty", "tensor.cast", "tensor.dim", "func.return")
    rest = [n for n in names if n not in around and not n.startswith(("arith.", "math.", "affine."))]
    main = [n for n in rest if n not in ("linalg.fill", "linalg.copy")]
    return str((main or rest or ["tensor.empty"])[0])


def _named(module: Any, name: str) -> Any:
    """The function of this name (passes make new ones)."""
    for op in module.body.operations:
        if op.operation.attributes["sym_name"].value == name:
            return op
    raise InternalError(f"the passes lost @{name}")


def _take_memrefs(function: Any) -> None:
    """Make every tensor argument a memref; write the results into the last of them.

    Before: (%x: tensor<4xf32>, %init: tensor<4xf32>) -> tensor<4xf32> { ..; return %r }
    After:  (%x: memref<4xf32>, %init: memref<4xf32>) { ..; materialize %r in %init; return }
    """
    block = function.regions[0].blocks[0]
    arguments = list(block.arguments)
    last = block.operations[len(block.operations) - 1]
    results = list(last.operation.operands)
    given = tensors(arguments)
    inits = given[len(given) - len(results) :]
    held = {}
    with ir.InsertionPoint.at_block_begin(block):
        for argument in arguments:
            kind = ir.Type.parse(memref_type(argument.type)) if is_tensor(argument) else argument.type
            new = block.add_argument(kind, argument.location)
            value = new
            if argument in given:
                write = argument in inits
                if is_sparse(argument.type):
                    value = assembled(argument.type, new)
                else:
                    value = bufferization.to_tensor(argument.type, new, restrict=True, writable=write)
                held[argument] = new
            argument.replace_all_uses_with(value)
    homes = [held[init] for init in inits]
    values = list(last.operation.operands)
    with ir.InsertionPoint(last):
        for value, home in zip(values, homes, strict=True):
            bufferization.materialize_in_destination(None, value, home, restrict=True, writable=True)
        func.ReturnOp([])
    last.operation.erase()
    for _ in arguments:
        block.erase_argument(0)
    kinds = [argument.type for argument in block.arguments]
    function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kinds, []))


def _bufferize(module: Any) -> None:
    """Tensors -> memrefs, of all operations."""
    sparse = any(op.operation.name == "sparse_tensor.assemble" for op in walk(module))
    run_pipeline(module, SPARSIFY if sparse else _BUFFERIZE)
    for op in walk(module):
        if op.operation.name.startswith("tm_tensor.") and len(op.operation.results):
            _bufferize_structured(op.operation)
    run_pipeline(module, "canonicalize,cse")
    for op in walk(module):
        if op.operation.name == "memref.copy":
            _spell_copy(op)


def _bufferize_structured(op: Any) -> None:
    """An operation of tm_tensor on tensors (upstream's bufferization knows none of them) -> the same one in
    place on the memory of its destinations, which are copies of the kernel's own."""
    memory = [v.owner.operands[0] if is_tensor(v) else v for v in op.operands]
    outs = memory[len(memory) - len(op.results) :]
    with ir.InsertionPoint(op), op.location:
        attributes = {name: op.attributes[name] for name in op.attributes}
        made = ir.Operation.create(op.name, [], memory, attributes, regions=len(op.regions))
        for region, own in zip(op.regions, made.regions, strict=True):
            region.blocks[0].append_to(own)
        for result, out in zip(op.results, outs, strict=True):
            for use in list(result.uses):
                if use.owner.operation.name == "bufferization.to_buffer":
                    use.owner.operation.results[0].replace_all_uses_with(out)
            result.replace_all_uses_with(bufferization.to_tensor(result.type, out, restrict=True))
    op.erase()


def _spell_copy(op: Any) -> None:
    """memref.copy -> a linalg.copy, so that it becomes loops as everything else (upstream calls a runtime
    function for strided memory, which is not there)."""
    source, target = op.operation.operands
    with ir.InsertionPoint(op), op.operation.location:
        linalg.copy(source, outs=[target])
    op.operation.erase()


def _rename_globals(module: Any, name: str) -> None:
    """Constants of a kernel get its name in front: kernels are put into one module."""
    known: dict[str, str] = {}
    for op in module.body.operations:
        if op.operation.name == "memref.global":
            old = op.operation.attributes["sym_name"].value
            known[old] = f"{name}{old}"
            op.operation.attributes["sym_name"] = ir.StringAttr.get(known[old])
    for op in walk(module):
        if op.operation.name == "memref.get_global":
            old = ir.FlatSymbolRefAttr(op.operation.attributes["name"]).value
            op.operation.attributes["name"] = ir.FlatSymbolRefAttr.get(known[old])
