"""ir.md and grammar.md: the dialect, from the classes that declare it."""

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from docs.pages.text import NOTE, blocks, doc, parted
from drystone.ir import attributes, dialect, encoding
from drystone.ir.encoding import code

#: How a field's annotation is read.
_KINDS = {
    "Result[Any]": "result",
    "Sequence[Result[Any]]": "results",
    "Operand[Any]": "operand",
    "Sequence[Operand[Any]]": "operands",
    "ir.StringAttr": "string",
    "ir.IntegerAttr": "integer",
    "ir.FloatAttr": "number",
    "ir.ArrayAttr": "list",
    "Region": "region",
    "Any": "attribute",
}

#: How the annotation of a field of an encoding's class is read.
_FIELDS = {"str": "string", "int": "integer", "tuple": "list", "None": "unit"}


@dataclass(frozen=True)
class Operation:
    """A declared operation: its name as the IR spells it, its docstring, (name, kind, meaning) of its fields,
    and whether its operands go on with what an epilogue, or a step, reads."""

    name: str
    text: str
    fields: tuple[tuple[str, str, str], ...]
    extras: str | None

    def of_kind(self, *kinds: str) -> list[str]:
        """The fields of these kinds; `*` behind those of which there may be several, or none."""
        return [name + "*" * kind.endswith("s") for name, kind, _ in self.fields if kind in kinds]


def operations() -> list[Operation]:
    """Every operation of the dialect, in the order of its module."""
    source = inspect.getsource(dialect)
    found = []
    for node in ast.parse(source).body:
        name = _declared(node) if isinstance(node, ast.ClassDef) else None
        if isinstance(node, ast.ClassDef) and name is not None:
            text = inspect.cleandoc(ast.get_docstring(node) or "")
            found.append(Operation(name, text, tuple(_declared_fields(source, node)), _more_operands(node)))
    return found


def _declared(node: ast.ClassDef) -> str | None:
    """The name an operation of the dialect declares, as the IR spells it."""
    name = next((ast.literal_eval(k.value) for k in node.keywords if k.arg == "name"), None)
    return None if name is None or ast.unparse(node.bases[0]) == "Dialect" else f"dry.{name}"


def _more_operands(node: ast.ClassDef) -> str | None:
    """What operands that a loop declares, each with a type of its own, are called together."""
    if any(ast.unparse(base) == "WithEpilogue" for base in node.bases):
        return "extras"
    return "inputs" if "__annotations__.update" in ast.unparse(node) else None


def _declared_fields(source: str, node: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
    """(name, kind, meaning) of a declared class's fields; the meaning stands behind `#: `."""
    lines = source.splitlines()
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            kind = _KINDS[ast.unparse(item.annotation)]
            meaning = lines[item.lineno - 1].partition("#: ")[2]
            flag = meaning.startswith("flag: ")
            yield item.target.id, "flag" if flag else kind, meaning.removeprefix("flag: ")


def parameters_of(cls: type) -> Iterator[tuple[str, str, str]]:
    """(name, kind, meaning) of the fields of a class that an attribute states, inherited ones first."""
    meanings: dict[str, str] = {}
    for base in reversed([base for base in cls.__mro__ if dataclasses.is_dataclass(base)]):
        for text in inspect.getsource(base).splitlines():
            if match := re.fullmatch(r"    (\w+): .*?#: (.*)", text):
                meanings[match[1]] = match[2]
    for field in dataclasses.fields(cls):
        kind = str(field.type if isinstance(field.type, str) else getattr(field.type, "__name__", field.type))
        kind = re.sub(r"drystone\.[\w.]*\.", "", kind).replace("|", "or")
        kind = re.sub(r"\b\w+\b", lambda match: _FIELDS.get(match[0], match[0]), kind)
        yield field.name, "flag" if kind == "bool" else kind, meanings[field.name]


def _table(rows: Sequence[tuple[str, str, str]] | Iterator[tuple[str, str, str]]) -> list[str]:
    written = [f"| `{field}` | {kind} | {text} |" for field, kind, text in rows]
    return ["| field | kind | meaning |", "| --- | --- | --- |", *written]


def ir_page() -> str:
    """Every operation, attribute and part of an encoding with its fields."""
    first, rest = parted(doc(dialect))
    lines = ["# The IR", "", NOTE, "", first, "", rest, "", "## Operations", ""]
    for each in operations():
        lines += [f"### `{each.name}`", "", each.text, "", *_table(each.fields)]
        if each.extras == "extras":
            lines.append("| `extras` | operands | what the epilogue reads beside the result |")
        lines.append("")
    first, rest = parted(doc(attributes))
    lines += ["## Attributes", "", first, "", rest, ""]
    for name, cls in attributes.CLASSES.items():
        lines += [f"### `#dry.{name}`", "", doc(cls), "", *_table(parameters_of(cls)), ""]
    first, rest = parted(doc(encoding))
    lines += ["## Encodings", "", first, "", *blocks(rest), "### Element codes", ""]
    first, rest = parted(doc(code))
    return "\n".join([*lines, first, "", *blocks(rest)]) + "\n"


_BEGINNING = """\
What a program is, on one page; [ir.md](ir.md) has every field's meaning, [tile.md](tile.md) what kernels are
written in. `x*` is any number of x, `x?` one or none. Text is MLIR's generic form, which its own parser
reads; operations of the dialects `func`, `arith`, `math`, `tensor` and `linalg` are upstream's.

```
program   := module { main kernel* } + a store of arrays by name
main      := func @main(input*, state*) -> (output*, new state*) { op* return }
kernel    := func @name(operand*) -> result* { op* return }     once outlined: what one call computes
op        := dry.op | upstream.op                               each with loc(the model's file and line)
type      := tensor<extent x .. x element, encoding?>           without encoding: row-major elements
extent    := number | ?                                         ?: a symbol with a declared bound
epilogue  := region of arith.* and math.*, ends in dry.yield    applied to each element before it is stored
```

## Operations

`results = name(operands) {attributes} [regions]`

```"""


def grammar_page() -> str:
    """The dialect's grammar on one page."""
    lines = ["# The grammar of the IR", "", NOTE, "", *_BEGINNING.splitlines()]
    for each in operations():
        lines += [*_wrapped(_first_sentence(each.text), "# "), *_wrapped(_production(each))]
    encodings = next(text for text in doc(encoding).split("\n\n") if text.startswith("    "))
    lines += ["```", "", "## Encodings of types", "", "```", inspect.cleandoc(encodings), "```", ""]
    names = sorted(f"`#dry.{name}`" for name in attributes.CLASSES)
    lines += _wrapped(
        f"Each is a class of `drystone.ir.encoding`, whose fields it states: {', '.join(names)}."
    )
    return "\n".join([*lines, "", "## Element codes", "", *blocks(parted(doc(code))[1])]).rstrip("\n") + "\n"


def _production(each: Operation) -> str:
    results = ", ".join(each.of_kind("result", "results"))
    operands = each.of_kind("operand", "operands") + [f"{each.extras}*"] * (each.extras is not None)
    stated = [f"{name}?" if kind == "flag" else name for name, kind, _ in each.fields if _is_stated(kind)]
    text = f"{results} = " * bool(results) + f"{each.name}({', '.join(operands)})"
    text += f" {{{', '.join(stated)}}}" * bool(stated)
    regions = each.of_kind("region")
    return text + f" [{', '.join(regions)}]" * bool(regions)


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[^.]\.)\s", " ".join(text.split()))[0]


def _wrapped(text: str, mark: str = "") -> list[str]:
    return textwrap.wrap(text, 110, initial_indent=mark, subsequent_indent=mark or "    " * text.count(" = "))


def _is_stated(kind: str) -> bool:
    return kind in ("string", "integer", "number", "list", "flag", "attribute")
