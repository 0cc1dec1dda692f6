"""errors.md: what drystone says where a user can mend something, read from where it is raised."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import drystone
from docs.pages.text import NOTE

_PACKAGE = Path(drystone.__file__).parent
_NAME, _BUDGET = "UserError", "OverBudget"
#: What a stage's errors are about; all other modules are about what is asked for.
_STAGES = {
    "frontend": "The model, its inputs and its checkpoint",
    "ir": "Formats and sizes",
    "passes": "What is to become of weights",
    "scheduling": "Memory, and planning problems",
    "autotune": "Tuning and its database",
    "targets": "Targets",
    "runtime": "Artifacts, and calls of compiled models",
    "reproducer": "Running a fault again",
    "cli": "The command line",
}
_ASKED = "What is asked for: options, formats, budgets"
#: Longest expression, and what form of it, that says what it gives; for others there is only "..".
_LONG = 32
_PLAIN = re.compile(r"[\w.]+(\[[\w\"']+\])?(\(\))?")


@dataclass(frozen=True)
class Raised:
    """A place where an error is made, in a file below the package: what is said, and what to do ("": it is
    said elsewhere, or there is nothing but what the text asks for)."""

    file: str
    line: int
    end: int
    what: str
    hint: str


def errors_page() -> str:
    """Every error of the user's, by the stage that finds it."""
    lines = [
        "# Errors",
        "",
        NOTE,
        "",
        "What you can mend is a `drystone.UserError`: what is wrong, where in your model (layer, file and "
        "line), and what to do. It has these as `what`, `where` and `hint`; the command line prints them and "
        "ends with exit code 2. [mistakes.md](mistakes.md) shows the likeliest. Everything else is an "
        "`InternalError`, a fault of drystone, with exit code 3: it leaves a file "
        "`drystone-failure-<hash>.mlir`, which `drystone reproduce` runs.",
        "",
        "Below is every text, as it stands in the code; what is filled in stands in braces.",
        "",
    ]
    found: dict[str, list[Raised]] = {}
    for each in raised():
        found.setdefault(_STAGES.get(each.file.split("/")[0], _ASKED), []).append(each)
    for title in (_ASKED, *_STAGES.values()):
        lines += [f"## {title}", ""]
        texts = dict.fromkeys("\n  ".join(filter(None, (each.what, each.hint))) for each in found[title])
        lines += ["```text", "\n\n".join(texts), "```", ""]
    return "\n".join(lines)


def raised() -> Iterator[Raised]:
    """All places, files in order."""
    trees = {
        path.relative_to(_PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(_PACKAGE.rglob("*.py"))
    }
    shared = {name: value for tree in trees.values() for name, value in _constants(tree) if name[0] != "_"}
    for file, tree in trees.items():
        module = _Module(tree, file, {**shared, **dict(_constants(tree))})
        yield from sorted(module.found(), key=lambda each: (each.line, each.what))


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Texts that a module gives names."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.JoinedStr):
            for target in node.targets:
                if isinstance(target, ast.Name) and isinstance(getattr(node.value, "value", ""), str):
                    yield target.id, node.value


@dataclass
class _Values:
    """What a name stands for: one of some expressions, with what may be added behind it."""

    some: list[ast.expr] = field(default_factory=list)
    added: list[ast.expr] = field(default_factory=list)


_Known = Mapping[str, _Values]


class _Module:
    """The errors of a module. Functions that make them of what they are given are seen where they are
    called."""

    def __init__(self, tree: ast.Module, file: str, constants: Mapping[str, ast.expr]) -> None:
        self._tree, self._file = tree, file
        self._constants = {name: _Values([value]) for name, value in constants.items()}
        self._functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        self._calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]

    def found(self) -> Iterator[Raised]:
        for call in self._calls:
            name = ast.unparse(call.func)
            if name == _NAME or (name == _BUDGET and _are_words(call.args[0])):
                around = [f for f in self._functions if f.lineno <= call.lineno <= (f.end_lineno or 0)]
                yield from self._of(call, max(around, key=lambda each: each.lineno, default=None))

    def _of(self, call: ast.Call, function: ast.FunctionDef | None) -> Iterator[Raised]:
        hint = next((each.value for each in call.keywords if each.arg in ("hint", "why")), None)
        both = [part for part in (call.args[0], hint) if part is not None]
        names = {node.id for part in both for node in ast.walk(part) if isinstance(node, ast.Name)}
        for known in self._given(function, names) if function is not None else [{}]:
            said = {**self._constants, **known}
            texts = [_text(part, said) for part in both]
            yield Raised(
                self._file, call.lineno, call.end_lineno or call.lineno, texts[0], "".join(texts[1:])
            )

    def _given(self, function: ast.FunctionDef, names: set[str]) -> list[_Known]:
        """What these names stand for in a function: once, or for each call of it that gives words."""
        own = dict(_assigned(function, names))
        taken = [each.arg for each in function.args.args + function.args.kwonlyargs if each.arg != "self"]
        if not names & set(taken):
            return [own]
        calls = [
            each
            for each in self._calls
            if ast.unparse(each.func).split(".")[-1] == function.name and _says(each)
        ]
        bound = [_bound(each, taken) for each in calls]
        return [
            {**own, **{name: _Values([each[name]]) for name in names & each.keys()}} for each in bound
        ] or [own]


def _says(call: ast.Call) -> bool:
    """Whether an argument of a call is words."""
    parts = [*call.args, *(each.value for each in call.keywords)]
    return any(isinstance(part, ast.JoinedStr) or _is_words(part) for part in parts)


def _is_words(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value


def _are_words(node: ast.expr) -> bool:
    return any(_is_words(each) for each in ast.walk(node))


def _bound(call: ast.Call, names: Sequence[str]) -> dict[str, ast.expr]:
    """The arguments of a call by the names of the function's parameters."""
    found = dict(zip(names, call.args, strict=False))
    return found | {each.arg: each.value for each in call.keywords if each.arg is not None}


def _assigned(function: ast.FunctionDef, names: set[str]) -> Iterator[tuple[str, _Values]]:
    """What a function assigns to these names, where some of it is words."""
    found: dict[str, _Values] = {}
    for node in ast.walk(function):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AugAssign):
            for name in [each.id for each in targets if isinstance(each, ast.Name) and each.id in names]:
                values = found.setdefault(name, _Values())
                (values.added if isinstance(node, ast.AugAssign) else values.some).append(node.value)
    yield from (pair for pair in found.items() if any(map(_are_words, pair[1].some + pair[1].added)))


def _text(node: ast.expr, known: _Known) -> str:
    """An expression as the text that it gives."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, known) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, known)
    if isinstance(node, ast.IfExp):
        return _one_of([_text(part, known) for part in (node.body, node.orelse)])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, known) + _text(node.right, known)
    if isinstance(node, ast.Name) and node.id in known:
        less = {name: values for name, values in known.items() if name != node.id}
        held = known[node.id]
        some = [_text(value, less) for value in held.some if not _is_none(value)]
        return _one_of(some) + "".join(_one_of([_text(value, less), ""]) for value in held.added)
    return f"{{{_named(node) or '..'}}}"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _one_of(texts: Sequence[str]) -> str:
    """Texts of which one is said: "(one | the other)", "[what may be left out]"."""
    some = list(dict.fromkeys(filter(None, texts)))
    said = some[0] if len(some) == 1 else f"({' | '.join(some)})"
    return said if all(texts) or said.startswith("[") else f"[{said}]"


def _named(node: ast.expr) -> str:
    """A short name for what an expression gives; "" where it has none."""
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        kind = isinstance(node.func, ast.Name) and node.func.id == "type"
        return "kind" if kind else _named(node.args[0])
    if isinstance(node, ast.Attribute) and node.attr == "__name__":
        return _named(node.value)
    said = ast.unparse(node)
    return said if len(said) <= _LONG and _PLAIN.fullmatch(said) else ""
