"""A plugin of pytest for projects that embed artifacts: the fixture `artifact` (docs/pipelines.md).

It is there in every run of pytest where drystone is installed, so it loads nothing before it is used.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from drystone.testing import Artifact

_INI, _FLAG = "drystone", "--drystone-no-build"


def pytest_addoption(parser: pytest.Parser) -> None:
    """What projects can set."""
    parser.addini(_INI, "The file that lists artifacts, from pytest's root folder.", default="drystone.toml")
    parser.getgroup("drystone").addoption(
        _FLAG, action="store_true", help="Artifacts that are not as they would be built now fail their tests."
    )


@pytest.fixture(scope="session")
def artifact(pytestconfig: pytest.Config) -> "Callable[[str | Path], Artifact]":
    """Gives an artifact by its path, from pytest's root folder, or its name in drystone.toml: `artifact(
    "build/model.dry")`. One that drystone.toml lists is built first where what it is made of has changed."""
    from drystone.errors import DrystoneError
    from drystone.testing import Artifact, opened

    root, known = pytestconfig.rootpath, dict[str, Artifact]()

    def found(name: str | Path) -> Artifact:
        if str(name) not in known:
            file = root / pytestconfig.getini(_INI)
            try:
                known[str(name)] = opened(name, root, file, build=not pytestconfig.getoption(_FLAG))
            except DrystoneError as error:
                pytest.fail(str(error), pytrace=False)
        return known[str(name)]

    return found
