"""`drystone build`: the artifacts that drystone.toml lists, those alone whose ingredients changed."""

from drystone.building.build import build
from drystone.building.results import Result, exit_code, to_json

__all__ = ["Result", "build", "exit_code", "to_json"]
