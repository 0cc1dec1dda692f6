"""Models that rank the schedules of kernels, and the choice without measurements."""

from drystone.autotune.analytical import Analytical
from drystone.autotune.model import CostModel, Features, choose

__all__ = ["Analytical", "CostModel", "Features", "choose"]
