"""A format, or zeros, for every weight, within a budget of bytes or error.

The model changes least within the bytes, or takes least within the error.
"""

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
