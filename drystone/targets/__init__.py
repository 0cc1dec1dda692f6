"""Descriptions of machines: memory levels, units, native formats."""

from drystone.targets.registry import known, resolve
from drystone.targets.target import CpuTarget, Level

__all__ = ["CpuTarget", "Level", "known", "resolve"]
