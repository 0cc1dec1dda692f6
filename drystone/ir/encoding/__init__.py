"""Encodings: how a tensor's numbers are held, as plain data and as attributes of its type.

    encoding := #dry.enc<element, scale, layout>           a code for every element: what kernels read
              | #dry.sum<[encodings]>                      terms, each of which holds what those before leave
              | #dry.product<[encodings]>                  factors
              | #dry.low_rank<rank, left, right>           a product of two matrices
              | #dry.outlier_columns<base, kept, axis, count> | #dry.outlier_elements<base, kept, count>
              | #dry.mixed<axis, [sizes], [encodings]>     ranges along an axis
              | #dry.permuted<base, axis> | #dry.diagonal<base, axis, held> | #dry.rotated<base, axis, size>
              | #dry.recent<base, axis, size, held>          positions written last, held otherwise
              | #dry.stacked<base, axis>                     matrices one behind the other, held as one
              | #dry.joined<base>                            all parts in one array: what kernels decode
              | #dry.flat<base, [axes]>                      a tensor as a matrix
              | #dry.sparse<pattern, values>                 some elements, all others 0
    pattern  := #dry.structured<axis, kept_of, of> | #dry.compressed<count, [block], axis>
              | #dry.coordinates<count> | #dry.bitmap<count> | #dry.positions<axis, count>
    element  := "f32" | "bf16" | "i64" | ...               an element of the IR: the numbers themselves
              | "int4" | "uint4" | "e2m1" | "ternary" ..   a code of a few bits, see below
              | #dry.table<[[numbers]]> | #dry.learned<bits, held, per>                      a codebook
    scale    := unit | #dry.scale<per, held, zero_point, minimum>         each but the first an encoding
    per      := #dry.per<[axes], [sizes], rest>            which elements share a scale
    layout   := unit | #dry.pack<..> | #dry.bundle<..> | #dry.planes<..> | #dry.split<..>
              | #dry.base3<..> | #dry.interleaved<..> | #dry.huffman<..> | #dry.words<axis, width>
              | #dry.strings<axis>
                                                           in what order and in which bits the codes lie

A tensor without an encoding holds its own elements in row-major order. An encoded one is held in parts, named
arrays. What is an encoding inside another (scales, zero points, minima, tables) has a name there, and its
parts that name before theirs; "codes" is not spelled out: "scale" are the codes of the scales, "scale.scale"
their own scales; terms, factors and ranges are called "0", "1", .. A layout orders the codes it is stated
with; scales, which have encodings of their own, have layouts of their own. `encode` and `decode` in numpy are
the meaning; kernels decode tiles the same way."""

from drystone.ir.encoding.arrays import decode, encode
from drystone.ir.encoding.bits import Base3, Interleaved, Planes, Split
from drystone.ir.encoding.codebook import Learned, Table
from drystone.ir.encoding.entropy import Huffman
from drystone.ir.encoding.flat import Flat, by_taps
from drystone.ir.encoding.geometry import Per
from drystone.ir.encoding.joined import Joined
from drystone.ir.encoding.layout import Bundle, Layout, Pack
from drystone.ir.encoding.moved import Diagonal, Moved, Permuted, Rotated
from drystone.ir.encoding.parts import (
    BY_RANGE,
    NEXT_POWERS,
    SEARCHED,
    Encoding,
    Parts,
    Search,
    part_key,
)
from drystone.ir.encoding.patterns import (
    Bitmap,
    Compressed,
    Coordinates,
    Pattern,
    Positions,
    Structured,
)
from drystone.ir.encoding.recent import Recent
from drystone.ir.encoding.regions import (
    Mixed,
    OutlierColumns,
    OutlierElements,
    columns_beyond,
    elements_beyond,
)
from drystone.ir.encoding.scaled import Codes, Scale
from drystone.ir.encoding.sparse import Sparse
from drystone.ir.encoding.stacked import Stacked
from drystone.ir.encoding.terms import LowRank, Product, Sum
from drystone.ir.encoding.words import Strings, Words

__all__ = [
    "BY_RANGE",
    "NEXT_POWERS",
    "SEARCHED",
    "Base3",
    "Bitmap",
    "Bundle",
    "Codes",
    "Compressed",
    "Coordinates",
    "Diagonal",
    "Encoding",
    "Flat",
    "Huffman",
    "Interleaved",
    "Joined",
    "Layout",
    "Learned",
    "LowRank",
    "Mixed",
    "Moved",
    "OutlierColumns",
    "OutlierElements",
    "Pack",
    "Parts",
    "Pattern",
    "Per",
    "Permuted",
    "Planes",
    "Positions",
    "Product",
    "Recent",
    "Rotated",
    "Scale",
    "Search",
    "Sparse",
    "Split",
    "Stacked",
    "Strings",
    "Structured",
    "Sum",
    "Table",
    "Words",
    "by_taps",
    "columns_beyond",
    "decode",
    "elements_beyond",
    "encode",
    "part_key",
]
