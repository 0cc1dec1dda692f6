"""Schedule parameters: spaces of them, models that rank them, and the choice without measurements."""

from drystone.autotune.analytical import Analytical, conv_features, matmul_features, matmul_space
from drystone.autotune.model import CostModel, Features, choose
from drystone.autotune.space import Parameter, Point, Space

__all__ = [
    "Analytical",
    "CostModel",
    "Features",
    "Parameter",
    "Point",
    "Space",
    "choose",
    "conv_features",
    "matmul_features",
    "matmul_space",
]
