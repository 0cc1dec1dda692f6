"""The one place that touches torch-mlir's importer of torch.fx graphs and its table of decompositions."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch_mlir.extras.fx_decomp_util import get_decomposition_table
from torch_mlir.extras.fx_importer import ContextCache, FxImporter, GraphNodeImporter

from drystone.frontend.origin import location
from drystone.frontend.types import Site, tensor_type
from drystone.mlir import arith, ir

#: Makes the operations that stand for an ATen operation: takes the site and the operation's arguments by
#: their names in ATen's schema; gives the results as builtin tensors, or None where it does not know how.
Converter = Callable[..., Sequence[Any] | None]

if TYPE_CHECKING:

    class _NodeImporter:
        """What torch-mlir's GraphNodeImporter offers, as far as it is used here."""

        _cc: Any
        _multi_result_nodes: set[Any]

        def __init__(self, *args: Any) -> None: ...
        def resolve_node_value(self, node: Any, result_index: int = 0) -> Any: ...
        def bind_node_value(self, node: Any, value: Any, result_index: int = 0) -> None: ...
        def _import_torch_op_overload(self, loc: Any, node: Any, concrete_target: Any = None) -> None: ...

    class _ContextCache:
        """What the importer asks about types, attributes and locations."""

        def __init__(self, context: Any, *, py_attr_tracker: Any) -> None: ...

else:
    _NodeImporter = GraphNodeImporter
    _ContextCache = ContextCache


class _Cache(_ContextCache):
    def get_node_location(self, node: Any) -> Any:
        # The importer's own locations are whole stacks of absolute paths and know no layers.
        return location(node)


def decompositions() -> dict[Any, Callable[..., Any]]:
    """torch-mlir's choice of decompositions: ATen operation -> function (a fresh dict)."""
    return dict(get_decomposition_table())


def import_graph(graph: Any, converters: Mapping[str, Converter], ctx: ir.Context) -> Any:
    """The torch.fx graph as a module with `@main` in the torch dialect; every placeholder is an argument.

    Operations with a converter that accepts them become what it makes, between torch_c casts.
    """

    class Importer(_NodeImporter):
        def _import_torch_op_overload(self, loc: Any, node: Any, concrete_target: Any = None) -> None:
            converter = converters.get(str(node.target)) if concrete_target is None else None
            with loc:
                results = (
                    converter(Site(node, self._builtin, self._index), **_arguments(node))
                    if converter
                    else None
                )
                if results is not None:
                    self._bind(node, results)
                    return
            super()._import_torch_op_overload(loc, node, concrete_target)

        def _builtin(self, node: Any) -> Any:
            value = self.resolve_node_value(node)
            operation = ir.Operation.create(
                "torch_c.to_builtin_tensor", [tensor_type(node.meta["val"])], [value]
            )
            return operation.result

        def _index(self, size: Any) -> Any:
            index = ir.IndexType.get()
            if isinstance(size, int):
                return arith.ConstantOp(index, size).result
            wide = ir.IntegerType.get_signless(64)
            whole = ir.Operation.create("torch_c.to_i64", [wide], [self.resolve_node_value(size)])
            return arith.IndexCastOp(index, whole.result).result

        def _bind(self, node: Any, results: Sequence[Any]) -> None:
            metas = node.meta["val"]
            if isinstance(metas, list | tuple):
                self._multi_result_nodes.add(node)
            else:
                metas = [metas]
            for index, (value, meta) in enumerate(zip(results, metas, strict=True)):
                kind = self._cc.value_info_to_type(meta)
                cast = ir.Operation.create("torch_c.from_builtin_tensor", [kind], [value])
                self.bind_node_value(node, cast.result, index)

    with ctx:
        importer = FxImporter(context=ctx, graph_node_importer_cls=Importer)
        importer._cc = _Cache(ctx, py_attr_tracker=importer._py_attr_tracker)
        function = importer.import_stateless_graph(graph, func_name="main")
        # Shapes that torch.export has proved equal need no check when the model runs.
        function.attributes["torch.assume_strict_symbolic_shapes"] = ir.UnitAttr.get()
    return importer.module


def _arguments(node: Any) -> dict[str, Any]:
    """The node's arguments by the names of the operation's schema, defaults filled in."""
    named: dict[str, Any] = {}
    for position, parameter in enumerate(node.target._schema.arguments):
        if position < len(node.args):
            named[parameter.name] = node.args[position]
        else:
            named[parameter.name] = node.kwargs.get(parameter.name, parameter.default_value)
    return named
