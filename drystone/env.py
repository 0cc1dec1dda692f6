"""The only module that reads environment variables."""

import os
from pathlib import Path


def dump_folder() -> Path | None:
    """DRYSTONE_DUMP: the folder that numbered IR files are written to after each step, if set."""
    value = os.environ.get("DRYSTONE_DUMP")
    return Path(value) if value else None


def cache_folder() -> Path:
    """Drystone's folder for what is worth keeping between runs: in XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drystone"
