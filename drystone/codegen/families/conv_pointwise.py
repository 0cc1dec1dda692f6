"""Convolution with a kernel of one tap: a matrix product over all pixels."""

from drystone.codegen.elements import wide
from drystone.codegen.families.conv_form import ConvForm
from drystone.codegen.families.dry_op import narrowed, widened
from drystone.codegen.families.epilogue import flattened, load_extra
from drystone.codegen.families.region import apply_region, spread
from drystone.codegen.families.tiling import divisor, even
from drystone.codegen.tile import Index, Tile, TileBuilder, TileProgram, tile_program
from drystone.mlir import ir
from drystone.targets import CpuTarget


def conv_pointwise(form: ConvForm, target: CpuTarget) -> TileProgram | None:
    """The program for "nhwc", one tap, stride 1, no padding, one group and a weight packed along O."""
    plain = not (any(form.before) or any(form.after) or form.transposed) and form.groups == 1
    ones = {*form.kernel, *form.strides} == {1}
    if not (plain and ones and form.nhwc and form.pack is not None and form.pack.inner_dims == (0,)):
        return None
    with form.op.main.operation.context:
        maps = [ir.AffineMapAttr(attribute).value for attribute in form.op.main.extra_maps]
        extras = flattened(list(zip(form.extras, maps, strict=True)), form.spatial + 2)
    order = (0, *range(2, form.spatial + 2), 1)
    if extras is None or form.pack.outer_perm != order or form.x.shape[-1] is None:
        return None
    (width,) = form.pack.inner_tiles
    pixels = [list(range(form.spatial + 1)), [form.spatial + 1]]
    x, out = form.x.collapse(pixels), form.out.collapse(pixels)
    weight = form.weight.collapse([list(range(form.spatial + 1)), [form.spatial + 1], [form.spatial + 2]])
    vectors = -(-width // target.lanes(32))
    limit = min(16, (target.registers - vectors - 2) // vectors)
    rows = even(out.shape[0], limit)
    depth = divisor(form.inside, 8)
    every = -(-form.outside // width)
    blocks = even(every, max(1, target.l2 * 6 // 10 // (form.inside * width * 4)))
    steps = -(-every // blocks)
    tiles = -(-(out.shape[0] or 64 * rows) // rows)
    high = max(1, min(tiles * steps // (4 * target.threads), target.l2 // 4 // (rows * form.inside * 4), 32))

    def body(t: TileBuilder) -> None:
        def tile(block: Index, row: Index) -> None:
            def products(k: Index, acc: Tile) -> Tile:
                a = widened(t, t.load(x, [row, k], [rows, depth]))
                return t.dot(acc, a, widened(t, t.load(weight, [block, k, 0], [None, depth, width])))

            zeros = t.full(0, (rows, width), wide(form.out.dtype))
            (acc,) = t.loop(form.inside, depth, products, [zeros])
            place, shape = [row, block * width], [rows, width]
            acc = narrowed(t, acc, str(form.op.main.out.type.element_type))
            more = [load_extra(t, extra, m, place, shape) for extra, m in extras]
            (result,) = apply_region(t, form.op.main.epilogue.blocks[0], [acc, *more])
            t.store(out, place, spread(t, result, acc.shape))

        def step(first: Index, start: Index) -> None:
            end = (start + high * rows).min(out.dim(0))
            t.loop(
                (first + blocks).min(every),
                1,
                lambda block: t.loop(end, rows, lambda row: tile(block, row), lower=start) and None,
                lower=first,
            )

        t.same(x.dim(0), out.dim(0))
        t.grid([(every, blocks), (out.dim(0), high * rows)], step)

    return tile_program("conv_pointwise", form.op.tensors, body, form.op.scalars)
