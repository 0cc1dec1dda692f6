"""Which schedule every kernel gets: measured, or ranked by models."""

from drystone.autotune.analytical import Analytical
from drystone.autotune.choices import choices
from drystone.autotune.explore import first_choices

__all__ = ["Analytical", "choices", "first_choices"]
