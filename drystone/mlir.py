"""The only module that touches MLIR's Python bindings (the wheel torch-mlir).

Everything else in drystone imports `ir`, `rewrite`, the dialect modules and the helpers from here, so that a
change of the bindings has one place to be followed. Importing this module loads MLIR; nothing that
`import drystone` runs may import it.
"""

import re
from typing import TYPE_CHECKING, Any, ClassVar

from torch_mlir import execution_engine, ir, passmanager, rewrite
from torch_mlir.dialects import (
    affine,
    arith,
    bufferization,
    cf,
    ext,
    func,
    linalg,
    math,
    memref,
    scf,
    sparse_tensor,
    tensor,
    vector,
)
from torch_mlir.dialects import torch as torch_dialect

from drystone.errors import InternalError, Place

__all__ = [
    "Dialect",
    "affine",
    "arith",
    "bufferization",
    "cf",
    "copy_of",
    "execution_engine",
    "ext",
    "func",
    "ints",
    "ir",
    "ir_place",
    "ir_places",
    "linalg",
    "math",
    "memref",
    "parse",
    "rewrite",
    "run_pipeline",
    "scf",
    "sparse_tensor",
    "tensor",
    "text",
    "torch_dialect",
    "vector",
    "walk",
]

if TYPE_CHECKING:

    class Dialect:
        """What `torch_mlir.dialects.ext.Dialect` offers, as far as drystone uses it."""

        class Operation:
            """Base of an operation's class; its annotated fields are operands, results, attributes,
            regions."""

            operation: Any
            results: Any
            operands: Any
            location: Any

            def __init__(self, *args: Any, **kwargs: Any) -> None: ...
            def __init_subclass__(cls, *, name: str = "", traits: Any = (), **kwargs: Any) -> None: ...

        class Attribute:
            """Base of an attribute's class; its annotated fields are its parameters."""

            params: Any

            def __init__(self, attribute: Any) -> None: ...
            def __init_subclass__(cls, *, name: str = "", **kwargs: Any) -> None: ...
            @classmethod
            def get(cls, *args: Any, context: Any = None) -> Any: ...

        #: The classes of its operations.
        operations: ClassVar[list[Any]]

        def __init_subclass__(cls, *, name: str, **kwargs: Any) -> None: ...
        @classmethod
        def load(cls) -> None: ...

else:
    Dialect = ext.Dialect


def parse(source: str, ctx: ir.Context) -> ir.Module:
    """Parse the text of a module in `ctx`."""
    with ctx, ir.Location.unknown():
        return ir.Module.parse(source)


def copy_of(module: ir.Module) -> ir.Module:
    """The same module once more, locations and all, in the same context."""
    with module.context, ir.Location.unknown():
        copy = ir.Module.create(module.operation.location)
        for op in module.body.operations:
            copy.body.append(op.operation.clone())
        for name, attribute in module.operation.attributes.items():
            copy.operation.attributes[name] = attribute
    return copy


def text(module: ir.Module, *, locations: bool = False) -> str:
    """The module's text, re-parseable; with `locations`, with the model's file:line after each operation."""
    return str(module.operation.get_asm(enable_debug_info=locations))


def run_pipeline(module: ir.Module, passes: str) -> None:
    """Run upstream passes, written as in `builtin.module(<passes>)`, on the module in place.

    Raises InternalError with MLIR's diagnostics where a pass fails.
    """
    with module.context, ir.Location.unknown():
        manager = passmanager.PassManager.parse(f"builtin.module({passes})")
        before = module.operation.clone()
        try:
            manager.run(module.operation)
        except ir.MLIRError as error:
            given = str(before.get_asm(enable_debug_info=True))
            raise InternalError(
                f"MLIR pass pipeline failed: {passes}\n{error}", ir=given, left=passes
            ) from error


def walk(root: Any) -> list[Any]:
    """Every operation below `root` (itself left out), in order, as views of the most derived class."""
    found: list[Any] = []

    def visit(op: Any) -> Any:
        found.append(op.opview)
        return ir.WalkResult.ADVANCE

    root.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found[1:]


def ints(attribute: Any) -> list[int]:
    """The Python integers of an ArrayAttr of IntegerAttr."""
    return [ir.IntegerAttr(item).value for item in attribute]


#: A string in a location's text, and the line that follows where the string is a file.
_NAME_OR_FILE = re.compile(r'"((?:[^"\\]|\\.)*)"(?::(\d+):\d+)?')
_ESCAPE = re.compile(rb"\\([0-9A-Fa-f]{2}|.)")


def ir_place(op: Any) -> Place | None:
    """The layer and the line of the user's own model that an operation came from; of an operation made of
    several, those of the first.

    Of a chain of calls that is the innermost line outside torch itself.
    """
    return _place(str(op.location))


def ir_places(op: Any) -> list[Place]:
    """The places that an operation came from, each once: those of all parts where it was made of several."""
    location = op.location
    parts = location.locations if isinstance(location, ir.FusedLoc) else [location]
    return list(dict.fromkeys(place for part in parts if (place := _place(str(part))) is not None))


def _place(location: str) -> Place | None:
    # The bindings give locations as text only: "layer"("file":line:column), callsite(inner at outer),
    # fused<"what">[one, other], unknown.
    layer, places = "", []
    for name, line in _NAME_OR_FILE.findall(re.sub(r"fused<[^>]*>", "fused", location)):
        if line:
            places.append(Place(_plain(name), int(line), layer))
        elif not places:
            layer = _plain(name)
    own = [place for place in places if "/torch/" not in f"/{place.file}"]
    return next(iter([*own, *places]), Place(layer=layer) if layer else None)


def _plain(text: str) -> str:
    """A string as MLIR prints it, without its escapes."""
    found = _ESCAPE.sub(lambda m: bytes.fromhex(m[1].decode()) if len(m[1]) > 1 else m[1], text.encode())
    return found.decode(errors="replace")
