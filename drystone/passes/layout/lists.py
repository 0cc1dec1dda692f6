"""Sparse weights in the form that kernels of products read: lists of elements, output by output."""

from dataclasses import dataclass, replace
from math import lcm, prod

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoding import (
    BY_RANGE,
    Codes,
    Compressed,
    Encoding,
    Flat,
    Joined,
    Pack,
    Parts,
    Pattern,
    Per,
    Scale,
    Sparse,
    Stacked,
    Structured,
    Words,
    by_taps,
)
from drystone.ir.encoding.code import Integers
from drystone.ir.encoding.parts import put, take
from drystone.passes.layout.block_codes import BlockCodes
from drystone.passes.layout.coded import CodePanels

#: Elements of a list in a strip, about: enough to be worth the sums that are fetched for them; columns of the
#: narrowest strip, of which 128 rows in f32 fill most of a first cache; and channels of the narrowest of a
#: convolution, of which several lines do.
_LISTED, _NARROWEST, _CHANNELS = 12, 64, 16
#: The part of a convolution's weight that is held, up to which lists take no more time than all of it: of one
#: tap, and of several.
_ONE_TAP, _SEVERAL = 0.1, 0.2
#: Rows that are few: a kernel gathers columns of each.
FEW = 3
#: Outputs of a block that are worth a vector.
_OUTPUTS = 8
#: Rows for which groups are read as such; inputs of a group that a register picks from.
_GROUPED, _PICKED = 16, (2, 4, 8)
#: Rows from which on lists of half of the numbers take less time than all of them.
_LISTED_ROWS = 64
#: The largest signed byte.
_BYTE = 127
#: Elements that kernels read.
READ = ("f32", "f16", "bf16")


@dataclass(frozen=True)
class Lists:
    """How a sparse matrix of a shape lies for a product of so many rows (0: any number): its outputs along
    `axis`. Groups of inputs for few rows, in panels of `width`; blocks with `group` neighbouring inputs side
    by side; else lists of elements, in strips unless rows are fewer still. Of a convolution with a `kernel`
    of so many taps along each dimension it is the matrix of the weight [O, C, *kernel] in the order of its
    axes or, where that is `Flat`, [O, taps * C]: groups of channels, and blocks that lie in a tap, are read
    as such then, and all else is listed, in strips of channels. `left`: it is the left operand, and what is
    said of rows holds for columns of the right one."""

    shape: tuple[int, int]
    axis: int
    width: int
    rows: int = 0
    group: int = 1
    kernel: tuple[int, ...] = ()
    left: bool = False

    @property
    def taps(self) -> int:
        """Those of a convolution; 0 where it is a product."""
        return prod(self.kernel) if self.kernel else 0

    @property
    def tensor(self) -> tuple[int, ...]:
        """The shape of the tensor: a matrix, or the weight of a convolution."""
        return (self.shape[0], self.shape[1] // self.taps, *self.kernel) if self.kernel else self.shape

    def joined(self, encoding: Sparse | Flat) -> Joined | str:
        """The encoding in which a kernel reads the numbers of a sparse one; or why none does."""
        found = self._read(matrix_of(encoding), by_taps=isinstance(encoding, Flat))
        if isinstance(found, str):
            return found
        listed = isinstance(found.pattern, Compressed) and found.pattern.block == (1, 1)
        return Joined(by_taps(found, len(self.tensor)) if self.kernel and not listed else found)

    def _read(self, encoding: Sparse, *, by_taps: bool) -> Sparse | str:
        """How a kernel reads the numbers of a sparse matrix, one `by_taps` where it is a convolution's."""
        values, pattern = encoding.values, encoding.pattern
        held = self._group_values(pattern, values)
        if self._in_groups(pattern, held) and (by_taps or not self.kernel):
            assert isinstance(pattern, Structured) and held is not None
            return Sparse(self._groups(pattern), held)
        whole = self._in_blocks(pattern) and (not self.kernel or (by_taps and self._in_taps(pattern)))
        if isinstance(pattern, Compressed) and whole and isinstance(values, Codes):
            in_blocks = self._block_values(pattern, values)
            if in_blocks is not None:
                return Sparse(replace(pattern, axis=self.axis, strip=0), in_blocks)
        listed = listed_values(values)
        if listed is None:
            return (
                f"kernels read lists of {', '.join(READ)} and of integers with one scale, and blocks of codes"
            )
        count = prod(pattern.kept(self.shape))
        if self.kernel and not self._is_few(pattern):
            most = self._listed * prod(self.shape)
            return f"lists of a convolution pay for up to {int(most)} elements, and this has {count}"
        return Sparse(Compressed(count, axis=self.axis, strip=self._strip(count)), listed)

    @property
    def _listed(self) -> float:
        """The part of a convolution's weight up to which lists pay."""
        return _ONE_TAP if self.taps == 1 else _SEVERAL

    def _is_few(self, pattern: Pattern) -> bool:
        """Whether lists of what a pattern holds of a convolution's weight pay."""
        return prod(pattern.kept(self.shape)) <= self._listed * prod(self.shape)

    def _in_groups(self, pattern: Pattern, values: Codes | None) -> bool:
        """Whether kernels read n of m inputs as such: those that a register picks from, in whole words, with
        numbers that are held so; groups of these end with those words, or lie in them."""
        if not isinstance(pattern, Structured) or pattern.axis == self.axis or values is None:
            return False
        if self.rows > _GROUPED and not self._expands(pattern, values):
            return False
        if self.kernel and values == Codes("f32", None, values.layout) and self._is_few(pattern):
            return False
        slots = pattern.kept(self.shape)[pattern.axis]
        bits, run = self._groups(pattern).places_held.code.bits, 1
        if isinstance(values.layout, Words):
            run = Words.run(values.code)
        span = lcm(32 // bits, pattern.kept_of, run)
        group = 0 if values.scale is None else values.scale.per.sizes[0]
        group = 0 if group >= slots else group
        whole = not group or group % span == 0 or (span % group == 0 and group % run == 0)
        return pattern.of in _PICKED and slots % span == 0 and whole

    def _expands(self, pattern: Structured, values: Codes) -> bool:
        """Whether groups for more than a few rows are laid down with their zeros, part by part, and not read
        as lists of elements: for those a good part of the products is left out."""
        short = values.coded or values.element != "f32" or self.group > 1
        listed = self.rows >= _LISTED_ROWS and 2 * pattern.kept_of <= pattern.of
        return not self.left and (short or not listed)

    def _groups(self, pattern: Structured) -> Structured:
        """Places in words, each of a power of two bits."""
        bits = 1 << (pattern.places_held.code.bits - 1).bit_length()
        return replace(pattern, held=Codes(f"uint{bits}", None, Words(self.axis, self.width)))

    def _codes(self, pattern: Pattern) -> CodePanels:
        """How codes of what groups hold lie."""
        outputs, others = pattern.kept(self.shape)
        return CodePanels((outputs, others), self.axis, self.width)

    def _group_values(self, pattern: Pattern, values: Encoding) -> Codes | None:
        """How numbers of groups lie, in panels: elements, and codes as those of any matrix; None for others,
        which no kernel reads."""
        if not isinstance(values, Codes) or not isinstance(pattern, Structured):
            return None
        if not values.coded and values.scale is None:
            order = Pack((self.axis,), (self.width,), (self.axis, 1 - self.axis))
            return Codes(values.element, None, order) if values.element in READ else None
        joined = self._codes(pattern).joined(values)
        return joined.base if isinstance(joined, Joined) and isinstance(joined.base, Codes) else None

    def _in_blocks(self, pattern: Pattern) -> bool:
        """Whether kernels read blocks as such: those that fill a good part of vectors with their outputs."""
        return isinstance(pattern, Compressed) and pattern.block[self.axis] >= _OUTPUTS

    def _in_taps(self, pattern: Pattern) -> bool:
        """Whether each block of a convolution's weight, of two dimensions, lies in a tap."""
        channels = self.shape[1] // self.taps
        return isinstance(pattern, Compressed) and len(self.kernel) == 2 and channels % pattern.block[1] == 0

    def _block_values(self, pattern: Compressed, values: Codes) -> Codes | Stacked | None:
        """How the elements of blocks lie: inputs down, outputs across, so that lanes are outputs; the other
        way round where lanes are columns of the right operand. Bytes may have a scale for each block; other
        codes lie as those of any matrix. None for those that no kernel reads."""
        plain = self._plain_blocks(pattern, values)
        if plain is not None or self.left or self.kernel or not values.coded:
            return plain
        return self._block_codes(pattern).held(values)

    def _block_codes(self, pattern: Compressed) -> BlockCodes:
        """How codes of blocks lie."""
        return BlockCodes(replace(pattern, axis=self.axis, strip=0), self.axis, self.width)

    def _plain_blocks(self, pattern: Compressed, values: Codes) -> Codes | None:
        """The same of elements, and of bytes with a scale for each block."""
        scale, outputs, inputs = values.scale, self.axis + 1, 2 - self.axis
        whole = scale is not None and set(scale.children()) == {"scale"}
        if scale is not None and whole and values.element == "int8" and not self.kernel:
            each = scale.held
            real = isinstance(each, Codes) and not each.coded and each.element in READ
            if not real or scale.per.all_sizes(3) != [1, 0, 0]:
                return None
        elif values.coded or values.element not in READ:
            return None
        order = (0, outputs, inputs) if self.left else (0, inputs, outputs)
        if self.group > 1 and not self.left and pattern.block[1 - self.axis] % self.group == 0:
            return Codes(values.element, scale, Pack((inputs,), (self.group,), order))
        return Codes(values.element, scale, Pack((), (), order))

    def _grouped(self, parts: Parts, encoding: Sparse, held: Sparse) -> Parts:
        """The parts of groups in panels."""
        kept, pattern, values = encoding.pattern.kept(self.shape), held.pattern, held.values
        assert isinstance(pattern, Structured) and isinstance(encoding.pattern, Structured)
        assert isinstance(values, Codes) and isinstance(encoding.values, Codes)
        places = encoding.pattern.places_held.decode(take("index", parts), kept)
        own = take("values", parts)
        if isinstance(values.layout, Words):
            made = self._codes(encoding.pattern).moved(own, encoding.values)
        else:
            made = values.laid(encoding.values.stored(own, kept))
        return put("values", made) | put("index", pattern.places_held.encode(places, {}, BY_RANGE))

    def _strip(self, count: int) -> int:
        """Columns of a strip, 0 for all: a power of two, times taps, in which a list has enough elements."""
        outputs, columns = self.shape[self.axis], self.shape[1 - self.axis]
        taps = max(self.taps, 1)
        wanted = _LISTED * outputs * columns / (max(count, 1) * taps)
        narrowest = _CHANNELS if self.taps else _NARROWEST
        strip = taps * max(narrowest, 1 << int(np.ceil(np.log2(max(wanted, 1)))))
        return strip if strip < columns and not 0 < self.rows <= FEW else 0

    def problem(self, parts: Parts, encoding: Sparse | Flat) -> str:
        """Why kernels do not read the numbers of these parts; "" where they do."""
        joined, encoding = self.joined(encoding), matrix_of(encoding)
        if isinstance(joined, str):
            return joined
        held, pattern = matrix_of(joined.base).values, encoding.pattern
        assert isinstance(encoding.values, Codes)
        if isinstance(held, Stacked):
            assert isinstance(pattern, Compressed)
            return self._block_codes(pattern).problem(take("values", parts), encoding.values)
        if isinstance(held, Codes) and isinstance(held.layout, Words):
            return self._codes(pattern).problem(take("values", parts), encoding.values)
        return ""

    def join(self, parts: Parts, encoding: Sparse | Flat) -> Array:
        """The array of `joined` with the numbers of these parts."""
        joined, by_taps, encoding = self.joined(encoding), isinstance(encoding, Flat), matrix_of(encoding)
        assert isinstance(joined, Joined)
        base = matrix_of(joined.base)
        pattern, values = base.pattern, encoding.values
        assert isinstance(values, Codes)
        if isinstance(pattern, Structured):
            return joined.join(self._grouped(parts, encoding, base), self.tensor)
        assert isinstance(pattern, Compressed)
        kept = encoding.pattern.kept(self.shape)
        elements = values.stored(take("values", parts), kept)
        places = encoding.pattern.places(parts, self.shape)
        if pattern.block != (1, 1):  # the first element of a block lies in the tensor
            places, elements = places[:, :1, :1], elements.reshape(len(elements), prod(pattern.block))
        else:
            elements = elements.reshape(-1, 1)
        places = places.ravel()
        # What lies outside the tensor is listed as a zero somewhere.
        elements = np.where(places[:, None] >= 0, elements, np.zeros((), elements.dtype))
        place = np.divmod(np.maximum(places, 0), max(self.shape[1], 1))
        if by_taps and self.kernel and pattern.block == (1, 1):
            # Lists have the taps of a channel side by side.
            tap, channel = np.divmod(place[1], self.shape[1] // self.taps)
            place = place[0], channel * self.taps + tap
        at = [where // size for where, size in zip(place, pattern.block, strict=True)]
        output, column = at[self.axis], at[1 - self.axis]
        outputs, columns = (-(-n // b) for n, b in zip(self.shape, pattern.block, strict=True))
        outputs, columns = (outputs, columns) if self.axis == 0 else (columns, outputs)
        strip, within = np.divmod(column, pattern.strip or max(columns, 1))
        lists = strip * outputs + output
        order = np.lexsort((within, lists))
        declared = pattern.parts(self.shape)
        count = declared["starts"][0][0]
        held = base.values
        if isinstance(held, Stacked):
            laid = self._block_codes(pattern).laid(take("values", parts), values, order)
        else:
            assert isinstance(held, Codes)
            ordered = elements[order].reshape(pattern.kept(self.shape))
            laid = held.laid(ordered.astype(numpy_dtype(held.held_as))) | _scales_laid(
                held, parts, values, order
            )
        made = put("values", laid) | {
            "index": within[order].astype(numpy_dtype(declared["index"][1])),
            "starts": np.searchsorted(lists[order], np.arange(count)).astype(np.int32),
        }
        return joined.join(made, self.tensor)


def matrix_of(encoding: Encoding) -> Sparse:
    """The encoding of the matrix that a sparse tensor is held as."""
    base = encoding.base if isinstance(encoding, Flat) else encoding
    assert isinstance(base, Sparse)
    return base


def listed_values(values: Encoding) -> Codes | None:
    """How elements of lists are held: as they are, and integers that are signed bytes, with one scale for
    all, as these; None for others, which no kernel reads."""
    if not isinstance(values, Codes) or (not values.coded and values.scale is None):
        plain = isinstance(values, Codes) and values.element in READ
        return Codes(values.element) if plain and isinstance(values, Codes) else None
    scale, code = values.scale, values.code
    if scale is None or set(scale.children()) != {"scale"} or scale.per.all_sizes(1) != [0]:
        return None
    each, short = scale.held, isinstance(code, Integers) and code.low >= -_BYTE - 1 and code.high <= _BYTE
    real = isinstance(each, Codes) and not each.coded and each.element in READ
    return Codes("int8", Scale(Per.tensor(), each)) if short and real else None


def _scales_laid(held: Codes, parts: Parts, values: Codes, order: Array) -> Parts:
    """The scales of blocks of bytes, one for each, in the order of a list; or the one of all elements."""
    if held.scale is None or values.scale is None:
        return {}
    own, each = held.scale.held, values.scale.held
    assert isinstance(each, Codes) and isinstance(own, Codes)
    given = each.stored(take("scale", take("values", parts)), values.scale.per.shape((len(order),)))
    return put("scale", own.laid(given[order] if given.ndim else given))
