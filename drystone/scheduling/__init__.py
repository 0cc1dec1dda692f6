"""Memory is planned, then checked: order and homes of all tensors."""

from drystone.scheduling.check import PlanError, check
from drystone.scheduling.extract import problem_of
from drystone.scheduling.picture import page, svg
from drystone.scheduling.planner import plan
from drystone.scheduling.problem import as_data, places
from drystone.scheduling.text import read

__all__ = ["PlanError", "as_data", "check", "page", "places", "plan", "problem_of", "read", "svg"]
