"""The pass `pack-weights`: weights lie in the order in which kernels read them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

import numpy as np

from drystone.errors import InternalError
from drystone.ir.elements import widen
from drystone.ir.encoded import codes_of, encoding_of, is_coded, with_encoding
from drystone.ir.encoding import Codes, Encoding, Joined, Pack, Sparse, encode
from drystone.ir.program import Program
from drystone.ir.shapes import layouts, spatial_axes
from drystone.ir.values import main_block, shape, shape_of
from drystone.mlir import ir
from drystone.passes.layout.panels import Panels, RowLists
from drystone.passes.layout.unfolded import TAPS, fills_lanes, is_depthwise, unfolds
from drystone.passes.rewriting import erase_dead, ops, uses
from drystone.passes.sparsifying.bundles import bundles, lay_in_bundles
from drystone.passes.sparsifying.thresholds import has_zero_factors, has_zeros
from drystone.passes.weights import (
    drop_unused,
    new_weight,
    stored_weight,
    weight_key,
    weight_parts,
    window_of,
)
from drystone.targets.target import Target


def panel_width(target: Target, n: int) -> int:
    """How many of n output columns or channels lie side by side in a packed weight: two vector registers of
    f32, or one where two would leave more than a quarter empty."""
    lanes = target.lanes(32)
    wide = 2 * lanes
    padded = -(-n // wide) * wide
    return wide if 4 * (padded - n) <= padded else lanes


#: Rows for which a product leaves out what meets zeros.
FEW_ROWS = 4
#: Vector registers that are enough for the sums of a tile four of them wide; rows that are many.
_REGISTERS, _MANY = 32, 192


def product_panel_width(target: Target, rows: int, k: int, n: int, beside: Sequence[int]) -> int:
    """The same for a product [rows, k] x [k, n] of f32. For many rows four registers, where nothing is left
    empty, in none of the products of the same rows (`beside`, their columns), and two panels fill no more
    than a quarter of the second cache: the register tile is wide and low then. Elements of the left operand
    are read half as often, and its rows, which share sets of the first cache where they lie a power of two
    apart, are few enough for one."""
    width = panel_width(target, n)
    fits = 2 * (2 * width) * k * 4 <= target.l2 // 4
    low = target.registers >= _REGISTERS and width == 2 * target.lanes(32)
    whole = all(columns % (2 * width) == 0 for columns in (n, *beside))
    return 2 * width if low and fits and whole and rows >= _MANY else width


def panels_of(op: Any, target: Target, number: int = 1, encoding: Encoding | None = None) -> Panels | None:
    """How the coded matrix that is an operand of a dry.matmul is to lie; None where it is no matrix, or has
    one output, and on the left where it is not sparse. encoding: that of the weight, where the operand is a
    plain copy of it."""
    kind, left = op.operands[number].type, number == 0
    axis = 0 if left or op.attributes["transpose_b"].value else 1
    if kind.rank != 2 or not kind.has_static_shape or kind.get_dim_size(axis) == 1:
        return None
    n, k = kind.shape
    width = panel_width(target, kind.get_dim_size(axis))
    encoding, result = encoding or encoding_of(kind), shape_of(op.results[0].type)
    if not isinstance(encoding, Sparse):
        return None if left else Panels((n, k), axis, width)
    if is_coded(op.operands[1 - number].type):
        return None
    vectors, values = result[-1:] if left else result[:-1], encoding.values
    known = 0 if None in vectors else prod(n or 0 for n in vectors)
    held = codes_of(op.operands[1 - number].type).held_as
    alike = isinstance(values, Codes) and values.element == held and not left
    group = target.neighbours(held, held) if alike else 1
    return Panels((n, k), axis, width, known, group, left=left)


def panels_of_convolution(op: Any, target: Target) -> Panels | None:
    """How the sparse weight of a dry.conv is to lie, as a matrix; None where no kernel reads it as such: in
    groups, transposed, of few channels or of positions that the call has the number of."""
    x, weight = op.operands[0], op.operands[1]
    attributes, result = op.attributes, op.results[0]
    channels, *kernel = weight.type.shape[1:]
    sides = zip((x, result), layouts(attributes["layout"].value), strict=True)
    known = all(shape(each)[d] is not None for each, way in sides for d in spatial_axes(way, each.type.rank))
    if attributes["transposed"].value or attributes["groups"].value > 1 or len(kernel) > 2:
        return None
    if not known or channels < target.lanes(32) or max(kernel) > TAPS:
        return None
    outputs = weight.type.shape[0]
    width = panel_width(target, outputs)
    return Panels((outputs, channels * prod(kernel)), 0, width, kernel=tuple(kernel))


def panels_of_table(kind: Any) -> Panels | None:
    """How the coded table of a dry.embedding is to lie where no product reads it: a row in one piece, or in a
    list. None where no kernel reads it."""
    if kind.rank != 2 or not kind.has_static_shape:
        return None
    made = RowLists if isinstance(encoding_of(kind), Sparse) else Panels
    return made(tuple(kind.shape), 0, 1)


@dataclass(frozen=True)
class PackWeights:
    """Give the weights of products, convolutions and recurrent layers a blocked layout for `target`;
    W = panel_width(N or O).

    Before:  %w = "dry.weight"() : tensor<1536x384xf32> ; "dry.matmul"(%a, %w) {transpose_b = true}
    After:   %w = "dry.weight"() : tensor<1536x384xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>

    - A plain matrix b of dry.matmul, [N, K] or [K, N]: stored [ceil(N / W), K, W], of f32 for many rows
      in panels twice as wide (product_panel_width); where the target has a
      dot unit for how a and b are held that sums g neighbouring k in a lane, and g divides K: [ceil(N / W),
      K / g, W, g].
    - Where thresholds leave zeros in a, or in what the result is multiplied with, and rows are few or not
      known: a finite b input by input, [K, N], or output by output, [N, K], so that rows can be left out.
      Where rows come from a file, those of an MLP's up and down projections, and of a gate of which the same
      are left out, are one array [rows, 2 or 3, columns] (#dry.bundle): a neuron's lie side by side.
    - A coded matrix b: codes [ceil(N / W), ceil(K / run), words, W], as many as fill words of 32 bits in each
      lane; scales, zero points and minima in the same panels, [ceil(N / W), groups, W] or [ceil(N / W), W],
      those of up to 4 bits with as many neighbouring groups as fill a byte; what scales of scales several
      outputs share once for these; one after the other in one array (#dry.joined).
    - A sparse matrix b, or a: its elements output by output (#dry.compressed along the outputs), in strips of
      inputs whose lists have some 16 elements each, in one for few rows; index and starts beside them;
      integers with one scale as bytes. Blocks of 8 outputs and more stay blocks, their inputs down, in groups
      that a dot unit sums; their outputs down where the matrix is a. N:M along the inputs: what is held as a
      plain or coded matrix of fewer inputs, places in the same panels. Codes of blocks as a coded matrix, of
      the outputs of one after the other.
    - The sparse weight of a dry.conv: groups of channels, and blocks, as those of a matrix [O, taps * C]
      (`#dry.flat`), all else as lists of a matrix [O, C * taps], in strips of channels.
    - A coded table of dry.embedding: in the panels of a product that reads it too, else row by row, W = 1.
      One of bytes: as a product that reads it too has it, else plain. A sparse one: its elements row by row.
    - The weight [O, C, *K] of a dry.conv whose result is channels last: stored [ceil(O / W), *K, C, W]; where
      channels are grouped W must divide a group's, or be one register for one channel per group. That of a
      transposed one, [C, O, *K] without groups: [ceil(O / W), *K, C, W]. Where a dot unit sums g neighbouring
      channels, not grouped, along a known width: [ceil(O / W), *K, C / g, W, g]; of bytes any number of
      channels, for the kernel copies images so that they fill lanes. Others stay plain.
    - The weight [G, H] of a dry.recurrent: [ceil(G / W), H, W], W two registers, or one where that divides H.
    - Ragged ends hold zero. A weight that others read too is kept plain for them as well.
    """

    target: Target
    name: ClassVar[str] = "pack-weights"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        packer = _Packer(program)
        block = main_block(program)
        plain = dict[Any, Pack | None]()
        for op in ops(block, "dry.matmul"):
            panels = [panels_of(op.operation, self.target, number) for number in (0, 1)]
            if not any(packer.join(op.operation, number, each) for number, each in enumerate(panels)):
                plain[op.operation] = self._matmul(program, op)
        for group in bundles(program, plain):
            lay_in_bundles(program, group, plain)
        for product, layout in plain.items():
            packer.pack(product.opview, layout)
        for op in ops(block, "dry.embedding"):
            table = op.operation.operands[0]
            own = panels_of_table(table.type)
            shared = own if isinstance(own, RowLists) else packer.panels.get(weight_key(table), own)
            if not packer.join(op.operation, 0, shared):
                packer.share(op.operation)
        for op in ops(block, "dry.conv"):
            if not packer.join(op.operation, 1, panels_of_convolution(op.operation, self.target)):
                packer.pack(op, self._conv(op))
        for op in ops(block, "dry.recurrent"):
            packer.pack(op, self._recurrent(op))
        erase_dead(block)
        drop_unused(program)

    def _matmul(self, program: Program, op: Any) -> Pack | None:
        kind = op.operation.operands[1].type
        if kind.rank != 2:
            return None
        major = 0 if op.operation.attributes["transpose_b"].value else 1
        n, k = kind.get_dim_size(major), kind.get_dim_size(1 - major)
        if n == 1:
            return None
        if self._skips(program, op):
            outputs_first = has_zero_factors(op)
            return Pack((), (), (0, 1) if outputs_first == (major == 0) else (1, 0))
        a, b = (codes_of(op.operation.operands[i].type).held_as for i in range(2))
        group = self.target.neighbours(a, b)
        width = panel_width(self.target, n)
        if group == 1 or k % group:
            if (a, b) == ("f32", "f32"):
                rows = prod(n or _MANY for n in shape_of(op.operation.results[0].type)[:-1])
                width = product_panel_width(self.target, rows, k, n, _columns_beside(op))
            return Pack((major,), (width,), (major, 1 - major))
        return Pack((major, 1 - major), (width, group), (major, 1 - major))

    def _skips(self, program: Program, op: Any) -> bool:
        """Whether a product can leave out rows of its weight."""
        rows = prod(n or 1 for n in shape_of(op.operation.results[0].type)[:-1])
        held = codes_of(op.operation.operands[1].type)
        if rows > FEW_ROWS or held.coded or held.layout is not None:
            return False
        zeros = has_zero_factors(op) or has_zeros(op.operation.operands[0])
        key = weight_key(op.operation.operands[1])
        # What is left out is 0 only where it is 0 times a number.
        return zeros and key is not None and bool(np.isfinite(widen(program.weights[key])).all())

    def _recurrent(self, op: Any) -> Pack:
        lanes, hidden = self.target.lanes(32), op.operation.operands[1].type.get_dim_size(1)
        return Pack((0,), (lanes if hidden % (2 * lanes) == lanes else 2 * lanes,), (0, 1))

    def _conv(self, op: Any) -> Pack | None:
        attributes = op.operation.attributes
        extents = list(op.operation.operands[1].type.shape)
        groups = attributes["groups"].value
        if layouts(attributes["layout"].value)[1] != "nhwc" or (
            attributes["transposed"].value and groups > 1
        ):
            return None
        if attributes["transposed"].value:
            return Pack((1,), (panel_width(self.target, extents[1]),), (1, *range(2, len(extents)), 0))
        outside = extents[0] // groups
        lanes = self.target.lanes(32)
        width = panel_width(self.target, outside)
        if groups > 1 and outside == 1 and extents[1] == 1:
            width = lanes
        elif groups > 1 and outside % width:
            width = lanes if outside % lanes == 0 else 0
        order = (0, *range(2, len(extents)), 1)
        x_type = op.operation.operands[0].type
        x, weight = (codes_of(op.operation.operands[i].type).held_as for i in range(2))
        group = self.target.neighbours(x, weight)
        across = [kind.get_dim_size(kind.rank - 2) for kind in (x_type, op.operation.results[0].type)]
        known = ir.ShapedType.get_dynamic_size() not in across and extents[-1] <= TAPS and groups == 1
        if group > 1:
            whole = fills_lanes(op, self.target) if x == "i8" else known and extents[1] % group == 0
            if whole or (x == weight and unfolds(op, x, self.target)):
                return Pack((0, 1), (width, group), order)
        return Pack((0,), (width,), order) if width else None


def _columns_beside(op: Any) -> list[int]:
    """The columns of all products of the same left operand: with panels alike they can be one kernel."""
    products = [user for user, _ in uses(op.operation.operands[0]) if user.name == "dry.matmul"]
    return [n for each in products if (n := shape_of(each.results[0].type)[-1]) is not None]


@dataclass
class _Packer:
    """Makes packed weights, each once. `made`: (key, layout) -> the value; `joined`: (key, panels) -> the key
    of the codes in panels; `panels`: key -> those of its rows that were made first."""

    program: Program
    made: dict[tuple[str, Pack], Any] = field(default_factory=dict)
    joined: dict[tuple[str, Panels], str] = field(default_factory=dict)
    panels: dict[str | None, Panels] = field(default_factory=dict)

    def join(self, op: Any, number: int, panels: Panels | None) -> bool:
        """Let an operation read an operand in panels of codes, if that is coded; whether it is."""
        weight = op.operands[number]
        if not is_coded(weight.type):
            return False
        key, encoding = weight_key(weight), encoding_of(weight.type)
        if isinstance(encoding, Joined):
            return True
        joined = "it is no constant matrix" if panels is None else panels.joined(encoding)
        if panels is None or key is None or isinstance(joined, str):
            raise InternalError(f"no kernel reads {weight.type} as {op.name}'s operand {number}: {joined}")
        kind = with_encoding(weight.type, joined)
        with ir.InsertionPoint(weight.owner), weight.owner.location:
            if (key, panels) in self.joined:
                made = stored_weight(self.joined[key, panels], kind)
            else:
                array = panels.join(weight_parts(self.program, weight), encoding)
                made = new_weight(self.program, f"{key}.packed", array, kind)
                self.joined[key, panels] = str(weight_key(made))
        if panels.axis == 0:
            self.panels.setdefault(key, panels)
        op.operands[number] = made
        return True

    def share(self, op: Any) -> None:
        """Let an embedding read bytes as a product of the table has them, if there is one."""
        table = op.operands[0]
        packed = [made for (key, _), made in self.made.items() if key == weight_key(table)]
        if packed and codes_of(table.type).held_as == "i8":
            with ir.InsertionPoint(table.owner), table.owner.location:
                op.operands[0] = stored_weight(str(weight_key(packed[0])), packed[0].type)

    def pack(self, op: Any, layout: Pack | None) -> None:
        """Let `op` read its weight in `layout`."""
        plain = op.operation.operands[1]
        key = weight_key(plain)
        if layout is None or key is None:
            return
        held = codes_of(plain.type)
        alone = op.operation.name == "dry.conv" and is_depthwise(op)
        short = held.held_as == "i8" and (len(layout.inner_dims) > 1 or alone)
        if held.layout is not None or held.coded or not (held.held_as.startswith(("f", "b")) or short):
            return
        if (key, layout) not in self.made:
            encoding = Codes(held.element, None, layout)
            stored = encode(self.program.weights[key], encoding)["codes"]
            with ir.InsertionPoint(plain.owner), plain.owner.operation.location:
                kind = with_encoding(plain.type, encoding)
                made = self.made[key, layout] = new_weight(self.program, f"{key}.packed", stored, kind)
            window = window_of(self.program, key)
            if window is not None:
                self.program.windows[str(weight_key(made))] = window
        op.operation.operands[1] = self.made[key, layout]
