"""Descriptions of machines: memory levels, units, native formats."""

from drystone.targets.dots import DotUnit
from drystone.targets.registry import known, register, resolve
from drystone.targets.target import CpuTarget, Level, Target

__all__ = ["CpuTarget", "DotUnit", "Level", "Target", "known", "register", "resolve"]
