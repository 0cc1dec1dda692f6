"""The tile vocabulary: how a kernel is written once for every target.

A kernel family is a Python function that calls the methods of a `TileBuilder`. The builder records a
`TileProgram`: a small tree of statements over tiles (values of fixed shape) and index expressions. The
program is data: it prints (`str(program)`, which also names it), it runs in numpy (`codegen.interpret`), and
each target lowers its statements its own way.

Meaning of the statements
- A tensor parameter has a static or dynamic (None) extent per dimension and lies contiguous in row-major
  order.
- `grid`: a parallel loop nest; its body may run in any order, on any thread, and runs once per start.
- `rounds`: the whole grid again and again, each time with the number of the round; what a round wrote to
  memory all its steps share, the next one may read. A thread does the same steps in every round.
- `loop`: sequential, from `lower` in steps of `step` while below `upper`; carried tiles go round as in
  scf.for.
- `load`: element j of the tile's dimension for tensor dimension d is at `at[d] + j * steps[d]`; `shape[d]`
  None reads one position and drops the dimension. What lies outside the tensor reads as `fill`. A tensor that
  is held as another element than its own is decoded, unless the tile is wanted as it is `held`.
- `store`: the mirror of load; what lies outside the tensor is not written. A tile of the tensor's own element
  is encoded, one of the element it is held as is written as it is.
- `scatter`: each element to a position of its own, or left out; of several with one position one is there.
- `compress`: the elements of a row that are chosen, side by side.
- `prefetch`: a place that is stored to, or read, soon may come into the cache; nothing else happens.
- `gather`: each element of the tile from its own position; positions outside the tensor are clamped into it,
  unless all are promised to lie inside.
- `lookup`: each element is the number in a short list, or in a row of a tile, that the low bits of an integer
  say.
- `shuffle`: each byte is the one in a table of 64, made when the kernel runs, that six low bits say.
- A tensor `collapse`d names the same memory with neighbouring dimensions joined into one; a `part` of one of
  bytes names some of them as a tensor of its own.
- `dot`: acc[m, n] + a[m, k] b[k, n]. A load that only feeds the left side of dots is never held in registers.
  b may be interleaved, as dot units want it: [k / g, n * g] with b[k, n] at [k / g, n * g + k % g].
- `lane_dot`: every lane's own four bytes of a times its own four of b, added to acc.
- `apply`: an operation of the dialects arith or math on every element, tiles broadcast as in numpy.
- `reduce`: along one axis, kept with extent 1.
- `interleave`: rows of groups of g side by side: [k / g, n * g + k % g] of the result is [k, n].
- `split`: every element's bits as several shorter elements side by side, the lowest bits first.
- `reshape`: unit dimensions inserted or removed; nothing moves.
- `beside`: two bodies of which neither touches what the other one writes, so that their instructions may take
  turns; the tiles of the second can be used afterwards.
- `scratch`: working memory private to one grid step, used through load and store.
- `shared`: working memory of all steps and rounds of one call, garbage at its start.
- `same`: a promise that two dynamic extents are equal; lets a target leave out bounds checks.
"""

from drystone.codegen.builder import TileBuilder, tile_program
from drystone.codegen.index import Index, index
from drystone.codegen.operands import Scalar, Shared, Tensor, Tile, broadcast, distinct
from drystone.codegen.recorded import Rounds, TileProgram
from drystone.codegen.statements import (
    Apply,
    Beside,
    Compress,
    Dot,
    Full,
    Gather,
    Grid,
    Interleave,
    Iota,
    LaneDot,
    Load,
    Lookup,
    Loop,
    Prefetch,
    Reduce,
    Reshape,
    Scatter,
    Shuffle,
    Split,
    Statement,
    Store,
    Transpose,
    When,
)

__all__ = [
    "Apply",
    "Beside",
    "Compress",
    "Dot",
    "Full",
    "Gather",
    "Grid",
    "Index",
    "Interleave",
    "Iota",
    "LaneDot",
    "Load",
    "Lookup",
    "Loop",
    "Prefetch",
    "Reduce",
    "Reshape",
    "Rounds",
    "Scalar",
    "Scatter",
    "Shared",
    "Shuffle",
    "Split",
    "Statement",
    "Store",
    "Tensor",
    "Tile",
    "TileBuilder",
    "TileProgram",
    "Transpose",
    "When",
    "broadcast",
    "distinct",
    "index",
    "tile_program",
]
