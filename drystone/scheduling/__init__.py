"""Memory is planned, then checked: order and homes of all tensors."""

from drystone.scheduling.allot import Allotment, allot
from drystone.scheduling.check import PlanError, check
from drystone.scheduling.curve import Curve, curve, curve_of
from drystone.scheduling.curve_picture import curve_page, curve_svg
from drystone.scheduling.extract import problem_of
from drystone.scheduling.picture import page, svg
from drystone.scheduling.planner import plan
from drystone.scheduling.problem import as_data, places
from drystone.scheduling.streaming import Streaming
from drystone.scheduling.text import read

__all__ = [
    "Allotment",
    "Curve",
    "PlanError",
    "Streaming",
    "allot",
    "as_data",
    "check",
    "curve",
    "curve_of",
    "curve_page",
    "curve_svg",
    "page",
    "places",
    "plan",
    "problem_of",
    "read",
    "svg",
]
