"""A package of CMake: `find_package(drystone)` gives `drystone_add_model` (docs/pipelines.md)."""

from pathlib import Path


def folder() -> Path:
    """The folder that `drystone_DIR` is to name; `python -m drystone.cmake` prints it."""
    return Path(__file__).parent
