"""The statements of a tile program; `codegen.tile` says what they mean."""

from dataclasses import dataclass

from drystone.codegen.index import Index
from drystone.codegen.operands import Scalar, Tensor, Tile


@dataclass(frozen=True)
class Load:
    """A tile read from memory; what lies outside is `fill`."""

    result: Tile
    source: Tensor
    at: tuple[Index, ...]
    sizes: tuple[int | None, ...]
    steps: tuple[int, ...]
    fill: float


@dataclass(frozen=True)
class Gather:
    """result[..] = source[indices[0][..], indices[1][..], ...]; the integer tiles broadcast as in apply.
    inside: whether all positions are promised to lie inside the tensor."""

    result: Tile
    source: Tensor
    indices: tuple[Tile, ...]
    inside: bool = False


@dataclass(frozen=True)
class Lookup:
    """result[.., i] = numbers[index[.., i] mod their count], a power of two; indices are i32, numbers f32: a
    list that is known, or a tile, [.., count], of few."""

    result: Tile
    index: Tile
    numbers: tuple[float, ...] | Tile


@dataclass(frozen=True)
class LaneDot:
    """result[m, n] = acc[m, n] + sum over i < 4 of a[m, 4 n + i] b[m, 4 n + i]: bytes, unsigned and signed,
    with sums of i32."""

    result: Tile
    acc: Tile
    a: Tile
    b: Tile


@dataclass(frozen=True)
class Shuffle:
    """result[.., i] = table[0, index[.., i] mod 64]: bytes, a table of 64 of them."""

    result: Tile
    table: Tile
    index: Tile


@dataclass(frozen=True)
class Store:
    """A tile written to memory, as far as it lies inside."""

    value: Tile
    target: Tensor
    at: tuple[Index, ...]
    sizes: tuple[int | None, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Scatter:
    """target[indices[0][..], ...] = value[..] where `keep` is true, all of which lies inside; of several at
    one place it has one."""

    value: Tile
    target: Tensor
    indices: tuple[Tile, ...]
    keep: Tile


@dataclass(frozen=True)
class Compress:
    """The elements of one row, value[0, ..], for which `keep` is true, side by side in a tensor of one
    dimension from `at` on, all of which lies inside."""

    value: Tile
    target: Tensor
    at: Index
    keep: Tile


@dataclass(frozen=True)
class Prefetch:
    """The memory of a tile that is written, or `read`, soon (`far`: into the second cache only)."""

    target: Tensor
    at: tuple[Index, ...]
    sizes: tuple[int | None, ...]
    read: bool = False
    far: bool = False

    @property
    def steps(self) -> tuple[int, ...]:
        """Of a tile whose elements are neighbours."""
        return (1,) * len(self.at)


@dataclass(frozen=True)
class Full:
    """A tile filled with one number, one scalar parameter, or one index expression (converted to dtype)."""

    result: Tile
    value: "float | int | Scalar | Index"


@dataclass(frozen=True)
class Iota:
    """start + step * position along `axis`."""

    result: Tile
    start: Index
    axis: int


@dataclass(frozen=True)
class Apply:
    """`op` is a full name such as "arith.addf" or "math.exp"; `attributes` e.g. {"predicate": "ogt"}, or
    {"domain": "negative"} where math.exp is taken of 0 and below only, and may give 0 below 2^-126,
    {"digits": "few"} where math.exp2 may be off by 2^-13 of the result, as one that is rounded to bf16 may,
    math.exp by 2^-12 of it, math.erf and math.tanh by 2^-12,
    {"ties": "any"} where arith.truncf may round what lies between two numbers to either of them."""

    result: Tile
    op: str
    args: tuple[Tile, ...]
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Dot:
    """acc + a @ b; `tiles`: in tile registers, where a target has them."""

    result: Tile
    acc: Tile
    a: Tile
    b: Tile
    tiles: bool = False

    @property
    def group(self) -> int:
        """Neighbouring k that lie side by side in b: 1 where it is not interleaved."""
        return self.a.shape[1] // self.b.shape[0]


@dataclass(frozen=True)
class Reduce:
    """`op` combines two elements ("arith.addf", "arith.maximumf", ...)."""

    result: Tile
    op: str
    arg: Tile
    axis: int


@dataclass(frozen=True)
class Transpose:
    """The dimensions permuted."""

    result: Tile
    arg: Tile
    permutation: tuple[int, ...]


@dataclass(frozen=True)
class Interleave:
    """Neighbouring rows side by side, as an interleaved operand of a dot."""

    result: Tile
    arg: Tile


@dataclass(frozen=True)
class Split:
    """The bits of every element as several shorter elements side by side, the lowest first."""

    result: Tile
    arg: Tile


@dataclass(frozen=True)
class Reshape:
    """The same elements with unit dimensions inserted or removed."""

    result: Tile
    arg: Tile


@dataclass(frozen=True)
class Loop:
    """Sequential rounds of the body; `carried` starts as `initial`, becomes `yielded`, ends as `results`."""

    var: Index
    lower: Index
    upper: Index
    step: int
    carried: tuple[Tile, ...]
    initial: tuple[Tile, ...]
    body: tuple["Statement", ...]
    yielded: tuple[Tile, ...]
    results: tuple[Tile, ...]


@dataclass(frozen=True)
class Grid:
    """The body once for every start, in any order."""

    vars: tuple[Index, ...]
    extents: tuple[Index, ...]
    steps: tuple[int, ...]
    body: tuple["Statement", ...]


@dataclass(frozen=True)
class When:
    """Run the body where left < right."""

    left: Index
    right: Index
    body: tuple["Statement", ...]


@dataclass(frozen=True)
class Beside:
    """Both bodies, of which neither reads or writes what the other one writes."""

    first: tuple["Statement", ...]
    second: tuple["Statement", ...]

    @property
    def body(self) -> tuple["Statement", ...]:
        """One after the other."""
        return self.first + self.second


#: What has a tile as its result, element by element of others or of memory.
Lazy = Load | Gather | Lookup | Shuffle | Full | Iota | Apply | Transpose | Interleave | Split | Reshape
#: What has a tile as its result.
Valued = Lazy | Dot | LaneDot | Reduce
#: What writes a tile.
Written = Store | Scatter | Compress
Statement = Valued | Written | Prefetch | Loop | Grid | When | Beside
