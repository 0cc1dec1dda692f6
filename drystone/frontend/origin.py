"""Where in the user's model a node of the graph comes from: the layer's name and a line of its source."""

import re
import sysconfig
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from drystone.errors import Place
from drystone.mlir import ir

Node = Any

_PACKAGES = re.compile(r"(?:^|/)(?:site|dist)-packages/")
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_ASSIGNED = re.compile(r"^\s*(\w+) = ", re.MULTILINE)
_TORCH = str(Path(torch.__file__).parent) + "/"
_STANDARD = sysconfig.get_path("stdlib") + "/"
#: The compiler's own files.
_OURS = str(Path(__file__).parents[1]) + "/"


def shortened(file: str) -> str:
    """The path as a person would say it: below an installed package's folder or the current one from there,
    else the last two parts."""
    path = Path(file).as_posix()
    if parts := _PACKAGES.split(path)[1:]:
        return parts[-1]
    here = Path.cwd().as_posix().rstrip("/") + "/"
    if path.startswith(here):
        return path.removeprefix(here)
    return "/".join(path.rsplit("/", 2)[-2:])


def chosen(frames: Iterable[tuple[str, int]], *, least: int = 1) -> tuple[str, int]:
    """The innermost of the frames (outermost first) that tells a user most: in code of their own, else in a
    package that is not torch, else (with `least` 1) in torch; ("", 0) where there is none."""
    best, rank = ("", 0), least
    for file, line in frames:
        found = _rank(file)
        if found >= rank:
            best, rank = (file, line), found
    return (shortened(best[0]), best[1]) if best[0] else best


def _rank(file: str) -> int:
    """3: the user's own, 2: a package's, 1: torch's, 0: no place to be led to."""
    if file.startswith(("<", _OURS)) or (file.startswith(_STANDARD) and not _PACKAGES.search(file)):
        return 0
    if file.startswith(_TORCH):
        return 1
    return 2 if _PACKAGES.search(Path(file).as_posix()) else 3


def place(node: Node) -> Place | None:
    """The line of the user's own code that made the node, and the layer it is part of."""
    return place_of_trace(node.meta.get("stack_trace") or "", _layer(node))


def place_of_trace(trace: str, layer: str = "") -> Place | None:
    """The line of the user's own code in the text of a traceback."""
    return _known(*chosen((file, int(line)) for file, line in _FRAME.findall(trace)), layer)


def _known(file: str, line: int, layer: str) -> Place | None:
    return Place(file, line, layer) if file or layer else None


def place_of_error(error: BaseException, model: Any) -> Place | None:
    """The user's line that an exception passed on its way through torch, and the layer it was in."""
    modules = model.named_modules() if isinstance(model, torch.nn.Module) else ()
    names = {id(module): name for name, module in modules}
    cause: BaseException | None = error
    while cause is not None:
        # The way into the compiler is no place in the model, and not part of the traceback here.
        steps = list(traceback.walk_tb(cause.__traceback__))
        file, line = chosen(((frame.f_code.co_filename, line) for frame, line in steps), least=2)
        if file:
            inside = [id(frame.f_locals.get("self")) for frame, _ in steps]
            return _known(file, line, next((names[i] for i in reversed(inside) if i in names), ""))
        cause = cause.__cause__ or cause.__context__
    return None


def _layer(node: Node) -> str:
    """The qualified name of the innermost module, "" for the model itself and where there is none."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    # Later calls of a module that is called several times are numbered: block@1.
    return str(stack[-1][0]).split("@")[0] if stack else ""


def location(node: Node) -> Any:
    """The node's place as an MLIR location: "layer"("file":line:0), or the part of it that is known."""
    found = place(node)
    if found is None:
        return ir.Location.unknown()
    file = ir.Location.file(found.file, found.line, 0) if found.file else None
    return ir.Location.name(found.layer, childLoc=file) if found.layer else file


def traces(program: Any) -> dict[str, dict[str, Mapping[str, Any]]]:
    """What a program knows of the nodes inside its regions (torch.autocast, torch.no_grad): for the name of
    each node that calls one, the metadata of the region's nodes by name."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for node in program.graph.nodes:
        inner: dict[str, Mapping[str, Any]] = {}
        for argument in node.all_input_nodes:
            region = getattr(program.graph_module, str(argument.target), None)
            if argument.op == "get_attr" and isinstance(region, torch.fx.GraphModule):
                for module in reversed([m for m in region.modules() if isinstance(m, torch.fx.GraphModule)]):
                    inner |= {n.name: dict(n.meta) for n in module.graph.nodes if n.meta.get("stack_trace")}
        if inner:
            found[node.name] = inner
    return found


def restore(program: Any, known: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Give nodes that were taken out of regions the places they had there: torch's decomposition knows only
    the line of the code it generates for the region, which assigns to the node's name."""
    for node in program.graph.nodes:
        origins = node.meta.get("from_node") or []
        inner = known.get(_root(origins[0])) if origins else None
        names = _ASSIGNED.findall(node.meta.get("stack_trace") or "")
        if inner and names and names[-1] in inner:
            origin = inner[names[-1]]
            node.meta["stack_trace"] = origin["stack_trace"]
            if origin.get("nn_module_stack"):
                node.meta["nn_module_stack"] = origin["nn_module_stack"]


def _root(source: Any) -> str:
    """The name of the node that another one was made from, at the beginning."""
    while source.from_node:
        source = source.from_node[0]
    return str(source.name)
