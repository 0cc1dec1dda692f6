"""Which convolutions and pools can be ones of bytes, and what is to be known of their images before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from drystone.ir.dialect import MAX_EXTRAS
from drystone.ir.program import Program
from drystone.ir.shapes import layouts
from drystone.ir.values import main_block, producer_name, shape
from drystone.passes.fusing.epilogues import extras_of
from drystone.passes.layout.moves import permutation_of
from drystone.passes.layout.unfolded import TAPS, fills_lanes, is_depthwise, joined_groups
from drystone.passes.quantizing.quantize_products import Formats, holds_bytes
from drystone.passes.rewriting import ops
from drystone.passes.weights import model_name, weight_key
from drystone.targets.target import Target


@dataclass(frozen=True)
class Convolution:
    """A convolution that can be one of bytes, the key of its weight, and what the model calls that; a weight
    that several read has a number for each but the first. joined: groups of the model that are one."""

    op: Any
    key: str
    name: str
    joined: int

    @property
    def depthwise(self) -> bool:
        """Whether every channel is a group."""
        return is_depthwise(self.op)

    def images(self) -> Iterator[tuple[int, Any]]:
        """The number and value of operands that may be held in bytes: the image, and residuals."""
        operation = self.op.operation
        for number, value in enumerate(operation.operands):
            if number == 0 or (number > 1 and value.type == operation.results[0].type):
                yield number, value


def chosen(program: Program, target: Target | None, formats: Formats) -> list[Convolution]:
    """Convolutions that are to be ones of bytes, in order."""
    found: list[Convolution] = []
    seen: dict[str, int] = {}
    for op in ops(main_block(program), "dry.conv") if formats and target else []:
        key = weight_key(op.operation.operands[1])
        if key is None or target is None or not _is_quantizable(op, target):
            continue
        if not holds_bytes(program, formats, key):
            continue
        name = model_name(key)
        seen[name] = seen.get(name, 0) + 1
        shown = name if seen[name] == 1 else f"{name} ({seen[name]})"
        joined = 1 if is_depthwise(op) else joined_groups(op, target)
        found.append(
            Convolution(op, key, shown, joined if op.operation.attributes["groups"].value > 1 else 1)
        )
    return found


def _is_quantizable(op: Any, target: Target) -> bool:
    operation = op.operation
    x, weight = operation.operands[0], operation.operands[1]
    plain = all(str(v.type.element_type) == "f32" and v.type.encoding is None for v in (x, weight))
    attributes = operation.attributes
    layout, groups = attributes["layout"].value, attributes["groups"].value
    if not plain or attributes["transposed"].value or layouts(layout)[1] != "nhwc":
        return False
    if target.neighbours("i8", "i8") == 1 or len(extras_of(op)) >= MAX_EXTRAS:
        return False
    if groups == 1:
        return fills_lanes(op, target)
    known = shape(x)[-2] is not None and weight.type.shape[-1] <= TAPS
    return layout == "nhwc" and (is_depthwise(op) or (known and joined_groups(op, target) > 0))


def is_largest(op: Any) -> bool:
    """Whether an operation takes maxima of positions, channels last."""
    if op is None or op.operation.name != "dry.pool":
        return False
    kind, layout = (op.operation.attributes[name].value for name in ("kind", "layout"))
    return bool(kind == "max" and layout == "nhwc")


def is_moved(op: Any) -> bool:
    """Whether an operation gives numbers of its first operand as they are."""
    views = ("tensor.expand_shape", "tensor.collapse_shape", "tensor.extract_slice")
    return op.name in views or (op.name == "linalg.generic" and permutation_of(op.results[0]) is not None)


def keeps(op: Any) -> bool:
    """Whether an operation gives numbers of its first operand: as they are, or the largest."""
    return is_largest(op) or (op is not None and is_moved(op.operation))


def is_average(op: Any) -> bool:
    """Whether an operation takes averages of positions, channels last."""
    kind, layout = (op.operation.attributes[name].value for name in ("kind", "layout"))
    return bool(kind == "avg" and layout == "nhwc")


def observed(program: Program, convolutions: Sequence[Convolution]) -> list[tuple[str, Any]]:
    """The names and values that are observed for some convolutions: their images and, where there are any,
    what is averaged."""
    found = [(f"{each.name} {number}", value) for each in convolutions for number, value in each.images()]
    averages = enumerate(_averages(program)) if found else ()
    return found + [(f"average {number}", op.operation.operands[0]) for number, op in averages]


def _averages(program: Program) -> list[Any]:
    """The averages of what convolutions or pools make."""
    pools = [op for op in ops(main_block(program), "dry.pool") if is_average(op)]
    return [op for op in pools if producer_name(op.operation.operands[0]) in ("dry.conv", "dry.pool")]
