"""Formats and zeros for the weights of a program, as passes of the pipeline."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from drystone.choosing.changes import Changes
from drystone.choosing.choose import Option, Weight, cheapest, choose, described, options_of, too_small
from drystone.choosing.zeros import Way, candidates
from drystone.codegen.latency import Product
from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir import formats
from drystone.ir.encoding import Encoding
from drystone.ir.program import Program
from drystone.options import Budget, byte_count
from drystone.passes import (
    INT8,
    ExposeWeights,
    Quantization,
    QuantizeProducts,
    QuantizeWeights,
    Rounding,
    SparseProduct,
    SparsifyWeights,
)
from drystone.passes.fusing.biases import bias_of
from drystone.passes.generic import unwidened
from drystone.passes.layout.pack_weights import panel_width
from drystone.passes.layout.panels import Panels
from drystone.passes.pruning import Free, Pruning
from drystone.passes.quantizing.quantize_products import is_quantizable
from drystone.passes.quantizing.quantize_weights import BEST
from drystone.passes.rounding import Method, Seen
from drystone.passes.weight_readers import Reader, asked_of, first_match, readers_of
from drystone.runtime.accuracy import Call
from drystone.runtime.fitted import Fitted
from drystone.runtime.manifest import ChosenFormat
from drystone.targets.target import Target

#: How often formats are chosen anew where the error that is measured is larger than was expected, and what
#: share of the error that would then be right is expected the next time.
_TRIES, _CAUTION = 6, 0.9
#: Passes, and the formats that they have for weights.
Settled = tuple[Quantization, tuple[ChosenFormat, ...]]


@dataclass(frozen=True)
class Chooser:
    """What is known of the weights whose formats, or zeros, are to be chosen, by their keys, what each way to
    hold them costs, and the passes for everything else. `auto`: the patterns of formats; `others`: bytes of
    weights that are none of them; `beside`: bytes that factors of activations and added biases may take."""

    quantized: Quantization
    auto: frozenset[str]
    weights: Mapping[str, Weight]
    options: Mapping[str, Sequence[Option]]
    others: int
    beside: int

    @staticmethod
    def of(
        quantized: Quantization,
        auto: Collection[str],
        program: Program,
        build: Callable[[Quantization], Fitted],
        calls: Sequence[Call],
        panels: bool,
        target: Target,
        element: str,
    ) -> "Chooser":
        """Of an imported program, which stays as it is; `build` compiles the model anew. panels: whether
        bytes are those of the compiled model, not of the formats. element: what products of plain weights
        are computed in on the target."""
        passes, sparse = quantized.weights, quantized.sparse
        assert isinstance(passes, QuantizeWeights)
        asked = {each.reader.key: each for each in _asked(program, quantized, auto)}
        readers = {key: each.reader for key, each in asked.items()}
        arrays = {key: program.weights[key] for key in readers}
        seen = {**sparse.seen, **passes.seen}
        weights = {
            key: _Known(each, arrays[key], seen.get(key), target, element, len(calls)).weight(panels)
            for key, each in asked.items()
        }
        changed = Changes(build(Quantization(ExposeWeights(tuple(weights)))), arrays, calls)
        options = options_of(weights, lambda key, matrix: changed.by(key, readers[key].array(matrix)))
        others = sum(program.weights[key].nbytes for key in program.weights if key not in weights)
        beside = _beside([each.reader for each in asked.values() if each.coded], passes, auto)
        return Chooser(quantized, frozenset(auto), weights, options, others, beside)

    @property
    def dense(self) -> "Chooser":
        """The same without zeros to choose from."""
        options = {key: [each for each in own if not each.sparse] for key, own in self.options.items()}
        return replace(self, options=options)

    @property
    def has_zeros(self) -> bool:
        """Whether zeros are among what is chosen from."""
        return any(each.sparse for own in self.options.values() for each in own)

    def chose_zeros(self, found: Settled) -> bool:
        """Whether zeros are among what was chosen."""
        return any(each.format in self.weights[each.weight].ways for each in found[1])

    def fits(self, budget: Budget) -> bool:
        """Whether some choice keeps a budget of bits or bytes."""
        limit, others = self._limit(budget)
        least = sum(min(each.size for each in own) for own in self.options.values())
        return least <= limit - others - self.beside

    def within(self, budget: Budget) -> Settled:
        """The formats that change the model least within a budget of bits or bytes. Raises UserError where no
        choice keeps it."""
        limit, others = self._limit(budget)
        found = choose(self.options, limit - others - self.beside)
        if found is None:
            raise too_small(self.weights, self.options, limit, others + self.beside)
        return self._settled(found)

    def below(self, error: float) -> Settled:
        """The fastest formats that are expected to change the model's results by so much."""
        return self._settled(cheapest(self.options, error))

    def _limit(self, budget: Budget) -> tuple[int, int]:
        """The bytes that these weights and others may take, and those of the others."""
        count = sum(each.count for each in self.weights.values())
        own = None if budget.bits is None else int(budget.bits * count / 8)
        if budget.weights is None:
            return own or 0, 0
        whole = byte_count(budget.weights)
        return (whole if own is None else min(whole, own + self.others)), self.others

    def _settled(self, found: Sequence[Option]) -> Settled:
        weights, products = self.quantized.weights, self.quantized.products
        assert isinstance(weights, QuantizeWeights) and isinstance(products, QuantizeProducts)
        method = _method(weights, self.auto)
        own, in_bytes = [], []
        for key, each in zip(self.weights, found, strict=True):
            coded = each.format not in ("", INT8, *self.weights[key].ways)
            own.append((re.escape(key), Rounding(formats.TABLE[each.format](), method) if coded else None))
            if each.format == INT8:
                in_bytes.append((re.escape(key), INT8))
        rest = tuple((pattern, None if pattern in self.auto else each) for pattern, each in weights.formats)
        pruned = (re.escape(key) for key in self._held(found))
        names = weights.others.union(self.auto, (pattern for pattern, _ in in_bytes), pruned)
        passes = replace(
            self.quantized,
            sparse=self._sparse(self._held(found)),
            weights=replace(weights, formats=(*own, *rest), others=names),
            products=replace(products, formats=(*in_bytes, *products.formats)),
        )
        return passes, tuple(described(self.weights, found))

    def _held(self, found: Sequence[Option]) -> dict[str, Way]:
        """By the keys of weights for which zeros were chosen how they are held."""
        pairs = zip(self.weights.items(), found, strict=True)
        return {key: own.ways[each.format] for (key, own), each in pairs if each.format in own.ways}

    def _sparse(self, held: Mapping[str, Way]) -> SparsifyWeights:
        """The pass that prunes these weights, and those that it prunes in any case."""
        sparse, prunings, values = self.quantized.sparse, [], []
        for key, way in held.items():
            pruning = self.weights[key].pruning
            assert pruning is not None
            prunings.append((re.escape(key), replace(pruning, zeros=way.held.zeros)))
            values.append((re.escape(key), Rounding(way.held.values)))
        rest = tuple((pattern, None if _is_chosen(each) else each) for pattern, each in sparse.prunings)
        formats = (*values, *sparse.rounding.formats)
        rounding = replace(sparse.rounding, formats=formats, others=frozenset(name for name, _ in formats))
        others = sparse.others.union(pattern for pattern, each in sparse.prunings if _is_chosen(each))
        return replace(sparse, prunings=(*prunings, *rest), rounding=rounding, others=others)


@dataclass(frozen=True)
class _Asked:
    """A weight for which something is to be chosen, by what reads it: whether a format is, and how it is
    pruned where zeros are."""

    reader: Reader
    coded: bool
    pruning: Pruning | None


@dataclass(frozen=True)
class _Known:
    """A weight of the program: what is asked of it, its array, what calibration showed of its inputs in so
    many calls, and what computes its products."""

    asked: _Asked
    array: Array
    seen: Seen | None
    target: Target
    element: str
    calls: int

    def weight(self, panels: bool) -> Weight:
        """It as the choice sees it."""
        reader, array, pruning = self.reader, self.array, self.asked.pruning
        ways = {} if pruning is None else {way.held.name: way for way in self._ways(panels)}
        return Weight(
            lambda: reader.matrix(array),
            reader.extents,
            self.seen,
            array.nbytes,
            self._stored if panels else None,
            self._seconds,
            reader.kind == "product" and is_quantizable(reader.op),
            self.asked.coded,
            pruning if ways else None,
            ways,
        )

    @property
    def reader(self) -> Reader:
        """What reads it."""
        return self.asked.reader

    def _ways(self, panels: bool) -> Iterator[Way]:
        """The ways to hold it without zeros that kernels read and that take fewer bytes than it does as it
        is; panels: bytes are those that kernels read."""
        own = str(self.reader.weight.type.element_type)
        held = self.element if own == "f32" else own
        extents = self.reader.extents
        for each in candidates(own, extents):
            encoding = each.encoding(extents)
            case = SparseProduct.of(self.reader.op.operation, extents, encoding, held, self.target)
            joined = "" if case is None else case.joined(self.target)
            time = None if case is None else case.estimated(self.target)
            if time is None or isinstance(joined, str):
                continue
            size = joined.bytes(extents) if panels else encoding.bytes(extents)
            if size < self.array.nbytes:
                yield Way(each, size, time * self._seconds("", self.array.nbytes))

    def _is_read(self, encoding: Encoding) -> int | None:
        """The bytes that a kernel reads an encoding in; None where the weight is decoded."""
        extents = self.reader.extents
        panels = Panels(extents, 0, panel_width(self.target, extents[0]))
        joined = panels.joined(encoding) if self.reader.kind == "product" else ""
        return None if isinstance(joined, str) else joined.bytes(extents)

    def _stored(self, encoding: Encoding) -> int:
        """The bytes of the weight as the compiled model has it: in panels where kernels read its codes, else
        decoded."""
        size = self._is_read(encoding)
        return self.array.nbytes if size is None else size

    def _seconds(self, name: str, size: int) -> float:
        rows = 1.0 if self.seen is None else self.seen.rows / self.calls
        product = Product(self.target, rows, self.reader.extents)
        if name == INT8:
            return product.bytes(size)
        encoding = formats.TABLE[name]() if name else None
        if encoding is None or self._is_read(encoding) is None:
            return product.plain(self.array.nbytes, self.element)
        return product.coded(encoding, size, self.element)


def _asked(program: Program, quantized: Quantization, auto: Collection[str]) -> Iterator[_Asked]:
    """The weights whose first pattern of formats is one of these, and those without a format whose first
    pattern of zeros leaves these to be chosen. Of what else than products of one kind, or convolutions, read
    no zeros are chosen."""
    weights, sparse = quantized.weights, quantized.sparse
    assert isinstance(weights, QuantizeWeights)
    patterns = [pattern for pattern, _ in weights.formats]
    every = readers_of(program, tables=True, left=True)
    uses = {key: {(r.kind, r.turned) for r in every if r.key == key} for key in {r.key for r in every}}
    for reader in readers_of(program, tables=weights.tables):
        names = program.weights.names(reader.key)
        coded = first_match(patterns, names) in auto
        pruning = asked_of(sparse.prunings, names)
        held = asked_of(weights.formats, names) is not None or asked_of(quantized.in_bytes, names) == INT8
        alike = len(uses[reader.key]) == 1 and reader.kind in ("product", "conv")
        free = _is_chosen(pruning) and alike
        if coded or (free and not held):
            yield _Asked(reader, coded, pruning if free else None)


def are_chosen(quantized: Quantization) -> bool:
    """Whether zeros of some weights are chosen within a budget."""
    return any(_is_chosen(pruning) for _, pruning in quantized.sparse.prunings)


def _is_chosen(pruning: Pruning | None) -> bool:
    """Whether zeros are chosen within a budget."""
    return pruning is not None and pruning.zeros == Free()


def _method(weights: QuantizeWeights, auto: Collection[str]) -> Method | None:
    """The method of rounding that the user asks for beside the choice of formats."""
    asked = (each.method for pattern, each in weights.formats if pattern in auto and each is not None)
    return next(asked, None)


def _beside(readers: Sequence[Reader], weights: QuantizeWeights, auto: Collection[str]) -> int:
    """The bytes of factors of activations, and of biases where there were none."""
    asked = _method(weights, auto)
    method, found = asked or BEST, 0
    if method.scaled:
        products = [reader for reader in readers if reader.kind == "product"]
        found += sum(4 * inputs for inputs in {unwidened(r.x): r.extents[1] for r in products}.values())
    if method.corrected:
        alone = [reader for reader in readers if reader.kind != "table" and bias_of(reader.op) is None]
        found += sum(4 * reader.extents[0] for reader in alone)
    return found


def kept(
    chooser: Chooser,
    budget: Budget,
    error_of: Callable[[Settled], float],
    settle: Callable[[Settled], Settled] = lambda found: found,
) -> Settled:
    """A choice whose error, as `error_of` measures it, is at most the budget's: the fastest one, or the one
    that changes the model least where bits or bytes are limited too. Where zeros are chosen, and the model
    with them is off by more than with formats alone within the same budget, the latter. `settle` readies a
    choice. Raises UserError where none is found."""
    limited = budget.bits is not None or budget.weights is not None
    if budget.error is None:
        return _closest(chooser, budget, error_of, settle)
    allowed, measured = budget.error, 0.0
    for own in (chooser, chooser.dense) if chooser.has_zeros else (chooser,):
        expected = allowed
        for _ in range(int(own.fits(budget)) if limited else _TRIES):
            found = settle(own.within(budget) if limited else own.below(expected))
            measured = error_of(found)
            if measured <= allowed:
                return found
            expected *= _CAUTION * allowed / measured
    raise UserError(
        f"the formats that were chosen are off by {measured:.1e} (relative L2), {allowed:g} is allowed",
        hint="raise Budget(error=...)"
        + (", or its bits and bytes" if limited else ", or Options(compute=...)"),
    )


def _closest(
    chooser: Chooser,
    budget: Budget,
    error_of: Callable[[Settled], float],
    settle: Callable[[Settled], Settled],
) -> Settled:
    """What changes the model least within bits or bytes: what zeros change is less sure than what formats do,
    and both are measured where zeros are chosen."""
    found = settle(chooser.within(budget))
    if not chooser.chose_zeros(found) or not chooser.dense.fits(budget):
        return found
    other = settle(chooser.dense.within(budget))
    return min(found, other, key=error_of)
