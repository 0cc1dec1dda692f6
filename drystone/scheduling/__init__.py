"""Memory is planned, then checked: order and homes of all tensors."""

from drystone.scheduling.arena import Arena, arena_of
from drystone.scheduling.budgets.allot import Allotment, Allotter
from drystone.scheduling.budgets.curve import Curve
from drystone.scheduling.budgets.extract import problem_of
from drystone.scheduling.budgets.sampling import Met, curve, curve_of
from drystone.scheduling.budgets.streaming import Streaming
from drystone.scheduling.check import PlanError, check
from drystone.scheduling.pictures.curve import curve_page, curve_svg
from drystone.scheduling.pictures.wall import page, svg
from drystone.scheduling.pieces.layers import net_of
from drystone.scheduling.pieces.patched import choices_of, choices_together, least_capacity, least_together
from drystone.scheduling.pieces.spans import Choice, Net
from drystone.scheduling.planner import plan
from drystone.scheduling.problem import as_data
from drystone.scheduling.selection import Option, Selected, select
from drystone.scheduling.text import read

__all__ = [
    "Allotment",
    "Allotter",
    "Arena",
    "Choice",
    "Curve",
    "Met",
    "Net",
    "Option",
    "PlanError",
    "Selected",
    "Streaming",
    "arena_of",
    "as_data",
    "check",
    "choices_of",
    "choices_together",
    "curve",
    "curve_of",
    "curve_page",
    "curve_svg",
    "least_capacity",
    "least_together",
    "net_of",
    "page",
    "plan",
    "problem_of",
    "read",
    "select",
    "svg",
]
