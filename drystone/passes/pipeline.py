"""The list of passes a target's programs go through: data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from drystone.ir.pieces import Span
from drystone.ir.program import Program
from drystone.passes.attention.recognize_attention import RecognizeAttention
from drystone.passes.caches.encode_caches import EncodeCaches
from drystone.passes.choose_precision import ChoosePrecision
from drystone.passes.flatten_matmul import FlattenMatmul
from drystone.passes.fusing.fold_batch_norm import FoldBatchNorm
from drystone.passes.fusing.fold_constants import FoldConstants
from drystone.passes.fusing.fold_weights import FoldWeights
from drystone.passes.fusing.fuse_concat import FuseConcat
from drystone.passes.fusing.fuse_elementwise import FuseElementwise
from drystone.passes.fusing.fuse_epilogue import FuseEpilogue
from drystone.passes.fusing.fuse_gather import FuseGather
from drystone.passes.fusing.fuse_log_softmax import FuseLogSoftmax
from drystone.passes.fusing.fuse_residual import FuseResidual
from drystone.passes.fusing.fuse_row_stats import FuseRowStats
from drystone.passes.fusing.fuse_scan import FuseScan
from drystone.passes.fusing.fuse_siblings import FuseSiblings
from drystone.passes.fusing.merge_products import MergeProducts
from drystone.passes.fusing.pick_one_hot import PickOneHot
from drystone.passes.fusing.recognize_norm import RecognizeNorm
from drystone.passes.fusing.slice_rows import SliceRows
from drystone.passes.integers.check_integers import CheckIntegers
from drystone.passes.integers.to_integers import ToIntegers
from drystone.passes.layout.absorb_transposes import AbsorbTransposes
from drystone.passes.layout.channels_last import ChannelsLast
from drystone.passes.layout.decode_weights import DecodeWeights
from drystone.passes.layout.expose_weights import ExposeWeights
from drystone.passes.layout.pack_weights import PackWeights
from drystone.passes.layout.phases import Phases
from drystone.passes.outlining.outline_kernels import OutlineKernels
from drystone.passes.pass_base import Pass, copy_of, run
from drystone.passes.patching.patch import Patch
from drystone.passes.quantizing.few_digits import FewDigits
from drystone.passes.quantizing.merge_rounding import MergeRounding
from drystone.passes.quantizing.multiply_codes import MultiplyCodes
from drystone.passes.quantizing.observe_ranges import ObserveRanges
from drystone.passes.quantizing.observe_weights import ObserveWeights
from drystone.passes.quantizing.quantize_convolutions import QuantizeConvolutions
from drystone.passes.quantizing.quantize_products import Formats, QuantizeProducts
from drystone.passes.quantizing.quantize_weights import QuantizeWeights
from drystone.passes.quantizing.ranges import Extremes, Observer, Range
from drystone.passes.quantizing.round_activations import RoundActivations
from drystone.passes.resolve_dims import ResolveDims
from drystone.passes.simplify import Simplify
from drystone.passes.sparsifying.settle_sparsity import SettleSparsity, Timed
from drystone.passes.sparsifying.shrink_channels import ShrinkChannels
from drystone.passes.sparsifying.skip_zeros import ObserveZeros, SkipZeros
from drystone.passes.sparsifying.sparsify_weights import SparsifyWeights
from drystone.passes.spell_out import SpellOut
from drystone.passes.split_products import SplitProducts
from drystone.registry import Registry
from drystone.targets.target import Target


@dataclass(frozen=True)
class Sparsity:
    """How it is decided whether weights with zeros are held without them: see `SettleSparsity`."""

    keep: bool = False
    timed: Timed | None = None


@dataclass(frozen=True)
class Quantization:
    """What is done to weights, products, convolutions and caches that are to be quantized, to weights that
    are to be pruned before, and to those that have zeros then; and to numbers that become 0 when the model
    runs."""

    weights: QuantizeWeights | ObserveWeights | ExposeWeights = field(default_factory=QuantizeWeights)
    products: QuantizeProducts | ObserveRanges = field(default_factory=QuantizeProducts)
    convolutions: QuantizeConvolutions | ObserveRanges = field(default_factory=QuantizeConvolutions)
    activations: RoundActivations = field(default_factory=RoundActivations)
    caches: EncodeCaches = field(default_factory=EncodeCaches)
    sparse: SparsifyWeights = field(default_factory=SparsifyWeights)
    shrunk: ShrinkChannels = field(default_factory=ShrinkChannels)
    settled: Sparsity | None = field(default_factory=Sparsity)
    skipping: SkipZeros | ObserveZeros = field(default_factory=SkipZeros)
    #: How static codes get their ends.
    observer: Observer = field(default_factory=Observer)
    #: Passes after which a program computes with integers alone: `integers_only(..)`.
    integers: tuple[Pass, ...] = ()

    @property
    def in_bytes(self) -> Formats:
        """The formats of weights whose products are computed, or observed to be computed, in bytes."""
        return _formats(self.products)

    @property
    def convolved_in_bytes(self) -> Formats:
        """The same of convolutions."""
        return _formats(self.convolutions)

    def settling(self, target: Target, element: str | None) -> tuple[SettleSparsity, ...]:
        """What decides how weights with zeros are held, where products of f32 are held as `element`. Nothing
        where the model computes with integers alone."""
        if self.settled is None or self.integers:
            return ()
        left, own = self.sparse.prunings, self.settled
        return (SettleSparsity(target, element, self.in_bytes, left, own.keep, own.timed),)


def _formats(each: Pass) -> Formats:
    """The formats of the weights that a pass, or the one that it observes for, makes bytes of."""
    of = each.of if isinstance(each, ObserveRanges) else each
    return of.formats if isinstance(of, QuantizeProducts | QuantizeConvolutions) else ()


_AS_IT_IS = Quantization()


@dataclass(frozen=True)
class Insertion:
    """A pass of an extension, and its place: right before the first pass called `at`, or, with `behind`,
    right behind the last one."""

    step: Pass
    at: str
    behind: bool


#: The passes of extensions, by their names.
INSERTIONS: Registry[Insertion] = Registry("pass")


def _with_insertions(listed: tuple[Pass, ...]) -> tuple[Pass, ...]:
    """A list of passes with those of extensions in their places; of several in one place in the order they
    were added."""
    found = [(each, "") for each in listed]
    for each in INSERTIONS.values():
        places = [place for place, (step, _) in enumerate(found) if step.name == each.at]
        if not places:
            continue
        place = places[0]
        if each.behind:
            place = places[-1] + 1
            while place < len(found) and found[place][1] == each.at:
                place += 1
        found.insert(place, (each.step, each.at if each.behind else ""))
    return tuple(step for step, _ in found)


def pipeline(
    target: Target, element: str | None = None, quantized: Quantization = _AS_IT_IS
) -> tuple[Pass, ...]:
    """The passes, in order, that bring an imported program into the outlined form for `target`; products of
    f32 are held as `element`, weights, products and caches as `quantized` says."""
    return (*fusing(target, element, quantized), *outlining())


def integers_only(ranges: Mapping[str, Range]) -> tuple[Pass, ...]:
    """The passes after which a program computes with integers alone."""
    return (SpellOut(), ToIntegers(ranges), CheckIntegers(), FuseElementwise())


def observing(
    quantized: Quantization, what: str, seen: Mapping[str, Extremes] = MappingProxyType({})
) -> Quantization:
    """With these passes a program gives the ranges of the tensors that one of those of `quantized` rounds:
    "products", "convolutions" or "integers"; where their extremes are known, what lies at ends that are
    tried."""
    observer = quantized.observer
    if what == "integers":
        return Quantization(integers=(SpellOut(), ObserveRanges(ToIntegers(), observer, seen)))
    products, convolutions = quantized.products, quantized.convolutions
    before = Quantization(sparse=quantized.sparse, shrunk=quantized.shrunk)
    assert isinstance(products, QuantizeProducts) and isinstance(convolutions, QuantizeConvolutions)
    if what == "products":
        return replace(before, products=ObserveRanges(products, observer, seen))
    return replace(before, convolutions=ObserveRanges(convolutions, observer, seen))


def outlining(spans: tuple[Span, ...] = (), weights: int | None = None) -> tuple[Pass, ...]:
    """The last passes: operations become calls of kernels, those of `spans` piece by piece; none is merged
    that would read more than so many bytes of weights."""
    return _with_insertions((Patch(spans), OutlineKernels(), MergeProducts(weights=weights), MergeRounding()))


def fusing(
    target: Target, element: str | None = None, quantized: Quantization = _AS_IT_IS
) -> tuple[Pass, ...]:
    """The passes up to where every operation of `@main` is to be one kernel.

    Attention is recognized where transposes still stand by themselves, and once more when masks that are
    constants are known. What is picked from maps is computed before a log softmax is looked at, and once more
    for the map that this becomes. Epilogues are fused twice: first every result takes the chain of maps
    behind it (so that a batch norm stays with its own convolution), then what became one map by fusing
    several (GELU reads its input twice).
    """
    return _with_insertions(
        (
            MultiplyCodes(target),
            FoldWeights(),
            quantized.shrunk,
            quantized.skipping,
            quantized.sparse,
            quantized.weights,
            *quantized.settling(target, element),
            SplitProducts(target, quantized.in_bytes),
            DecodeWeights(target, quantized.in_bytes),
            Simplify(),
            ResolveDims(),
            RecognizeAttention(),
            AbsorbTransposes(),
            ChannelsLast(),
            FoldConstants(),
            RecognizeAttention(),
            quantized.caches,
            quantized.products,
            quantized.activations.on(target),
            FuseEpilogue(),
            FuseGather(),
            FuseLogSoftmax(),
            FuseGather(),
            FuseElementwise(),
            FuseScan(),
            PickOneHot(),
            RecognizeNorm(),
            FuseConcat(),
            FuseEpilogue(),
            FuseResidual(),
            SliceRows(),
            FuseSiblings(),
            FoldBatchNorm(),
            Phases(quantized.convolved_in_bytes),
            quantized.convolutions.on(target),
            *quantized.integers,
            FlattenMatmul(),
            ChoosePrecision(target, element),
            PackWeights(target),
            FuseRowStats(),
            FewDigits(),
        )
    )


def unfused(program: Program) -> Program:
    """A copy of an imported program in its plain form (after `simplify` and `resolve-dims`) with every
    operation a kernel of its own; only its types are meant, not the numbers of decoded weights."""
    copy = copy_of(program)
    run(copy, (DecodeWeights(numbers=False), Simplify(), ResolveDims(), OutlineKernels()))
    return copy
