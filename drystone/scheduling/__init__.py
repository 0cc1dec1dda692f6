"""Memory is planned, then checked: order and homes of all tensors."""

from drystone.scheduling.check import PlanError, check
from drystone.scheduling.extract import problem_of
from drystone.scheduling.picture import svg
from drystone.scheduling.planner import plan
from drystone.scheduling.problem import as_data, offsets

__all__ = ["PlanError", "as_data", "check", "offsets", "plan", "problem_of", "svg"]
