"""Codes with scales: the leaf of every encoding."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from drystone.dtypes import Array
from drystone.errors import InternalError
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoding.code import Code, Elements, code_of
from drystone.ir.encoding.codebook import Learned, Table
from drystone.ir.encoding.fitting import fit
from drystone.ir.encoding.geometry import Per
from drystone.ir.encoding.layout import Layout, Pack
from drystone.ir.encoding.parts import Encoding, Held, Parts, Search, all_inside, inside, put, take


@dataclass(frozen=True)
class Codes(Encoding):
    """A code for every element: of `element`, times a scale, in the order of `layout`. Without a scale the
    numbers are those of the codes."""

    element: str | Table | Learned  #: an element of the IR ("f32"), an element code ("int4") or a codebook
    scale: "Scale | None" = None  #: what the numbers of the codes are multiplied by
    layout: Layout | None = None  #: how the codes lie; without: in row-major order

    @property
    def coded(self) -> bool:
        """Whether the codes stand for numbers; else they are elements of the IR, the numbers themselves."""
        return not isinstance(self.element, str) or not isinstance(code_of(self.element), Elements)

    @property
    def code(self) -> Code:
        """The code; of a codebook one of the same bits."""
        if isinstance(self.element, str):
            return code_of(self.element)
        return self.element.code() if isinstance(self.element, Learned) else self.element.codes()[0]

    @property
    def held_as(self) -> str:
        """The element of the IR that the stored codes are: bytes where several codes share one."""
        if isinstance(self.element, str) and not self.coded:
            return self.element
        return "ui8" if self.code.bits < 8 else self.code.held

    @property
    def powers(self) -> bool:
        """Whether only powers of two are held."""
        return self.scale is None and self.code.powers

    @property
    def signed(self) -> bool:
        """Whether numbers below zero are held."""
        return self.code.low < 0

    def at_least(self, numbers: Array) -> Array:
        """Numbers rounded up to such as are held exactly, where these are floats of numpy."""
        held = numpy_dtype(self.element) if isinstance(self.element, str) and not self.coded else np.int8
        if np.dtype(held).kind != "f":
            return numbers
        rounded = numbers.astype(held)
        up = np.nextafter(rounded, np.array(np.inf, held))
        return np.where(rounded < numbers, up, rounded).astype(np.float64)

    def across(self, shape: Sequence[int]) -> bool:
        """Not where scales are plain numbers of a row each, or one for all."""
        if self.scale is None:
            return isinstance(self.element, Learned)
        plain = all(
            isinstance(c, Codes) and not c.coded and c.scale is None and c.layout is None
            for c in self.scale.children().values()
        )
        per = self.scale.per
        apart = per.shape(shape) == () or per.all_sizes(len(shape))[:1] == [1]
        return self.selector is not None or not (plain and apart)

    @property
    def pack(self) -> Pack | None:
        """The blocked layout. Raises InternalError where the layout is another."""
        if self.layout is None or isinstance(self.layout, Pack):
            return self.layout
        raise InternalError(f"no kernel reads codes in the layout {self.layout}")

    @property
    def _layout(self) -> Layout:
        return Pack() if self.layout is None else self.layout

    @property
    def selector(self) -> "Codes | None":
        """How the choice among several tables is held."""
        if not isinstance(self.element, Table) or len(self.element.tables) == 1:
            return None
        return Codes(f"uint{(len(self.element.tables) - 1).bit_length()}")

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """The codes, and what belongs to their scales and codebook."""
        found = dict(self._layout.parts(shape, self.code))
        if isinstance(self.element, Learned):
            found |= self.element.parts(shape)
        if self.scale is not None:
            found |= self.scale.parts(shape)
            if self.selector is not None:
                found |= inside("selector", self.selector.parts(self.scale.per.shape(shape)))
        return found

    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """Scales by `search` where they are not given, and the nearest codes."""
        if "codes" in given:
            return {name: given[name] for name in self.parts(numbers.shape)}
        found: Parts = {}
        if self.scale is None:
            whole = numbers
        else:
            found, chosen = self._fit(numbers, given, search)
            whole = self.scale.divide(numbers, self.scale.numbers(found, numbers.shape))
        if isinstance(self.element, Learned):
            tables, codes = self.element.encode(whole, given)
            found |= tables
        elif self.scale is None or self.selector is None:
            codes = self.tables()[0].encode(whole)
        else:
            found |= put("selector", self.selector.encode(chosen.astype(np.float64), {}, search))
            which = self.scale.per.spread(chosen, numbers.shape)
            codes = np.zeros(numbers.shape, np.uint8)
            for number, table in enumerate(self.tables()):
                codes = np.where(which == number, table.encode(whole), codes)
        return self.laid(codes) | found

    def settled(self, numbers: Array) -> "Codes":
        """With the layout that is for the codes of these numbers; scales do not change it."""
        if self.layout is None or self.scale is not None or not isinstance(self.element, str):
            return self
        return replace(self, layout=self.layout.settled(self.code.encode(numbers)))

    def tables(self) -> Sequence[Code]:
        """The codes that a block may have."""
        return self.element.codes() if isinstance(self.element, Table) else [self.code]

    def _fit(self, numbers: Array, given: Parts, search: Search) -> tuple[Parts, Array]:
        """The parts of the scales, and the table of each block."""
        assert self.scale is not None
        codes: Sequence[Code] = self.tables()
        if isinstance(self.element, Learned):
            codes, search = [code_of("int2")], Search()  # within -1 and 1
        selected = None
        if self.selector is not None and "selector" in given:
            shape = self.scale.per.shape(numbers.shape)
            selected = self.selector.decode(take("selector", given), shape).astype(np.int64)
        return fit(self.scale, numbers, codes, given, search, selected)

    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The numbers of the codes, scaled."""
        codes = self.stored(parts, shape)
        if isinstance(self.element, Learned):
            numbers = self.element.decode(parts, codes)
        elif self.scale is None or self.selector is None:
            numbers = self.tables()[0].decode(codes)
        else:
            chosen = self.selector.decode(take("selector", parts), self.scale.per.shape(shape))
            which = self.scale.per.spread(chosen.astype(np.int64), shape)
            tables = self.element.tables if isinstance(self.element, Table) else ()
            numbers = np.array(tables, np.float64)[which, codes]
        return (
            numbers if self.scale is None else self.scale.multiply(numbers, self.scale.numbers(parts, shape))
        )

    def laid(self, codes: Array) -> Parts:
        """The part that holds codes in row-major order."""
        return self._layout.hold(codes, self.code)

    def stored(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The codes, in row-major order."""
        return self._layout.codes(parts, shape, self.code)

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        try:
            code = self.code
        except InternalError as error:
            yield str(error)
            return
        if isinstance(self.element, Table):
            yield from self.element.problems()
            if self.selector is not None and self.scale is None:
                yield "several tables are chosen from for each scale, and there are no scales"
        if isinstance(self.element, Learned):
            yield from self.element.problems(shape)
        if self.scale is not None:
            if not self.coded:
                yield f"scales belong to codes, and {self.element} is the numbers themselves"
            yield from self.scale.problems(shape)
        yield from self._layout.problems(shape, code)


@dataclass(frozen=True)
class Scale:
    """real = scale * code, scale * (code - zero point) or scale * code - minimum: each of the three is a
    tensor of one number per block, with an encoding of its own."""

    per: Per = field(default_factory=Per)  #: which elements share a scale
    held: Encoding = field(default_factory=lambda: Codes("f32"))  #: of the scales, the part "scale"
    zero_point: Encoding | None = None  #: of the codes that stand for 0, the part "zero_point"
    minimum: Encoding | None = None  #: of what is subtracted after scaling, the part "minimum"

    def children(self) -> dict[str, Encoding]:
        """The encodings of what belongs to a scale, by the names of their parts."""
        children = {"scale": self.held, "zero_point": self.zero_point, "minimum": self.minimum}
        return {name: child for name, child in children.items() if child is not None}

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Scales, and zero points or minima."""
        blocks = self.per.shape(shape)
        return all_inside((name, child, blocks) for name, child in self.children().items())

    def values(self, name: str, parts: Parts, shape: Sequence[int]) -> Array:
        """One of what belongs to a scale, spread over the tensor."""
        child = self.children()[name]
        return self.per.spread(child.decode(take(name, parts), self.per.shape(shape)), shape)

    def numbers(self, parts: Parts, shape: Sequence[int]) -> dict[str, Array]:
        """All that belongs to a scale, by the names of `children`, in shapes that broadcast against
        `Per.split`."""
        blocks = self.per.shape(shape)
        return {
            name: self.per.beside(child.decode(take(name, parts), blocks), shape)
            for name, child in self.children().items()
        }

    def multiply(self, numbers: Array, held: Mapping[str, Array]) -> Array:
        """The real numbers that the numbers of codes (float64, overwritten) stand for; held: `numbers`."""
        shape = numbers.shape
        out = numbers.reshape(self.per.split(shape))
        if self.zero_point is not None:
            out -= held["zero_point"]
        out *= held["scale"]
        if self.minimum is not None:
            out -= held["minimum"]
        return out.reshape(shape)

    def divide(self, numbers: Array, held: Mapping[str, Array]) -> Array:
        """The numbers that codes should have for these real ones; 0 where the scale is 0. held: `numbers`."""
        shape = numbers.shape
        out = numbers.reshape(self.per.split(shape))
        if self.minimum is not None:
            out = out + held["minimum"]
        scale = held["scale"]
        if scale.all():
            out = out / scale
        else:
            out = np.divide(out, scale, out=np.zeros(out.shape), where=scale != 0)
        if self.zero_point is not None:
            out += held["zero_point"]
        return out.reshape(shape)

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        found = list(self.per.problems(len(shape)))
        yield from (f"scales: {problem}" for problem in found)
        if self.zero_point is not None and self.minimum is not None:
            yield "scales have a zero point or a minimum, not both"
        if not found:
            for name, child in self.children().items():
                blocks = self.per.shape(shape)
                yield from (f"{name.replace('_', ' ')}: {problem}" for problem in child.problems(blocks))
