"""Direct convolution that reads the image where it lies and leaves out the taps that lie outside of it.

A tile of the result, some positions along the width by one block of output channels, stays in registers
through all taps and input channels (Georganas et al., "Anatomy of High-Performance Deep Learning Convolutions
on SIMD Architectures", SC 2018). The width is known, so the tiles at the borders are programs of their own:
their rows fall into runs that see the same taps, and a tap multiplies the runs that see it. Along the other
dimensions the loops over taps end where the image does.

The image is channels last, or channels first where its channels are few (a model's input): then all taps
along the width of one channel come before the next channel, and nothing needs to be moved before. Where dot
units sum channels that do not lie side by side, or too few of them, a step copies its lines so that they do.
"""

from dataclasses import replace

from drystone.codegen.families.conv.form import UNROLLED, ConvForm, copy_channels, mixed_channels
from drystone.codegen.families.conv.schedule import Image, image_default, image_schedule, image_space
from drystone.codegen.families.conv.strips import Strip, strips
from drystone.codegen.families.conv.taps import Direct, RegisterTile, Step
from drystone.codegen.search import Point, Search
from drystone.codegen.tile import Index, Tensor, TileBuilder, TileProgram, tile_program
from drystone.targets import Target

#: Different tiles of a line that are programs of their own, at most.
_VARIANTS = 5


def conv_direct(form: ConvForm, target: Target) -> Search | None:
    """The programs for a result that is channels last, a known width, and a weight packed as [O / width]
    [taps][I / groups][width], blocks within groups."""
    if not form.nhwc or form.transposed or form.pack is None or form.x.shape[form.channel_axis] is None:
        return None
    if not form.blocked or (form.moved and form.spatial != 2):
        return None
    width = form.width
    last = form.spatial - 1
    known = None not in (form.known_size(form.x, last), form.known_size(form.out, last))
    if not known or (form.groups > 1 and form.outside % width) or form.kernel[-1] > UNROLLED:
        return None
    sizes = _sizes(form, target)
    point = image_default(sizes, target)
    if form.group == 1 and len(strips(form, point["rows"])) > _VARIANTS:
        return None

    def build(point: Point) -> TileProgram:
        return _program(Direct(form, image_schedule(sizes, point), target.lanes(32)))

    return Search(image_space(sizes, target), point, form.features(), build)


def _sizes(form: ConvForm, target: Target) -> Image:
    dims = form.spatial
    taps = 1
    for size in form.kernel:
        taps *= size
    outer = 1
    for dim in range(dims - 2):
        outer *= form.known_size(form.out, dim) or 1
    found = Image(
        images=(form.out.shape[0] or 1) * outer,
        lines=(form.known_size(form.out, dims - 2) if dims > 1 else 1) or 0,
        line=form.known_size(form.out, dims - 1) or 0,
        wide=form.known_size(form.x, dims - 1) or 0,
        window=(form.kernel[-2] - 1) * form.dilation[-2] + 1 if dims > 1 else 1,
        stride=form.strides[-1],
        step=form.strides[-2] if dims > 1 else 1,
        inside=form.summed,
        outside=form.outside,
        groups=form.groups,
        taps=taps,
        width=form.width if form.pack else 0,
        group=form.group,
        bytes=form.bytes,
        fixed=dims != 2 or (form.first and not form.moved),
        moved=form.moved,
        padded=form.before[-1] > 0 or form.after[-1] > 0,
        tile=form.tile(target),
    )
    # What is padded is copied, to the stack.
    uncopied = found.padded and (found.fixed or found.held(1) > target.l2 // 2)
    return replace(found, tile=None) if uncopied else found


def _program(kernel: Direct) -> TileProgram:
    """The tile program."""
    form, p = kernel.form, kernel.p
    high = [1] * (form.spatial - 2) + ([p.high] if form.spatial > 1 else [])
    every = -(-form.outside * form.groups // form.width)

    def body(t: TileBuilder) -> None:
        axes = [(form.size(form.out, dim), high[dim]) for dim in range(form.spatial - 1)]
        t.grid(
            [(every, p.blocks), (form.out.dim(0), 1), *axes],
            lambda first, n, *outer: _run(
                Step(kernel, t, first, n, outer, form.weights(t, first, p.blocks)), every
            ),
        )

    return tile_program("conv", form.op.tensors, body, form.op.scalars)


def _run(step: Step, every: int) -> None:
    """All tiles of the step."""
    form, t, p = step.kernel.form, step.t, step.kernel.p
    source = _copied(step) if p.copied else form.x

    def line(at: list[Index]) -> None:
        found = strips(form, p.rows, bordered=p.bordered)
        number = step.n
        for dim, place in enumerate(at):
            number = number * form.size(form.out, dim) + place
        number = number * sum(strip.count for strip in found)
        for strip in found:
            tiles(at, strip, number)
            number = number + strip.count

    def tiles(at: list[Index], strip: Strip, number: Index) -> None:
        def tile(w: Index) -> None:
            here = number + (w - strip.start) // strip.rows
            t.loop(
                (step.first + p.blocks).min(every),
                1,
                lambda block: RegisterTile(step, source, strip, [*at, w], here, block).run(),
                lower=step.first,
            )

        t.loop(strip.start + strip.count * strip.rows, strip.rows, tile, lower=strip.start)

    if form.spatial == 1:
        line([])
        return
    *places, start = step.outer
    end = (start + p.high).min(form.size(form.out, form.spatial - 2))
    t.loop(end, 1, lambda h: line([*places, h]), lower=start)


def _copied(step: Step) -> Tensor:
    """The lines the step reads, in scratch, with room between neighbouring pixels that have many channels;
    with the padding along the width where the schedule says so."""
    form, t, p = step.kernel.form, step.t, step.kernel.p
    window = (p.high - 1) * form.strides[-2] + (form.kernel[-2] - 1) * form.dilation[-2] + 1
    wide_in = form.known_size(form.x, 1) or 0
    lanes = step.kernel.lanes
    before, across = step.kernel.border, step.kernel.across
    room = form.summed if form.first else form.summed + form.apart(lanes)
    scratch = t.scratch((window, across, room), form.x.held)
    origin = step.outer[-1] * form.strides[-2] - form.before[-2]
    channel = step.group * form.inside

    def copy(h: Index, w: Index) -> None:
        where = [step.n, origin + h, w]
        copy_channels(t, scratch, [h, w + before], form.x, where, form.summed, lanes, channel)

    def mix(h: Index, w: Index) -> None:
        tile = mixed_channels(t, form, [step.n, origin + h, w], lanes, channel)
        t.store(scratch.collapse([[0], [1, 2]]), [h, (w + before) * room], tile, [None, lanes * room])

    def blank(h: Index, w: Index) -> None:
        def some(c: Index) -> None:
            t.store(scratch, [h, w, c], t.full(0, (lanes,), form.x.held), [None, None, lanes])

        t.loop(form.summed, lanes, some)

    def line(h: Index) -> None:
        for first, last in ((0, before), (before + wide_in, across)):
            if first < last:
                t.loop(last, 1, lambda w: blank(h, w), lower=first)
        if form.first:
            t.loop(wide_in, lanes, lambda w: mix(h, w))
        else:
            t.loop(wide_in, 1, lambda w: copy(h, w))

    end = (form.size(form.x, 0) - origin).min(window)
    t.loop(end, 1, line, lower=(0 - origin).max(0))
    return scratch
