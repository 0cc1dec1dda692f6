"""Passes: rewrites of a program that refine the types of its tensors until every computation is one kernel.

`pipeline(target)` is the list of them for a target, `run` applies a list. A pass is a frozen dataclass whose
fields are its options, in a file of its name.
"""

from drystone.passes.pass_base import Pass, run
from drystone.passes.pipeline import pipeline

__all__ = ["Pass", "pipeline", "run"]
