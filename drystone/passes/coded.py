"""Coded weights in the form that kernels of products decode: panels of codes, panels of scales."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import to_element
from drystone.ir.encoding import Codes, Encoding, Joined, Learned, Pack, Parts, Per, Scale, Table, Words
from drystone.ir.encoding.code import Floats, Integers, Numbers
from drystone.ir.encoding.parts import put, take

#: Bits of codes up to which kernels look their numbers up.
_LISTED = 5
#: The largest signed byte.
_BYTE = 127
#: Elements that kernels read scales in, and codes of a byte that they read them in.
_REAL, _BYTES = ("f32", "f16", "bf16"), ("int8", "uint8", "e8m0", "e4m3", "ue4m3", "e5m2")


@dataclass(frozen=True)
class Panels:
    """How a matrix of a shape lies for a product: its outputs along `axis`, in panels of `width`."""

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
        assert isinstance(joined, Joined) and isinstance(joined.base, Codes) and isinstance(encoding, Codes)
        made = joined.base.laid(encoding.stored(parts, self.shape))
        if encoding.scale is not None and joined.base.scale is not None:
            held, per = joined.base.scale.children(), encoding.scale.per
            for name, child in encoding.scale.children().items():
                own = held[name]
                assert isinstance(own, Codes)
                made |= put(name, self._moved(child, take(name, parts), own, per))
        return joined.join(made, self.shape)

    def _reason(self, encoding: Encoding) -> str:
        """Why kernels do not read an encoding."""
        if not isinstance(encoding, Codes):
            return f"kernels decode codes with scales, and this is a {type(encoding).__name__}"
        if isinstance(encoding.element, Learned):
            return "its codebook is learned"
        if isinstance(encoding.element, Table) and len(encoding.element.tables) > 1:
            return "each group has a codebook of several"
        code = encoding.code
        arithmetic = isinstance(code, Integers) or (isinstance(code, Floats) and not code.unsigned)
        if code.bits > 8 or (code.bits > _LISTED and not arithmetic):
            return f"its codes have {code.bits} bits, and no simple rule gives their numbers"
        group = 0 if encoding.scale is None else encoding.scale.per.all_sizes(2)[1 - self.axis]
        run = Words.run(code)
        if group and group < self.shape[1 - self.axis] and group % run and run % group:
            return f"groups of {group} codes do not end where words of {run} do"
        return ""

    def _per(self, per: Per) -> Per:
        """Which numbers share a scale where every output has its own."""
        return Per((1 - self.axis,), (per.all_sizes(2)[1 - self.axis],), "each")

    def _order(self, shape: Sequence[int]) -> Pack:
        """How scales lie: one for each output, or a matrix of them."""
        if len(shape) == 1:
            return Pack((0,), (self.width,))
        return Pack((self.axis,), (self.width,), (self.axis, 1 - self.axis))

    def _held(self, child: Encoding, per: Per) -> Codes:
        """How scales, zero points or minima are held: as they are where kernels read that, else in f32."""
        shape = self._per(per).shape(self.shape)
        element = _read_as(child)
        if element and isinstance(child, Codes):
            if child.scale is None:
                return Codes(element, None, self._order(shape))
            second = self._second(child.scale, shape)
            if second is not None and per.all_sizes(2)[self.axis] == 1:
                return Codes(element, second, self._order(shape))
        return Codes("f32", None, self._order(shape))

    def _second(self, scale: Scale, shape: Sequence[int]) -> Scale | None:
        """The scales of scales, of a tensor of this shape: for all or for each output; None for others."""
        element = _read_as(scale.held)
        if element not in _REAL or scale.zero_point is not None or scale.minimum is not None:
            return None
        inner = scale.per.shape(shape)
        if not inner:
            return Scale(scale.per, Codes(element))
        each = scale.per.all_sizes(len(shape))[self.axis if len(shape) == 2 else 0] == 1
        return Scale(scale.per, Codes(element, None, self._order(inner))) if each else None

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
            second = child.scale.held
            assert isinstance(second, Codes) and isinstance(held.scale.held, Codes)
            own = second.stored(take("scale", parts), child.scale.per.shape(shape))
            made |= put("scale", held.scale.held.laid(own))
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


def _are_finite(parts: Parts, encoding: Codes, shape: Sequence[int]) -> bool:
    """Whether all codes stand for finite numbers."""
    if not isinstance(encoding.code, Numbers):
        return True
    finite = np.isfinite(encoding.code.numbers)
    return bool(finite.all() or finite[encoding.stored(parts, shape)].all())
