"""Which schedule every kernel gets: measured, or ranked by models."""

from drystone.autotune.analytical import Analytical
from drystone.autotune.explore import first_choices
from drystone.autotune.model import CostModel, Features, choose

__all__ = ["Analytical", "CostModel", "Features", "choose", "first_choices"]
