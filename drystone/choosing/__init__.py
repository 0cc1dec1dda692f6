"""A format, or zeros, for every weight: the model changes least within a budget of bytes, or takes least
within one of error."""

from drystone.choosing.choose import CANDIDATES, Option, Weight, cheapest, choose, options_of, too_small
from drystone.choosing.levels import with_levels
from drystone.choosing.settled import Chooser, Settled, are_chosen, kept

__all__ = [
    "CANDIDATES",
    "Chooser",
    "Option",
    "Settled",
    "Weight",
    "are_chosen",
    "cheapest",
    "choose",
    "kept",
    "options_of",
    "too_small",
    "with_levels",
]
