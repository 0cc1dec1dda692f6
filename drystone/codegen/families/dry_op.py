"""A kernel function around one `dry` operation, as the families of `dry` operations read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import wide
from drystone.codegen.families.region import dtype_of
from drystone.codegen.tile import Scalar, Tensor, Tile, TileBuilder
from drystone.codegen.workspace import workspaces
from drystone.errors import InternalError
from drystone.ir.encoding import encoding_of, storage_shape
from drystone.ir.layout import Pack
from drystone.ir.values import is_tensor, uncast
from drystone.mlir import ir


@dataclass(frozen=True)
class DryOp:
    """The operation, the tensors of its kernel in call order (in their storage shapes; without workspaces),
    its destinations in the order of the operation's results, and the scalars."""

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


def dry_op(kernel: Any) -> DryOp:
    """Read a kernel function whose main operation is of the dialect `dry`."""
    (block,) = kernel.regions[0].blocks
    tensors: list[Tensor] = []
    scalars: list[Scalar] = []
    named: list[tuple[Any, Tensor]] = []
    for argument in block.arguments:
        if not is_tensor(argument):
            scalars.append(Scalar(f"n{len(scalars)}", dtype_of(argument.type)))
            continue
        dynamic = ir.ShapedType.get_dynamic_size()
        shape = tuple(None if n == dynamic else n for n in storage_shape(argument.type))
        tensors.append(Tensor(f"a{len(tensors)}", encoding_of(argument.type).held_as, shape))
        named.append((argument, tensors[-1]))
    operations = list(block.operations)
    (main,) = (op for op in operations if op.operation.name.startswith("dry."))
    own = workspaces(kernel)
    tensors = tensors[: len(tensors) - own]
    returned = [uncast(value) for value in operations[-1].operation.operands]
    returned = returned[: len(returned) - own]
    first = len(tensors) - len(returned)
    inits = tuple(tensors[first + returned.index(result)] for result in main.operation.results)
    return DryOp(main, tuple(tensors), inits, tuple(scalars), tuple(named))


def pack_of(value: Any) -> Pack | None:
    """The blocked layout an operand is stored in."""
    return encoding_of(uncast(value).type).layout


def widened(t: TileBuilder, tile: Tile) -> Tile:
    """The tile in the element it is computed in."""
    return tile if wide(tile.dtype) == tile.dtype else t.apply("arith.extf", tile, dtype=wide(tile.dtype))


def narrowed(t: TileBuilder, tile: Tile, dtype: str) -> Tile:
    """The tile in the element it is stored in."""
    return tile if tile.dtype == dtype else t.apply("arith.truncf", tile, dtype=dtype)
