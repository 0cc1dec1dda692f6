"""Passes: rewrites of a program that refine the types of its tensors until every computation is one kernel.

`pipeline(target)` is the list of them for a target, `run` applies a list; `unfused` gives every operation a
kernel; `cascades` counts how often attention passes over its keys. A pass is a frozen dataclass whose fields
are its options, in a file of its name.
"""

from drystone.passes.cascades import Cascade, cascades
from drystone.passes.pass_base import Pass, run
from drystone.passes.pipeline import pipeline, unfused

__all__ = ["Cascade", "Pass", "cascades", "pipeline", "run", "unfused"]
