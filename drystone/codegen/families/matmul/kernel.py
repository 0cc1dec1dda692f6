"""Matrix products.

The register tile is rows x width of the result, summed over k in one go: an element of a is broadcast, a row
of b lies in registers (the outer-product kernel of BLIS: Van Zee and van de Geijn, ACM TOMS 41(3), 2015).
Weights come packed in panels of the width; a panel stays in the cache while the rows pass by. A plain b
that lies transposed is read along k instead, and the lanes are summed at the end. Short elements that a dot
unit multiplies lie in groups of neighbouring k; on a unit with tile registers the register tile is 32 x 32.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import gcd
from typing import Any

from drystone.codegen.elements import width
from drystone.codegen.families.codes.decoding import CodedMatrix
from drystone.codegen.families.codes.schedule import coded_default, coded_features, coded_space
from drystone.codegen.families.codes.work import work_of
from drystone.codegen.families.dry_op import DryOp, coded_matrix, dry_ops, pack_of, sparse_matrix
from drystone.codegen.families.epilogue import flattened
from drystone.codegen.families.matmul.blocks import block_product
from drystone.codegen.families.matmul.dots import along_k, column
from drystone.codegen.families.matmul.form import MatMulForm
from drystone.codegen.families.matmul.listed import listed_product
from drystone.codegen.families.matmul.panels import panels
from drystone.codegen.families.matmul.picked import picked_product, picks_bytes
from drystone.codegen.families.matmul.schedule import (
    DECODED,
    FEW,
    IN_BYTES,
    LOOKED_UP,
    Product,
    default,
    space,
)
from drystone.codegen.families.matmul.skipping import skipping_product
from drystone.codegen.families.matmul.split import splits
from drystone.codegen.families.matmul.structured import FEW_VECTORS, structured_product
from drystone.codegen.families.matmul.tables import pieces_of
from drystone.codegen.families.sparse.structured import StructuredMatrix
from drystone.codegen.search import Point, Search
from drystone.codegen.tile import Tensor, TileProgram
from drystone.ir.encoding import Bundle
from drystone.ir.picked_rows import by_outputs, leaves_rows
from drystone.mlir import ir
from drystone.targets.target import Target

#: What a size known at the call counts as for a cost model.
_UNKNOWN = 256


def matmul(kernel: Any, target: Target) -> TileProgram | None:
    """The program of a kernel of one or more `dry.matmul`; None where b is packed in a way not known here."""
    forms = _forms(kernel)
    form = forms[0] if forms else None
    if form is None:
        return None
    if form.sparse is not None:
        return _sparse(form, target)
    if form.skips:
        return skipping_product(form, product_of(forms, target), target)
    if form.coded is not None:
        product = product_of(forms, target)
        return panels(forms, product, coded_default(product, target), target)
    if form.pack is None and form.b.shape[-1] == 1 and not form.transposed:  # a column lies as a row does
        count = len(form.b.shape)
        flat = form.b.collapse([*([d] for d in range(count - 2)), [count - 2, count - 1]])
        return column(replace(form, b=flat, transposed=True), target)
    if form.transposed and form.pack is None:
        return along_k(form, target)
    product = product_of(forms, target)
    return panels(forms, product, default(product, target), target)


def search(kernel: Any, target: Target) -> Search | None:
    """The schedules of a kernel of `dry.matmul`; None where there is nothing to choose."""
    forms = _forms(kernel)
    form = forms[0] if forms else None
    if form is None or form.sparse is not None or form.skips:
        return None
    plain = form.coded is None and form.pack is None
    if plain and (form.transposed or form.b.shape[-1] == 1):
        return None
    product = product_of(forms, target)
    sizes = {"m": product.m, "n": product.n, "k": product.k}
    features = {name: float(_UNKNOWN if size is None else size) for name, size in sizes.items()}

    def build(point: Point) -> TileProgram:
        return panels(forms, product, point, target)

    if form.coded is not None:
        features |= coded_features(product)
        first = coded_default(product, target)
        return Search(coded_space(product, target, first), first, features, build)
    return Search(space(product, target), default(product, target), {**features, **_units(product)}, build)


def _sparse(form: MatMulForm, target: Target) -> TileProgram:
    """The program of a product with a sparse matrix, by how its elements are held."""
    if isinstance(form.sparse, StructuredMatrix):
        rows = form.out.shape[form.batch]
        if not form.left and (rows is None or rows > FEW_VECTORS):
            product = product_of([form], target)
            return panels([form], product, coded_default(product, target), target)
        return picked_product(form, target) if picks_bytes(form, target) else structured_product(form, target)
    lists = form.sparse is not None and form.sparse.block == (1, 1)
    return listed_product(form, target) if lists else block_product(form, target)


def _units(product: Product) -> dict[str, float]:
    """What a cost model is told of the dot units: bits of a sum, k that a lane sums at once, and k of one
    instruction on tile registers (0 where there are none); k summed in a short element, where there are."""
    tile = 0 if product.tile is None else product.tile.depth
    run = {"run": float(product.run)} if product.run else {}
    return {"bits": float(product.bits), "group": float(product.group), "tile": float(tile), **run}


def _forms(kernel: Any) -> list[MatMulForm]:
    """The products whose results are stored; none where one is packed in a way not known here."""
    ops = {op.main.operation.results[0]: op for op in dry_ops(kernel)}
    forms = [form_of(op, op.inits[0], ops) for op in ops.values() if op.inits]
    known = [form for form in forms if form is not None]
    return known if len(known) == len(forms) else []


def form_of(op: DryOp, out: Tensor, ops: Mapping[Any, DryOp]) -> MatMulForm | None:
    """What the operation multiplies, with the leading dimensions joined where b is one matrix."""
    main = op.main
    a, b = op.tensor(main.a), op.tensor(main.b)
    pack = pack_of(main.b)
    transposed = bool(ir.IntegerAttr(main.transpose_b).value)
    logical = len(main.b.type.shape)
    skips, place = leaves_rows(main.b), None
    if pack is not None and skips:
        place = pack.place if isinstance(pack, Bundle) else None
        transposed, pack = by_outputs(main.operation), None
    if pack is not None and not (logical == 2 and pack.inner_dims[:1] == (0 if transposed else 1,)):
        return None
    if pack is not None and len(pack.inner_dims) > 1:  # a block's columns with the k that lie beside them
        b = b.collapse([[0], [1], [2, 3]])
    maps = [ir.AffineMapAttr(m).value for m in main.extra_maps]
    inner = {n: form_of(ops[value], out, ops) for n, value in enumerate(main.extras) if value in ops}
    extras = tuple(
        (op.tensor(value), m)
        for n, (value, m) in enumerate(zip(main.extras, maps, strict=True))
        if n not in inner
    )
    if logical == 2 and len(out.shape) > 2:
        rank = len(out.shape)
        groups = [list(range(rank - 1)), [rank - 1]]
        with main.operation.context:
            joined = flattened(extras, rank)
        if joined is not None:
            a, out, extras = a.collapse(groups), out.collapse(groups), tuple(joined)
    known = tuple((n, form) for n, form in inner.items() if form is not None)
    coded, left = coded_matrix(op, main.b), sparse_matrix(op, main.a)
    sparse = left or sparse_matrix(op, main.b)
    sides = (coded, sparse, left is not None)
    return MatMulForm(op, a, b, out, extras, pack, transposed, known, *sides, skips, place)


def product_of(forms: Sequence[MatMulForm], target: Target) -> Product:
    """The sizes of products that share a grid."""
    form = forms[0]
    m = form.out.shape[-2]
    columns = [each.out.shape[-1] for each in forms]
    n = None if None in columns else sum(c or 0 for c in columns)
    coded, groups_of = form.coded, form.sparse if isinstance(form.sparse, StructuredMatrix) else None
    decoded = coded or groups_of
    packed = decoded.width if decoded is not None else 0 if form.pack is None else form.pack.inner_tiles[0]
    # Sums of short integers are held in registers of 32-bit lanes.
    k = form.depth.constant
    held = (form.a.held, form.b.held if decoded is None else form.a.held)
    unit = target.dot(*held, tiles=True) if form.group > 1 else None
    offset = decoded is None and form.group > 1 and held == ("i8", "i8") and target.dot(*held) is None
    if unit is not None and (
        k is None or not unit.fills(k) or packed not in (unit.columns, 2 * unit.columns)
    ):
        unit = None
    if m is not None and m <= FEW:
        unit = None
    beside = max(len(each.inner) for each in forms)
    vector = target.dot(*held)
    run = vector.run_of(k) if vector is not None and packed and decoded is None else 0
    strings = groups_of.inputs if groups_of is not None else 0 if coded is None else coded.run
    # Sums of bytes are scaled group by group.
    groups = coded.group or k or 0 if coded is not None and form.a.held == "i8" else 0
    bits = max(32, width(form.dtype))
    shared = gcd(*(c or 0 for c in columns)) if len(columns) > 1 else 0
    sizes = (m, n, k, bits, packed, form.group, unit, offset, 1 + beside, run, strings, groups)
    made = Product(*sizes, shared=shared)
    if coded is not None and groups:
        return replace(made, totals=(coded.zeros or coded.bias() != 0, coded.lowered))
    if coded is None or (m is not None and m > FEW):
        return made
    size = sum(each.coded.size for each in forms if each.coded is not None)
    work = work_of(coded.codes.code, m, size)
    return replace(made, ways=_ways(coded, form, target), work=work)


def _ways(coded: CodedMatrix, form: MatMulForm, target: Target) -> tuple[int, ...]:
    """The ways in which few rows, that are no bytes, may be multiplied with a coded matrix."""
    if form.dtype != "f32" or target.dot("ui8", "i8") is None or not splits(coded):
        return (DECODED,)
    looked_up = target.shuffles and bool(pieces_of(coded.codes.code))
    return (DECODED, IN_BYTES, *([LOOKED_UP] if looked_up else []))
