"""Sparse weights of kernels of upstream passes: MLIR's own sparsification makes loops over their elements
(Bik et al. 2022, "Compiler Support for Sparse Tensor Computations in MLIR")."""

from typing import Any

from drystone.codegen.elements import width as bits_of
from drystone.ir.encoded import encoding_of
from drystone.ir.encoding import Joined, Sparse
from drystone.ir.sparse_tensors import sparse_tensor_encoding
from drystone.mlir import arith, bufferization, ir, memref, sparse_tensor

#: Named operations -> loops over what is held, on memory.
SPARSIFY = (
    "func.func(linalg-generalize-named-ops),"
    "sparsification-and-bufferization{parallelization-strategy=dense-outer-loop}"
)


def is_sparse(kind: Any) -> bool:
    """Whether a tensor is held without zeros, in one array."""
    encoding = None if kind.encoding is None else encoding_of(kind)
    return isinstance(encoding, Joined) and isinstance(encoding.base, Sparse)


def assembled(kind: Any, memory: Any) -> Any:
    """The tensor of the dialect `sparse_tensor` whose starts, indices and values lie in a memref of bytes.

    Before: %memory : memref<5328xi8>
    After:  %starts, %index, %values = tensors of memref.view %memory[..]
            sparse_tensor.assemble (%starts, %index), %values
                : .. to tensor<64x96xf64, #sparse_tensor.encoding<..>>
    """
    encoding, rank = encoding_of(kind), kind.rank
    assert isinstance(encoding, Joined) and isinstance(encoding.base, Sparse)
    places = encoding.places(kind.shape)

    def part(name: str) -> Any:
        at, held, element = places[name]
        offset = arith.ConstantOp(ir.IndexType.get(), at).result
        view = memref.view(ir.MemRefType.get(held, ir.Type.parse(element)), memory, offset, [])
        return bufferization.to_tensor(
            ir.RankedTensorType.get(held, view.type.element_type), view, restrict=True
        )

    spelled = sparse_tensor_encoding(encoding.base.pattern, rank, bits_of(places["index"][2]))
    made = ir.RankedTensorType.get(kind.shape, kind.element_type, ir.Attribute.parse(spelled))
    return sparse_tensor.assemble(made, [part("starts"), part("index")], part("values"))
