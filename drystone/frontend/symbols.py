"""Dynamic dimensions: their names, bounds and expressions over them."""

from collections.abc import Iterator, Mapping
from typing import Any

import sympy
import torch
from torch.utils import _pytree as pytree
from torch.utils._sympy.functions import CeilDiv, CleanDiv, FloorDiv, Mod, PythonMod
from torch.utils._sympy.numbers import int_oo

from drystone.errors import UserError


class Symbols:
    """The program's symbols under the names the user gave them, where there are any.

    ranges: torch's symbol -> range; names: torch's symbol -> the user's name.
    """

    def __init__(self, ranges: Mapping[Any, Any], names: Mapping[str, str]) -> None:
        self._ranges = {str(symbol): found for symbol, found in ranges.items()}
        self._names = names
        self.bounds: dict[str, tuple[int, int]] = {}

    def extent(self, size: Any, where: str) -> int | str:
        """A size as an int or as an expression over symbols, whose bounds are noted.

        Raises UserError where a symbol has no upper bound or the expression cannot be said.
        """
        if isinstance(size, int):
            return size
        expression = size.node.expr
        if expression.is_Integer:
            return int(expression)
        for symbol in sorted(expression.free_symbols, key=str):
            self._note(symbol, where)
        return _spelled(expression, {str(s): self.name(s) for s in expression.free_symbols}, where)

    def name(self, symbol: Any) -> str:
        """The user's name for torch's symbol, or torch's own."""
        return self._names.get(str(symbol), str(symbol))

    def _note(self, symbol: Any, where: str) -> None:
        found, name = self._ranges.get(str(symbol)), self.name(symbol)
        if found is None or found.upper in (int_oo, sympy.oo) or int(found.upper) >= 2**62:
            raise UserError(
                f"the dynamic dimension `{name}` of {where} has no upper bound",
                hint=f'declare it as torch.export.Dim("{name}", max=...)',
            )
        self.bounds[name] = (max(int(found.lower), 0), int(found.upper))


def given_names(args: Any, kwargs: Any, dynamic_shapes: Any, leaves: list[Any], model: Any) -> dict[str, str]:
    """Torch's symbols -> the names of the torch.export.Dim in `dynamic_shapes`.

    leaves: the placeholder (or constant) of each flattened argument.
    """
    sizes: dict[int, Any] = {}
    for leaf, node in zip(pytree.tree_leaves((args, kwargs)), leaves, strict=True):
        if isinstance(leaf, torch.Tensor):
            sizes.setdefault(id(leaf), node.meta["val"].shape)
    names: dict[str, str] = {}
    for tensor, dim, declared in _declared(_by_name(args, kwargs, dynamic_shapes, model), dynamic_shapes):
        size = sizes[id(tensor)][dim]
        root = getattr(declared, "root", declared)
        found = [] if isinstance(size, int) else list(size.node.expr.free_symbols)
        if len(found) == 1 and isinstance(getattr(root, "__name__", None), str):
            names.setdefault(str(found[0]), root.__name__)
    return names


def _by_name(args: Any, kwargs: Any, dynamic_shapes: Any, model: Any) -> Any:
    """The arguments nested as the user nested dynamic_shapes."""
    if not isinstance(dynamic_shapes, Mapping):
        return [*args, *kwargs.values()]
    import inspect

    return inspect.signature(model.forward).bind(*args, **kwargs).arguments


def _declared(value: Any, shapes: Any) -> Iterator[tuple[torch.Tensor, int, Any]]:
    """Every (tensor, dimension, declared dimension) of nested arguments and their declaration."""
    if isinstance(value, torch.Tensor):
        pairs = shapes.items() if isinstance(shapes, Mapping) else enumerate(shapes or ())
        yield from ((value, dim, declared) for dim, declared in pairs)
    elif isinstance(value, Mapping) and isinstance(shapes, Mapping):
        for key in value:
            # **kwargs of the model's forward are declared beside its named arguments.
            yield from _declared(value[key], shapes.get(key, shapes if key == "kwargs" else None))
    elif isinstance(value, list | tuple) and isinstance(shapes, list | tuple):
        for item, inner in zip(value, shapes, strict=False):
            yield from _declared(item, inner)


def _spelled(expression: Any, names: Mapping[str, str], where: str) -> str:
    """A sympy expression with + - * // % and parentheses."""

    def say(e: Any) -> str:
        if e.is_Symbol:
            return names[str(e)]
        if e.is_Integer:
            return str(int(e)) if e >= 0 else f"({int(e)})"
        if isinstance(e, FloorDiv | CleanDiv):
            return f"({say(e.args[0])}//{say(e.args[1])})"
        if isinstance(e, CeilDiv):
            return f"(({say(e.args[0])}+{say(e.args[1])}-1)//{say(e.args[1])})"
        if isinstance(e, Mod | PythonMod | sympy.Mod):
            return f"({say(e.args[0])}%{say(e.args[1])})"
        if e.is_Add:
            return "(" + "+".join(say(part) for part in e.args) + ")"
        if e.is_Mul and not any(part.is_Rational and not part.is_Integer for part in e.args):
            return "(" + "*".join(say(part) for part in e.args) + ")"
        if e.is_Pow and e.exp.is_Integer and e.exp > 0:
            return "(" + "*".join([say(e.base)] * int(e.exp)) + ")"
        raise UserError(
            f"a dimension of {where} is {expression}: only + - * // % of the inputs' sizes can be computed",
            hint="compute the size with these, or make the dimension fixed",
        )

    spelled = say(expression)
    whole = spelled.startswith("(") and not (expression.is_Integer or expression.is_Symbol)
    return spelled[1:-1] if whole else spelled
