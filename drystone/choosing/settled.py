"""Formats for the weights of a program, as passes of the pipeline."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from drystone.choosing.changes import Changes
from drystone.choosing.choose import Option, Weight, cheapest, choose, described, options_of, too_small
from drystone.codegen.latency import Product
from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir import formats
from drystone.ir.encoding import Encoding
from drystone.ir.program import Program
from drystone.options import Budget, byte_count
from drystone.passes import INT8, ExposeWeights, Quantization, QuantizeProducts, QuantizeWeights, Rounding
from drystone.passes.biases import bias_of
from drystone.passes.coded import Panels
from drystone.passes.generic import unwidened
from drystone.passes.pack_weights import panel_width
from drystone.passes.quantize_products import is_quantizable
from drystone.passes.quantize_weights import BEST
from drystone.passes.rounding import Method, Seen
from drystone.passes.weight_readers import Reader, first_match, readers_of
from drystone.quantizing import Call
from drystone.runtime.fitted import Fitted
from drystone.runtime.manifest import ChosenFormat
from drystone.targets.target import CpuTarget

#: How often formats are chosen anew where the error that is measured is larger than was expected, and what
#: share of the error that would then be right is expected the next time.
_TRIES, _CAUTION = 6, 0.9
#: Passes, and the formats that they have for weights.
Settled = tuple[Quantization, tuple[ChosenFormat, ...]]


@dataclass(frozen=True)
class Chooser:
    """What is known of the weights whose formats are to be chosen, by their keys, what each format costs, and
    the passes for everything else. `auto`: the patterns that stand for them; `others`: bytes of weights that
    are none of them; `beside`: bytes that factors of activations and added biases may take."""

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
        target: CpuTarget,
        element: str,
    ) -> "Chooser":
        """Of an imported program, which stays as it is; `build` compiles the model anew. panels: whether
        bytes are those of the compiled model, not of the formats. element: what products of plain weights
        are computed in on the target."""
        passes = quantized.weights
        assert isinstance(passes, QuantizeWeights)
        readers = {reader.key: reader for reader in _readers(program, passes, auto)}
        arrays = {key: program.weights[key] for key in readers}
        weights = {
            key: _Known(reader, arrays[key], passes.seen.get(key), target, element, len(calls)).weight(panels)
            for key, reader in readers.items()
        }
        changed = Changes(build(Quantization(ExposeWeights(tuple(weights)))), arrays, calls)
        options = options_of(weights, lambda key, matrix: changed.by(key, readers[key].array(matrix)))
        others = sum(program.weights[key].nbytes for key in program.weights if key not in weights)
        beside = _beside([*readers.values()], passes, auto)
        return Chooser(quantized, frozenset(auto), weights, options, others, beside)

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
            coded = each.format not in ("", INT8)
            own.append((re.escape(key), Rounding(formats.TABLE[each.format](), method) if coded else None))
            if each.format == INT8:
                in_bytes.append((re.escape(key), INT8))
        rest = tuple((pattern, None if pattern in self.auto else each) for pattern, each in weights.formats)
        names = weights.others.union(self.auto, (pattern for pattern, _ in in_bytes))
        passes = replace(
            self.quantized,
            weights=replace(weights, formats=(*own, *rest), others=names),
            products=replace(products, formats=(*in_bytes, *products.formats)),
        )
        return passes, tuple(described(self.weights, found))


@dataclass(frozen=True)
class _Known:
    """A weight of the program: its reader, its array, what calibration showed of its inputs in so many calls,
    and what computes its products."""

    reader: Reader
    array: Array
    seen: Seen | None
    target: CpuTarget
    element: str
    calls: int

    def weight(self, panels: bool) -> Weight:
        """It as the choice sees it."""
        reader, array = self.reader, self.array
        return Weight(
            lambda: reader.matrix(array),
            reader.extents,
            self.seen,
            array.nbytes,
            self._stored if panels else None,
            self._seconds,
            reader.kind == "product" and is_quantizable(reader.op),
        )

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


def _readers(program: Program, weights: QuantizeWeights, auto: Collection[str]) -> list[Reader]:
    """The readers of weights whose first pattern is one of these."""
    patterns = [pattern for pattern, _ in weights.formats]
    found = readers_of(program, tables=weights.tables)
    return [reader for reader in found if first_match(patterns, program.weights.names(reader.key)) in auto]


def _method(weights: QuantizeWeights, auto: Collection[str]) -> Method | None:
    """The method of rounding that the user asks for beside the choice of formats."""
    return next(each.method for pattern, each in weights.formats if pattern in auto and each is not None)


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
    that changes the model least where bits or bytes are limited too. `settle` readies a choice. Raises
    UserError where none is found."""
    allowed = budget.error or 0.0
    limited = budget.bits is not None or budget.weights is not None
    expected, measured = allowed, 0.0
    for _ in range(1 if limited else _TRIES):
        found = settle(chooser.within(budget) if limited else chooser.below(expected))
        measured = error_of(found)
        if measured <= allowed:
            return found
        expected *= _CAUTION * allowed / measured
    raise UserError(
        f"the formats that were chosen are off by {measured:.1e} (relative L2), {allowed:g} is allowed",
        hint="raise Budget(error=...)"
        + (", or its bits and bytes" if limited else ", or Options(compute=...)"),
    )
