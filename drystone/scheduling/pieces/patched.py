"""The planning problem of a net some of whose layers are computed piece by piece."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod

from drystone.ir.pieces import Region, Span, emit
from drystone.scheduling.graph import Block, Graph
from drystone.scheduling.order.greedy import best_fit, height
from drystone.scheduling.pieces.spans import Choice, Choices, Layer, Net
from drystone.scheduling.problem import Operation, Problem, Tensor
from drystone.targets.target import Level

#: Parts of a capacity that the sizes of a choice may reach, as addresses take some more.
_PARTS = (1.0, 0.985, 0.97, 0.955, 0.94, 0.92, 0.9, 0.87, 0.84, 0.8, 0.75, 0.7)

#: How far apart sizes of weights are that are tried, as a factor.
_STEP = 0.9


def patched_problem(net: Net, spans: Sequence[Span], capacity: int | None = None) -> Problem:
    """What the program of a net, rewritten by the pass `patch`, has to have planned."""
    writer = _Writer(net)
    starts = {span.first: span for span in spans}
    number = 0
    while number < len(net.layers):
        span = starts.get(number)
        if span is None:
            writer.layer(net.layers[number])
            number += 1
        else:
            _Pieces(writer, span).write()
            number = span.last + 1
    level = Level("ram", capacity, net.alignment)
    tensors = tuple(writer.tensors.values())
    return Problem(tuple(writer.operations), tensors, (level,), tuple(sorted(net.kept)))


def choices_of(net: Net, capacity: int) -> Iterator[Choice]:
    """Spans with which best fit in the given order stays within a capacity, those of less cost first, that of
    the least memory last."""
    tried: set[tuple[Span, ...]] = set()
    yield from _placed(net, Choices(net, capacity), capacity, tried)
    # Addresses may take less than the sizes say.
    least = Choices(net).least(float("inf"))
    if least is not None and least.spans and least.spans not in tried and _height(net, least) <= capacity:
        yield least


def _placed(
    net: Net, found: Choices, capacity: int, tried: set[tuple[Span, ...]], weights: int | None = None
) -> Iterator[Choice]:
    for part in _PARTS:
        choice = found.within(int(capacity * part), weights)
        if choice is None:
            return
        if not choice.spans or choice.spans in tried:
            continue
        tried.add(choice.spans)
        if _height(net, choice) <= capacity:
            yield choice


def _height(net: Net, choice: Choice) -> int:
    """Bytes that best fit in the given order needs."""
    blocks = given_order(patched_problem(net, choice.spans))
    return height(blocks, best_fit(blocks))


def choices_together(net: Net, room: int) -> Iterator[Choice]:
    """Spans with which activations, and beside them the weights that any one step reads, stay within `room`
    bytes; those of less cost first."""
    found = Choices(net, room)
    kept: dict[tuple[Span, ...], Choice] = {}
    for weights in _several(found.weights):
        choice = next(_placed(net, found, room - weights, set(), weights), None) if weights < room else None
        if choice is not None:
            kept.setdefault(choice.spans, choice)
    yield from sorted(kept.values(), key=lambda choice: choice.cost)


def least_together(net: Net) -> int | None:
    """As few bytes as are known to do for `choices_together`; None where nothing can be computed piece by
    piece."""
    found = Choices(net)
    sums = []
    for weights in _several(found.weights):
        choice = found.least(float("inf"), weights)
        if choice is not None and choice.spans:
            sums.append(_height(net, choice) + choice.weights)
    return min(sums, default=None)


def _several(sizes: Sequence[int]) -> list[int]:
    """Some of many sizes, from the largest down, each well below the one before."""
    some: list[int] = []
    for size in sorted(set(sizes), reverse=True):
        if not some or size <= _STEP * some[-1]:
            some.append(size)
    return some


def least_capacity(net: Net) -> int | None:
    """A capacity within which some choice of spans stays, as little as is known; None where nothing can be
    computed piece by piece."""
    found = Choices(net).least(float("inf"))
    return None if found is None or not found.spans else _height(net, found)


def given_order(problem: Problem) -> list[Block]:
    """What is to be placed where operations run in the order of the problem."""
    return Graph(problem).blocks(range(len(problem.operations)))


class _Writer:
    def __init__(self, net: Net) -> None:
        self.net = net
        self.operations: list[Operation] = []
        self.outside = set(net.outside)
        made = {name for layer in net.layers for name in layer.results}
        self.tensors = {n: Tensor(n, net.sizes[n]) for n in net.sizes if n not in net.outside | made}

    def run(
        self, kind: str, reads: Sequence[str], result: str, size: int, where: str, over: str | None = None
    ) -> str:
        """One more operation; `over`: what its result may take the place of."""
        name = f"{len(self.operations)}.{kind}"
        outside = self.outside
        if result not in outside:
            self.tensors[result] = Tensor(result, size, where)
        inputs = tuple(dict.fromkeys(n for n in reads if n not in outside))
        outputs = () if result in outside else (result,)
        pairs = ((result, over),) if over in inputs and outputs else ()
        self.operations.append(Operation(name, inputs, outputs, in_place=pairs, where=where))
        return result

    def fresh(self, name: str, whole: bool = False) -> str:
        """A name for a piece of a tensor or for what is to become all of it, and lies where that does."""
        made = f"{name}.{len(self.operations)}"
        if whole and name in self.outside:
            self.outside.add(made)
        return made

    def layer(self, layer: Layer) -> None:
        """A layer as a whole."""
        if layer.result in layer.reads:
            return
        size = self.net.sizes[layer.result]
        first = layer.reads[0] if layer.in_place and layer.reads else ""
        over = first if first and self.net.sizes[first] >= size else None
        self.run("whole", layer.reads, layer.result, size, layer.where, over)
        others = [name for name in layer.others if name not in self.outside]
        self.tensors |= {name: Tensor(name, self.net.sizes[name], layer.where) for name in others}
        last = self.operations.pop()
        self.operations.append(replace(last, outputs=(*last.outputs, *others)))


class _Pieces:
    """A `Builder` whose tensors are names."""

    def __init__(self, writer: _Writer, span: Span) -> None:
        self.writer, self.span, self.net = writer, span, writer.net
        layers = self.net.layers[span.first : span.last + (not span.summed)]
        self.layers = [layer for layer in layers if not layer.is_view]
        self.last = self.net.layers[span.last]
        self.steps = [step for each in self.layers if (step := each.along(span.features)) is not None]
        self.scattered = self.net.apart if span.features else self.net.scattered
        self.extents = {step.result: step.extents for step in self.steps}
        for step in self.steps:
            for read in step.reads:
                self.extents.setdefault(read.value, tuple(window.extent for window in read.windows))

    def write(self) -> None:
        """All operations of the span."""
        made, result = emit(self.steps, self.span.grid, self), self.last.result
        if result not in self.net.outside:
            self.writer.operations[-1] = _renamed(self.writer.operations[-1], made, result)
            size = self.writer.tensors.pop(made).size
            self.writer.tensors[result] = Tensor(result, size, self.last.where)

    def _size(self, name: str, region: Region) -> int:
        return self.net.sizes[name] * prod(b - a for a, b in region) // prod(self.extents[name])

    def _run(self, kind: str, reads: Sequence[str], name: str, region: Region) -> str:
        result = self.writer.fresh(name)
        return self.writer.run(kind, reads, result, self._size(name, region), self.last.where)

    def source(self, name: str) -> str:
        """The tensor itself."""
        return name

    def part(self, name: str, value: str, held: Region, wanted: Region) -> str:
        """The same memory where it is one stretch, a copy elsewhere."""
        stretch = held[1:] == wanted[1:] and name not in self.scattered
        return value if held == wanted or stretch else self._run("slice", [value], name, wanted)

    def make(self, number: int, region: Region, operands: Sequence[str]) -> str:
        """The operation, which also reads what it reads whole."""
        layer, step = self.layers[number], self.steps[number]
        whole = set(layer.reads) - {read.value for read in step.reads}
        return self._run("part", [*operands, *sorted(whole)], step.result, region)

    def keep(self, name: str, value: str, held: Region, wanted: Region) -> str:
        """A copy."""
        return self._run("keep", [value], name, wanted)

    def join(self, name: str, kept: str, fresh: str, held: Region) -> str:
        """A copy of both."""
        return self._run("join", [kept, fresh], name, held)

    def put(self, whole: str | None, piece: str, region: Region) -> str:
        """An insertion over the whole, or a sum over the sum before."""
        size = self.net.sizes[self.last.result]
        writer, where = self.writer, self.last.where
        if self.span.summed and self.span.features:
            # The last product has the epilogue, and reads what that does.
            end = region[0][1] == self.extents[self.steps[-1].result][0]
            beside = [n for n in self.last.reads if n != self.last.sums] if end else []
            reads = [piece, *beside] if whole is None else [whole, piece, *beside]
            return writer.run("sum", reads, writer.fresh(self.last.result, True), size, where, whole)
        if self.span.summed:
            name = writer.fresh(self.last.result, whole is None)
            piece = writer.run("average", [piece], name, size, where)
            if whole is None:
                return piece
        reads = [piece] if whole is None else [whole, piece]
        return writer.run("put", reads, writer.fresh(self.last.result, True), size, where, whole)


def _renamed(op: Operation, old: str, new: str) -> Operation:
    """The operation with its result named anew."""
    pairs = tuple((new if result == old else result, over) for result, over in op.in_place)
    return Operation(op.name, op.inputs, (new,), in_place=pairs, where=op.where)
