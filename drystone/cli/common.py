"""What commands share: options, and the line said about an artifact."""

import time
from pathlib import Path

import click

from drystone.runtime.fitted import Fitted

ARTIFACT = click.argument("path", type=click.Path(path_type=Path))
THREADS = click.option("--threads", type=click.IntRange(1), help="Threads; by default the artifact's own.")
TARGET = click.option(
    "--target", default="cpu", show_default=True, help="What to compile for; see `drystone targets`."
)
DATABASE = click.option(
    "--database",
    help="Measurements: a file or an SQLAlchemy URL; by default tuning.db in drystone's cache folder.",
)


CHECKPOINT = click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="A .gguf or .safetensors file, or a folder, that has the weights as they were quantized.",
)
HTML = click.option("--html", type=click.Path(path_type=Path), help="Also write a page with the pictures.")
PNG = click.option("--png", type=click.Path(path_type=Path), help="Also draw the picture into this file.")


def save(fitted: Fitted, output: Path, quiet: bool, began: float) -> None:
    """Write an artifact and say what it is."""
    fitted.save(output)
    if not quiet:
        m = fitted.memory
        click.echo(
            f"{output}: {fitted.manifest.counted}, {fitted.manifest.divided} "
            f"(at least {m.plan['bound']}), weights {m.weights} bytes, {time.monotonic() - began:.1f} s"
        )
