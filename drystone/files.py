"""Reading the user's files."""

from pathlib import Path

from drystone.errors import UserError


def read_text(path: Path) -> str:
    """A file's text, which is UTF-8. Raises UserError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path}: it is no UTF-8 text ({error.reason})") from error
