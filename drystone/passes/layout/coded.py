"""Coded weights in the form that kernels of products decode: panels of codes, panels of scales."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import to_element
from drystone.ir.encoding import (
    Codes,
    Encoding,
    Joined,
    Learned,
    Pack,
    Parts,
    Per,
    Scale,
    Table,
    Words,
)
from drystone.ir.encoding.code import Code, Floats, Integers, Numbers
from drystone.ir.encoding.parts import put, take

#: Bits of codes up to which kernels look their numbers up.
_LISTED = 5
#: The largest signed byte.
_BYTE = 127
#: Elements that kernels read scales in, and codes of a byte that they read them in.
_REAL, _BYTES = ("f32", "f16", "bf16"), ("int8", "uint8", "e8m0", "e4m3", "ue4m3", "e5m2")
#: Bits of codes of scales up to which neighbours along k share a byte.
_SHORT = 4


@dataclass(frozen=True)
class CodePanels:
    """How a coded matrix of a shape lies for a product: its outputs along `axis`, in panels of `width`."""

    shape: tuple[int, int]
    axis: int
    width: int

    def joined(self, encoding: Encoding) -> Joined | str:
        """The encoding in which a kernel reads the numbers of another one; or why none does."""
        reason = self._reason(encoding)
        if reason or not isinstance(encoding, Codes):
            return reason
        scale = encoding.scale
        if scale is not None:
            held = {name: self._held(child, scale.per) for name, child in scale.children().items()}
            scale = Scale(self._per(scale.per), held["scale"], held.get("zero_point"), held.get("minimum"))
        return Joined(Codes(encoding.element, scale, Words(self.axis, self.width)))

    def problem(self, parts: Parts, encoding: Encoding) -> str:
        """Why kernels do not read the numbers of these parts; "" where they do."""
        reason = self._reason(encoding)
        if reason or not isinstance(encoding, Codes):
            return reason
        if not _are_finite(parts, encoding, self.shape):
            return "some codes stand for no number"
        scale = encoding.scale or Scale()
        for name, child in scale.children().items() if encoding.scale is not None else ():
            if not np.isfinite(child.decode(take(name, parts), scale.per.shape(self.shape))).all():
                return f"some {name.replace('_', ' ')}s are no numbers"
        return ""

    def bytes_problem(self, encoding: Encoding) -> str:
        """Why bytes are not multiplied with the codes of an encoding that kernels read; "" where they are."""
        codes = encoding.base if isinstance(encoding, Joined) else encoding
        assert isinstance(codes, Codes)
        code, k, scale = codes.code, self.shape[1 - self.axis], codes.scale
        if not Words.in_bytes(code) or code.high > _BYTE:
            return f"its codes are {code.name}: even steps of integers of 1 to 4 bits, and int8, are bytes"
        zero = None if scale is None else scale.zero_point
        if isinstance(zero, Codes) and zero.scale is None and isinstance(zero.code, Integers):
            most = max(code.high - zero.code.low, zero.code.high - code.low - 1)
            if code.bits < 8 and most > _BYTE:
                return f"its codes less zero points of {zero.code.name} are no bytes"
        group = k if scale is None else scale.per.all_sizes(2)[1 - self.axis] or k
        run = Words.run(code)
        if k % run or min(group, k) % run or k % min(group, k):
            return f"its {k} inputs are no whole groups, or groups no whole words of {run} codes"
        return ""

    def join(self, parts: Parts, encoding: Encoding) -> Array:
        """The array of `joined` with the numbers of these parts."""
        joined = self.joined(encoding)
        assert isinstance(joined, Joined)
        return joined.join(self.moved(parts, encoding), self.shape)

    def moved(self, parts: Parts, encoding: Encoding) -> Parts:
        """The parts of what `joined` joins."""
        joined = self.joined(encoding)
        assert isinstance(joined, Joined) and isinstance(joined.base, Codes) and isinstance(encoding, Codes)
        made = joined.base.laid(encoding.stored(parts, self.shape))
        if encoding.scale is not None and joined.base.scale is not None:
            held, per = joined.base.scale.children(), encoding.scale.per
            for name, child in encoding.scale.children().items():
                own = held[name]
                assert isinstance(own, Codes)
                made |= put(name, self._moved(child, take(name, parts), own, per))
        return made

    def _reason(self, encoding: Encoding) -> str:
        """Why kernels do not read an encoding."""
        if not isinstance(encoding, Codes):
            return f"kernels decode codes with scales, and this is a {type(encoding).__name__}"
        if isinstance(encoding.element, Learned):
            return "its codebook is learned"
        if isinstance(encoding.element, Table) and len(encoding.element.tables) > 1:
            return "each group has a codebook of several"
        code = encoding.code
        ruled = bool(code.rule) and not (isinstance(code, Floats) and code.unsigned)
        if code.bits > 8 or (code.bits > _LISTED and not ruled):
            return f"its codes have {code.bits} bits, and no simple rule gives their numbers"
        group = 0 if encoding.scale is None else encoding.scale.per.all_sizes(2)[1 - self.axis]
        run = Words.run(code)
        if group and group < self.shape[1 - self.axis] and group % run and run % group:
            return f"groups of {group} codes do not end where words of {run} do"
        return ""

    def _per(self, per: Per) -> Per:
        """Which numbers share a scale where every output has its own."""
        return Per((1 - self.axis,), (per.all_sizes(2)[1 - self.axis],), "each")

    def _order(self, shape: Sequence[int], width: int | None = None) -> Pack:
        """How scales lie, `width` of them in a panel: one for each output, or a matrix of them."""
        wide = width or self.width
        if len(shape) == 1:
            return Pack((0,), (wide,))
        return Pack((self.axis,), (wide,), (self.axis, 1 - self.axis))

    def _held(self, child: Encoding, per: Per) -> Codes:
        """How scales, zero points or minima are held: as they are where kernels read that, else in f32."""
        shape = self._per(per).shape(self.shape)
        element = _read_as(child)
        if element and isinstance(child, Codes):
            second = None if child.scale is None else self._second(child.scale, shape)
            if child.scale is None or (second is not None and per.all_sizes(2)[self.axis] == 1):
                bits = _shared_bits(child.code) if len(shape) > 1 else 8
                if bits < 8:
                    inner, axes = (self.width, 8 // bits), (self.axis, 1 - self.axis)
                    return Codes(f"{element[:-1]}{bits}", second, Pack(axes, inner, axes))
                return Codes(element, second, self._order(shape))
        return Codes("f32", None, self._order(shape))

    def _second(self, scale: Scale, shape: Sequence[int]) -> Scale | None:
        """The scales of scales, of a tensor of this shape, where they are real numbers: for all, for each
        output, or for neighbours that fill panels or are whole parts of one; None for others."""
        real = {name: _read_as(child) for name, child in scale.children().items()}
        if not all(element in _REAL for element in real.values()):
            return None
        per, inner, layout = scale.per, scale.per.shape(shape), None
        if inner:
            sizes, outputs = per.all_sizes(len(shape)), self.axis if len(shape) == 2 else 0
            size = sizes[outputs] or shape[outputs]
            width = self.width // size if self.width % size == 0 else 1
            if width == 1 and size % self.width and size < shape[outputs]:
                return None
            if size > 1:
                whole = tuple(n or extent for n, extent in zip(sizes, shape, strict=True))
                per = Per.block(whole)
                inner = per.shape(shape)
            layout = self._order(inner, width)
        held = {name: Codes(element, None, layout) for name, element in real.items()}
        return Scale(per, held["scale"], held.get("zero_point"), held.get("minimum"))

    def _moved(self, child: Encoding, parts: Parts, held: Codes, per: Per) -> Parts:
        """The parts of scales, zero points or minima as they are held."""
        shape = per.shape(self.shape)
        if not isinstance(child, Codes) or (child.scale is not None and held.scale is None):
            return held.laid(to_element(self._for_each(child.decode(parts, shape), per), "f32"))
        codes = child.stored(parts, shape)
        if not held.coded and held.element != child.element:
            codes = to_element(child.decode(parts, shape), held.held_as)
        made = held.laid(self._for_each(codes, per))
        if child.scale is not None and held.scale is not None:
            laid, inner = held.scale.children(), held.scale.per.shape(self._per(per).shape(self.shape))
            for name, second in child.scale.children().items():
                own = laid[name]
                assert isinstance(second, Codes) and isinstance(own, Codes)
                stored = second.stored(take(name, parts), child.scale.per.shape(shape))
                made |= put(name, own.laid(stored.reshape(inner)))
        return made

    def _for_each(self, values: Array, per: Per) -> Array:
        """One value per block of `_per`, from one per block of another geometry."""
        size, outputs = per.all_sizes(2)[self.axis], self.shape[self.axis]
        spread = np.repeat(values.reshape(per.kept(self.shape)), size or outputs, self.axis)
        return spread.take(range(outputs), self.axis).reshape(self._per(per).shape(self.shape))


def _read_as(child: Encoding) -> str:
    """The element, or the code of a byte with the same numbers, in which kernels read codes of scales; ""
    where they read none."""
    if not isinstance(child, Codes) or not isinstance(child.element, str):
        return ""
    code = child.code
    if isinstance(code, Integers) and code.bits <= 8:
        return "uint8" if code.unsigned else "int8"
    return child.element if child.element in (*_REAL, *_BYTES) else ""


def _shared_bits(code: Code) -> int:
    """The bits that codes of scales take: few take a power of two, others a byte or what an element has."""
    few = isinstance(code, Integers) and code.bits <= _SHORT
    return 1 << (code.bits - 1).bit_length() if few else 8


def _are_finite(parts: Parts, encoding: Codes, shape: Sequence[int]) -> bool:
    """Whether all codes stand for finite numbers."""
    if not isinstance(encoding.code, Numbers):
        return True
    finite = np.isfinite(encoding.code.numbers)
    return bool(finite.all() or finite[encoding.stored(parts, shape)].all())
