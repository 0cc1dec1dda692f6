"""Passes: rewrites of a program that refine the types of its tensors until every computation is one kernel.

`pipeline(target)` is the list of them for a target: `fusing`, then `outlining`. `run` applies a list;
`copy_of` gives a program to be rewritten apart, `unfused` one in which every operation has a kernel;
`cascades` counts how often attention passes over its keys. A pass is a frozen dataclass whose fields are its
options, in a file of its name.
"""

from drystone.passes.attention.cascades import Cascade, cascades
from drystone.passes.caches.encode_caches import EncodeCaches
from drystone.passes.layout.expose_weights import ExposeWeights
from drystone.passes.pass_base import Pass, copy_of, run
from drystone.passes.pipeline import (
    Quantization,
    Sparsity,
    integers_only,
    observing,
    outlining,
    pipeline,
    unfused,
)
from drystone.passes.quantizing.observe_weights import ObserveWeights
from drystone.passes.quantizing.quantize_convolutions import QuantizeConvolutions
from drystone.passes.quantizing.quantize_products import INT8, QuantizeProducts
from drystone.passes.quantizing.quantize_weights import QuantizeWeights, Rounding
from drystone.passes.quantizing.round_activations import RoundActivations
from drystone.passes.sparsifying.fixed_sets import Prompt
from drystone.passes.sparsifying.settle_sparsity import Timed
from drystone.passes.sparsifying.skip_zeros import Left, ObserveZeros, SkipZeros
from drystone.passes.sparsifying.sparse_costs import SparseProduct
from drystone.passes.sparsifying.sparsify_weights import SparsifyWeights
from drystone.passes.weights import made_of, model_name

__all__ = [
    "INT8",
    "Cascade",
    "EncodeCaches",
    "ExposeWeights",
    "Left",
    "ObserveWeights",
    "ObserveZeros",
    "Pass",
    "Prompt",
    "Quantization",
    "QuantizeConvolutions",
    "QuantizeProducts",
    "QuantizeWeights",
    "RoundActivations",
    "Rounding",
    "SkipZeros",
    "SparseProduct",
    "SparsifyWeights",
    "Sparsity",
    "Timed",
    "cascades",
    "copy_of",
    "integers_only",
    "made_of",
    "model_name",
    "observing",
    "outlining",
    "pipeline",
    "run",
    "unfused",
]
