"""Codes of listed blocks in the form that kernels decode: those of one block after the other."""

from dataclasses import dataclass

from drystone.dtypes import Array
from drystone.ir.elements import to_element
from drystone.ir.encoding import Codes, Compressed, Encoding, Joined, Parts, Per, Scale, Stacked
from drystone.ir.encoding.parts import put, take
from drystone.passes.layout.coded import CodePanels


@dataclass(frozen=True)
class BlockCodes:
    """How codes of blocks lie, of a matrix with its outputs along `axis`, in panels of at most `width`
    outputs of a block."""

    pattern: Compressed
    axis: int
    width: int

    @property
    def _panels(self) -> CodePanels:
        outputs, inputs = self.pattern.block[self.axis], self.pattern.block[1 - self.axis]
        wide = next(n for n in range(min(outputs, self.width), 0, -1) if outputs % n == 0)
        return CodePanels((self.pattern.count * outputs, inputs), 0, wide)

    def held(self, values: Codes) -> Stacked | None:
        """How they are held; None where no kernel reads them."""
        matrix = self._matrix(values)
        if matrix is None or not self.pattern.count:
            return None
        joined = self._panels.joined(matrix)
        return Stacked(joined.base, self.axis) if isinstance(joined, Joined) else None

    def problem(self, parts: Parts, values: Codes) -> str:
        """Why kernels do not read the codes of these parts; "" where they do."""
        matrix = self._matrix(values)
        assert matrix is not None
        return self._panels.problem(self._moved(parts, values, matrix, None), matrix)

    def laid(self, parts: Parts, values: Codes, order: Array) -> Parts:
        """The parts of `held` for these of blocks, that are taken in an order."""
        matrix = self._matrix(values)
        assert matrix is not None
        return self._panels.moved(self._moved(parts, values, matrix, order), matrix)

    def _matrix(self, values: Codes) -> Codes | None:
        """The encoding of the single matrix; None where it shares factors in another way."""
        scale = values.scale
        if scale is None:
            return Codes(values.element)
        count, *sizes = scale.per.all_sizes(3)
        outputs, inputs = sizes[self.axis], sizes[1 - self.axis]
        if count == 1:
            per = Per.block((outputs or self.pattern.block[self.axis], inputs))
        elif (count, outputs, inputs) == (0, 0, 0):
            per = Per.tensor()
        else:
            return None
        made = {name: _plain(child) for name, child in scale.children().items()}
        if self.pattern.block[self.axis] % (outputs or 1):
            return None
        factors = Scale(per, made["scale"], made.get("zero_point"), made.get("minimum"))
        return Codes(values.element, factors)

    def _moved(self, parts: Parts, values: Codes, matrix: Codes, order: Array | None) -> Parts:
        """The parts of the single matrix."""
        kept, stacked = (self.pattern.count, *self.pattern.block), Stacked(matrix, self.axis)

        def in_order(array: Array) -> Array:
            return stacked.joined(array if order is None or len(array) == 1 else array[order])

        found = matrix.laid(in_order(values.stored(parts, kept)))
        if values.scale is None or matrix.scale is None:
            return found
        per, held = values.scale.per, matrix.scale.children()
        inner = matrix.scale.per.shape(stacked.matrix(kept))
        for name, child in values.scale.children().items():
            own, given = held[name], take(name, parts)
            assert isinstance(own, Codes)
            if isinstance(child, Codes) and own.element == child.element:
                numbers = child.stored(given, per.shape(kept))
            else:
                numbers = to_element(child.decode(given, per.shape(kept)), "f32")
            found |= put(name, own.laid(in_order(numbers.reshape(per.kept(kept))).reshape(inner)))
        return found


def _plain(child: Encoding) -> Codes:
    """What scales, zero points or minima are moved in."""
    short = isinstance(child, Codes) and child.scale is None and isinstance(child.element, str)
    return Codes(child.element) if short and isinstance(child, Codes) else Codes("f32")
