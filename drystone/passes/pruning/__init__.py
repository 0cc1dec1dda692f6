"""Methods of pruning after training: which numbers of a weight become 0, and what the others then are.

They take arrays and know nothing of programs. The measure of all is that of `passes.rounding`: the squared
error of a layer's outputs on what calibration showed.
"""

from drystone.passes.pruning.methods import METHODS, SIMPLE, Pruning
from drystone.passes.pruning.zeros import Blocks, Free, Groups, Zeros

__all__ = ["METHODS", "SIMPLE", "Blocks", "Free", "Groups", "Pruning", "Zeros"]
