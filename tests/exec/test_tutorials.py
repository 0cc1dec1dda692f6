"""Every tutorial runs from its first block to its last and prints what it shows."""

from pathlib import Path

import pytest

from tests import tutorials

_PAGE = """Numbers add.

```python
two = 1 + 1
```

```python
print(two, "of", id(two))
```

```text
2 of ...
```

```sh
never run
```
"""


@pytest.mark.parametrize("path", tutorials.PAGES, ids=lambda path: path.stem)
def test_tutorials_print_what_they_show(path: Path, tmp_path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    code = "".join(step.code for step in tutorials.steps(page))
    assert len([line for line in code.splitlines() if line]) <= 230, "a tutorial is short"
    wrong = tutorials.differences(page, tutorials.outputs(page, path.stem, tmp_path))
    assert not wrong, "\n\n".join([*wrong, f"run python -m tests.tutorials {path}"])


def test_what_is_not_shown_or_fails_is_found(tmp_path: Path) -> None:
    assert tutorials.differences(_PAGE, tutorials.outputs(_PAGE, "page", tmp_path)) == []
    other = _PAGE.replace("2 of", "3 of")
    (wrong,) = tutorials.differences(other, tutorials.outputs(other, "page", tmp_path))
    assert wrong.startswith("the block at line 8 prints\n2 of")
    assert tutorials.written(other, ["", "2 of 7\n"]) == _PAGE.replace("...", "7")
    hidden = _PAGE.replace("two = 1 + 1", "two = 1 + 1\nprint('hidden')")
    printed = tutorials.outputs(hidden, "page", tmp_path)
    assert len(tutorials.differences(hidden, printed)) == 1
    assert "```\n\n```text\nhidden\n```\n\n```python" in tutorials.written(hidden, printed)
    with pytest.raises(AssertionError, match=r'page\.py", line 4, in <module>'):
        tutorials.outputs(_PAGE.replace("1 + 1", "1 + one"), "page", tmp_path)
