"""What makes and runs the code of each kind of target."""

from drystone.backends.backend import Backend, Generated
from drystone.backends.table import BACKENDS, of, register

__all__ = ["BACKENDS", "Backend", "Generated", "of", "register"]
