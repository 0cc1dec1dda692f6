"""What a fault of the compiler leaves behind: one file that shows it to whoever mends it, and that runs.

`watch` writes it, `reproduce` runs it.
"""

from drystone.reproducer.again import Outcome, reproduce
from drystone.reproducer.watch import Watched, watch

__all__ = ["Outcome", "Watched", "reproduce", "watch"]
