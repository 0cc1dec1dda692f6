"""The scales of coded matrices, with zero points and minima, as kernels read them; adding a way to hold
scales means one case of `_number`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Self

from drystone.codegen.families.codes.numbers import FRACTION, code_numbers, float_of, in_all_lanes, shifted
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index
from drystone.errors import InternalError
from drystone.ir.encoding import Codes, Encoding, Per, Words
from drystone.ir.encoding.code import Code, Floats, Integers, code_of

#: Bits of a word and of a byte, and scales of scales that are converted at once.
_WORD, _BYTE, _AT_ONCE = 32, 8, 16


@dataclass(frozen=True)
class Factors:
    """What makes the numbers of codes real: (number - zero) * scale - minimum. f32 tiles [1, width] or
    [1, 1]; None: there are none."""

    scale: Tile | None
    zero: Tile | None
    minimum: Tile | None

    def with_shift(self, t: TileBuilder) -> "Factors":
        """The same with the zero point in the minimum: number * scale - minimum."""
        if self.zero is None or self.scale is None:
            return self
        shift = t.apply("arith.mulf", self.scale, self.zero)
        shift = shift if self.minimum is None else t.apply("arith.addf", shift, self.minimum)
        return Factors(self.scale, None, shift)

    def real(self, t: TileBuilder, number: Tile) -> Tile:
        """What the numbers of codes stand for."""
        if self.zero is not None:
            number = t.apply("arith.subf", number, self.zero)
        if self.scale is not None:
            number = t.apply("arith.mulf", number, self.scale)
        return number if self.minimum is None else t.apply("arith.subf", number, self.minimum)


@dataclass(frozen=True)
class CodedScales:
    """The scales of a coded matrix [n, k]: `Joined` parts in panels of `width` outputs, each a tensor that
    lies in the parameter's bytes."""

    codes: Codes
    tensors: Mapping[str, Tensor]
    width: int
    depth: int  #: k

    @property
    def group(self) -> int:
        """Neighbouring k that share their factors; 0: all."""
        scale = self.codes.scale
        size = 0 if scale is None else scale.per.sizes[0]
        return 0 if size >= self.depth else size

    @property
    def sharing(self) -> int:
        """Neighbouring groups along k whose scales, zero points or minima share bytes."""
        children = {} if self.codes.scale is None else self.codes.scale.children()
        bits = [each.code.bits for each in children.values() if isinstance(each, Codes)]
        return _BYTE // min([_BYTE, *bits])

    def factors(self, t: TileBuilder, panel: Index, k: Index, lane: Index | None = None) -> Factors:
        """What the codes from k on, as far as they share it, are to be multiplied with and less by; of one
        lane of the panel alone if it is given."""
        scale = self.codes.scale
        if scale is None:
            return Factors(None, None, None)
        block = k // self.group if self.group else index(0)
        place = _Place(panel, block, *((index(0), self.width) if lane is None else (lane, 1)))
        return _factors({name: self._held(t, name, child, place) for name, child in scale.children().items()})

    def _held(self, t: TileBuilder, key: str, child: Encoding, at: "_Place") -> Tile:
        """Scales, zero points or minima of one block along k."""
        assert isinstance(child, Codes) and isinstance(child.element, str)
        code, tensor = code_of(child.element), self.tensors[key]
        number = _few_bits(t, code, tensor, at) if code.bits < _BYTE else _number(t, code, at.of(t, tensor))
        if child.scale is None:
            return number
        seconds, shared = child.scale.children(), self._shared_by(child.scale.per)
        made = {name: self._second(t, self.tensors[f"{key}.{name}"], shared, at) for name in seconds}
        return _factors(made).real(t, number)

    def _second(self, t: TileBuilder, tensor: Tensor, shared: tuple[int, int], at: "_Place") -> Tile:
        """Scales of scales of one block along k, or what else belongs to them: one for each output, or one
        for all of them."""
        outputs, blocks = shared
        at = replace(at, block=at.block // blocks if blocks else index(0))
        if outputs == 1 or not tensor.shape:
            return at.of(t, tensor)
        count = self._in_panel(outputs)
        if tensor.scratch:
            each = [t.reshape(t.load(tensor, [at.block * count + i], [1]), (1, 1)) for i in range(count)]
            return _side_by_side(t, each, outputs)
        panel, first = at.panel * self.width // outputs // count, at.first // outputs % count
        places = [replace(at, panel=panel, first=first + i, count=1) for i in range(count)]
        return _side_by_side(t, [place.of(t, tensor) for place in places[: at.count]], outputs)

    def with_seconds(self, t: TileBuilder, panel: Index) -> Self:
        """The same, of one panel alone, with the scales of scales that several outputs share in scratch as
        f32: converted many at once, not one after the other."""
        scale, found = self.codes.scale, dict(self.tensors)
        for name, child in {} if scale is None else scale.children().items():
            second = child.scale if isinstance(child, Codes) else None
            outputs = 1 if second is None else self._shared_by(second.per)[0]
            if second is not None and outputs > 1:
                at = panel * self.width // outputs // self._in_panel(outputs)
                keys = [f"{name}.{each}" for each in second.children()]
                found |= {key: _converted(t, self.tensors[key], at) for key in keys}
        return replace(self, tensors=found)

    def _in_panel(self, outputs: int) -> int:
        """How many runs of so many outputs, which share something, a panel has."""
        return max(1, self.width // outputs)

    def _shared_by(self, per: Per) -> tuple[int, int]:
        """How many outputs, and how many blocks along k, share a scale of scales; 0: all."""
        layout, scale = self.codes.layout, self.codes.scale
        assert isinstance(layout, Words) and scale is not None
        if scale.per.sizes[0] == 0:  # one block along k
            return per.all_sizes(1)[0], 0
        sizes = per.all_sizes(2)
        return sizes[layout.axis], sizes[1 - layout.axis]


@dataclass(frozen=True)
class _Place:
    """Some neighbouring outputs of a panel, and one block along k."""

    panel: Index
    block: Index
    first: Index
    count: int

    def of(self, t: TileBuilder, tensor: Tensor) -> Tile:
        """What lies there, [1, count] or [1, 1], in panels of blocks, in panels, or once for all."""
        match len(tensor.shape):
            case 3:
                return t.load(tensor, [self.panel, self.block, self.first], [None, 1, self.count])
            case 2:
                return t.load(tensor, [self.panel, self.first], [1, self.count])
            case _:
                return t.reshape(t.load(tensor, [], []), (1, 1))


def _factors(made: Mapping[str, Tile]) -> Factors:
    """What belongs to a scale, by the names of `Scale.children`."""
    return Factors(made["scale"], made.get("zero_point"), made.get("minimum"))


def _converted(t: TileBuilder, tensor: Tensor, panel: Index) -> Tensor:
    """All that a tensor has of a panel, in scratch."""
    panels, *rows = (n or 0 for n in tensor.shape)
    size = prod(rows)
    whole, made = tensor.reshaped((panels, size)), t.scratch((-(-size // _AT_ONCE) * _AT_ONCE,), "f32")
    t.loop(size, _AT_ONCE, lambda i: t.store(made, [i], t.load(whole, [panel, i], [None, _AT_ONCE])))
    return made


def _side_by_side(t: TileBuilder, parts: Sequence[Tile], count: int) -> Tile:
    """Numbers [1, 1], each so many times in a row; one as it is."""
    first, *others = parts
    lanes = t.iota(0, (1, count * len(parts)), 1, "i32")
    for number, part in enumerate(others, 1):
        start = t.full(number * count, (1, 1), "i32")
        after = t.apply("arith.cmpi", lanes, start, predicate="sge", dtype="i1")
        first = t.apply("arith.select", after, part, first, dtype="f32")
    return first


def _few_bits(t: TileBuilder, code: Code, tensor: Tensor, at: _Place) -> Tile:
    """The numbers of codes several of which, neighbours along k, share a byte: [panels, bytes, width, 1]."""
    run = _BYTE // code.bits
    bytes_ = tensor.reshaped([n or 0 for n in tensor.shape[:-1]])
    held = t.apply("arith.extui", replace(at, block=at.block // run).of(t, bytes_), dtype="i32")
    low = t.apply("arith.trunci", in_all_lanes(t, at.block % run * code.bits), dtype="i32")
    return code_numbers(t, code, t.apply("arith.shrui", held, low))


def _number(t: TileBuilder, code: Code, held: Tile) -> Tile:
    """The numbers of scales, zero points or minima as they were loaded."""
    if held.dtype == "f32":
        return held
    if isinstance(code, Integers):
        wide = t.apply("arith.extui" if code.unsigned else "arith.extsi", held, dtype="i32")
        return t.apply("arith.sitofp", wide, dtype="f32")
    wide = t.apply("arith.extui", held, dtype="i32")
    if code.name == "e8m0":
        # 2^-127, whose code is 0, is half the least number with an exponent.
        bits = t.apply(
            "arith.maxsi", shifted(t, "arith.shli", wide, FRACTION), t.full(1 << 22, (1, 1), "i32")
        )
        return t.apply("arith.bitcast", bits, dtype="f32")
    if not isinstance(code, Floats):
        raise InternalError(f"no kernel decodes scales of {code.name}")
    return float_of(t, code, shifted(t, "arith.shli", wide, _WORD - code.bits))
