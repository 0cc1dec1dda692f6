"""A kernel function around `dry` operations, as the families of these read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import is_float, wide
from drystone.codegen.families.codes.decoding import CodedMatrix
from drystone.codegen.families.region import dtype_of
from drystone.codegen.families.sparse.listed import ListedMatrix
from drystone.codegen.families.sparse.structured import StructuredMatrix
from drystone.codegen.tile import Scalar, Tensor, Tile, TileBuilder
from drystone.codegen.workspace import workspaces
from drystone.errors import InternalError
from drystone.ir.encoded import encoding_of, is_coded, storage_element, storage_shape
from drystone.ir.encoded import pack_of as kind_pack
from drystone.ir.encoding import Flat, Joined, Pack, Sparse, Structured
from drystone.ir.values import is_tensor, uncast
from drystone.mlir import ir


@dataclass(frozen=True)
class DryOp:
    """The operation, the tensors of its kernel in call order (in their storage shapes; without workspaces),
    its destinations in the order of the operation's results (none where another operation of the kernel alone
    reads them), and the scalars."""

    main: Any
    tensors: tuple[Tensor, ...]
    inits: tuple[Tensor, ...]
    scalars: tuple[Scalar, ...]
    named: tuple[tuple[Any, Tensor], ...]

    def tensor(self, value: Any) -> Tensor:
        """The kernel's parameter behind an operand (through casts)."""
        source = uncast(value)
        for argument, tensor in self.named:
            if argument == source:
                return tensor
        raise InternalError(f"{self.main.operation.name} reads a value that is no parameter: {value}")

    def all(self, values: Sequence[Any]) -> list[Tensor]:
        """The parameters behind several operands."""
        return [self.tensor(value) for value in values]


def parameter(name: str, kind: Any) -> Tensor:
    """The parameter that a tensor type makes, in its storage shape; of codes, the bytes they lie in (see
    `coded_matrix`)."""
    element, held = str(kind.element_type), storage_element(kind)
    dynamic = ir.ShapedType.get_dynamic_size()
    shape = tuple(None if n == dynamic else n for n in storage_shape(kind))
    if is_coded(kind):
        return Tensor(name, held, shape)
    return Tensor(name, element, shape, code="" if held == element else held)


def dry_op(kernel: Any) -> DryOp:
    """Read a kernel function whose main operation is of the dialect `dry`."""
    (one,) = dry_ops(kernel)
    return one


def dry_ops(kernel: Any) -> list[DryOp]:
    """Read a kernel function of one or more operations of the dialect `dry`."""
    (block,) = kernel.regions[0].blocks
    tensors: list[Tensor] = []
    scalars: list[Scalar] = []
    named: list[tuple[Any, Tensor]] = []
    for argument in block.arguments:
        if not is_tensor(argument):
            scalars.append(Scalar(f"n{len(scalars)}", dtype_of(argument.type)))
            continue
        tensors.append(parameter(f"a{len(tensors)}", argument.type))
        named.append((argument, tensors[-1]))
    operations = list(block.operations)
    own = workspaces(kernel)
    tensors = tensors[: len(tensors) - own]
    returned = [uncast(value) for value in operations[-1].operation.operands]
    returned = returned[: len(returned) - own]
    first = len(tensors) - len(returned)
    found = []
    for main in (op for op in operations if op.operation.name.startswith("dry.")):
        results = [result for result in main.operation.results if result in returned]
        inits = tuple(tensors[first + returned.index(result)] for result in results)
        found.append(DryOp(main, tuple(tensors), inits, tuple(scalars), tuple(named)))
    return found


def pack_of(value: Any) -> Pack | None:
    """The blocked layout an operand is stored in."""
    return kind_pack(uncast(value).type)


def coded_matrix(op: DryOp, value: Any) -> CodedMatrix | None:
    """The coded matrix that an operand is; None where it holds the numbers themselves,
    or some of them."""
    kind = uncast(value).type
    if not is_coded(kind):
        return None
    encoding = encoding_of(kind)
    if not isinstance(encoding, Joined):
        raise InternalError(f"no kernel decodes {kind}")
    if isinstance(encoding.base, Sparse):
        return None
    n, k = kind.shape
    return CodedMatrix.of(encoding, (n, k), op.tensor(value))


def sparse_matrix(op: DryOp, value: Any) -> ListedMatrix | StructuredMatrix | None:
    """The sparse matrix that an operand is; None where it is none."""
    kind = uncast(value).type
    encoding, shape = encoding_of(kind), list(kind.shape)
    if not isinstance(encoding, Joined):
        return None
    base = encoding.base
    if isinstance(base, Flat):
        shape, base = list(base.matrix(shape)), base.base
    if not isinstance(base, Sparse):
        return None
    kinds = StructuredMatrix if isinstance(base.pattern, Structured) else ListedMatrix
    return kinds.of(Joined(base), shape, op.tensor(value))


def widened(t: TileBuilder, tile: Tile) -> Tile:
    """The tile in the element it is computed in."""
    return tile if wide(tile.dtype) == tile.dtype else t.apply("arith.extf", tile, dtype=wide(tile.dtype))


def widened_to(t: TileBuilder, tile: Tile, dtype: str) -> Tile:
    """The tile of floats in an element that is as long as the one it is computed in, or longer."""
    tile = widened(t, tile)
    return tile if tile.dtype == dtype else t.apply("arith.extf", tile, dtype=dtype)


def summand(t: TileBuilder, tile: Tile, dtype: str) -> Tile:
    """The tile as numbers that are summed in an element: floats widened, integers as those or longer."""
    if is_float(tile.dtype) or tile.dtype == dtype:
        return widened(t, tile)
    return t.apply("arith.sitofp" if is_float(dtype) else "arith.extsi", tile, dtype=dtype)


def narrowed(t: TileBuilder, tile: Tile, dtype: str) -> Tile:
    """The tile in the element it is stored in."""
    return tile if tile.dtype == dtype else t.apply("arith.truncf", tile, dtype=dtype)


def laid_down(t: TileBuilder, acc: Tile) -> Tile:
    """Sums in memory, from where products of tiles of another shape go on."""
    kept = t.scratch(acc.shape, acc.dtype)
    t.store(kept, [0, 0], acc)
    return t.load(kept, [0, 0], acc.shape)
