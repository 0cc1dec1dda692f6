"""From nodes of torch's graph to `dry` operations: a table of small functions, named by the operation.

A function takes the site and the operation's arguments by ATen's names, tensors as nodes of the graph; it
gives the results, or None where torch-mlir's own lowering is to take the node.
"""

from drystone.frontend.convert import constants, conv, matmul, normalize, pool, sequence, update, views
from drystone.frontend.importer import Converter
from drystone.registry import Registry

CONVERTERS: Registry[Converter] = Registry(
    "operator of torch",
    {
        **constants.CONVERTERS,
        **matmul.CONVERTERS,
        **conv.CONVERTERS,
        **normalize.CONVERTERS,
        **pool.CONVERTERS,
        **sequence.CONVERTERS,
        **update.CONVERTERS,
        **views.CONVERTERS,
    },
)
