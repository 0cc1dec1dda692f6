"""Pictures for those who have a terminal only: SVG drawn into PNG files."""

from pathlib import Path

from drystone.errors import UserError
from drystone.files import writing

#: What lies between and around a picture's panels, as on a page.
_AROUND = "#f1ede4"
#: Pixels for each unit of the picture: text of 10 units can be read.
_ZOOM = 2


def write_png(svg: str, path: str | Path) -> Path:
    """Draw a picture into a file. Raises UserError where the package that draws is missing, or the folder."""
    try:
        import resvg_py
    except ModuleNotFoundError:
        raise UserError(
            "drawing PNG files takes the package resvg-py, which is not installed",
            hint='pip install "drystone[png]", or write the picture as HTML',
        ) from None
    target = Path(path)
    drawn = resvg_py.svg_to_bytes(svg_string=svg, zoom=_ZOOM, background=_AROUND)
    with writing(target):
        target.write_bytes(drawn)
    return target
