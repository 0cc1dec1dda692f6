"""What is tuned: one kernel of a program, as plain data that another process or machine can measure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from drystone import codegen, machine, registry
from drystone.codegen.cost import cost_of
from drystone.codegen.families import search_of
from drystone.codegen.families.outlined import main_operation
from drystone.ir.bounds import Bounds
from drystone.ir.buffers import Call, buffers
from drystone.ir.program import Program
from drystone.ir.values import function, is_tensor, tensors
from drystone.mlir import ir
from drystone.targets.target import CpuTarget, Level, Target

#: The name the kernel's function has in a task.
KERNEL = "kernel"
#: Where the machine does not say how large its last cache is.
_LAST_CACHE = 32 << 20


@dataclass(frozen=True)
class Task:
    """A kernel to be tuned.

    kernel: the text of its function, named @kernel: operation, types with their encodings, attributes,
    epilogue. extents: of its tensor arguments (inputs, then destinations), where a dimension is dynamic the
    largest. weights: which tensor arguments are. cold: whether the weights are read from memory (see
    `are_cold`).
    """

    kernel: str
    extents: tuple[tuple[int, ...], ...]
    weights: tuple[int, ...]
    cold: bool
    target: Target
    threads: int

    @property
    def label(self) -> str:
        """Kind and extents, for people: "matmul 128x384, 12x384x32 -> 128x384"."""
        shapes = ["x".join(map(str, extents)) for extents in self.extents]
        return f"{self._kind} {', '.join(shapes[:-1])} -> {shapes[-1]}"

    @property
    def _kind(self) -> str:
        found = [word.split('"')[0] for word in self.kernel.split('"dry.')[1:]]
        return next((word for word in found if word != "yield"), "kernel")

    def signature(self, version: str | None = None) -> str:
        """What measurements of this kernel are kept under: the same in every process for the same kernel,
        extents, target, threads and code (`code_version`)."""
        text = json.dumps([asdict(self), version or code_version()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def as_data(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @staticmethod
    def of_data(data: Mapping[str, Any]) -> "Task":
        """The inverse of `as_data`, after JSON too."""
        target = {name: value for name, value in data["target"].items() if name != "dots"}
        for name in ("features", "required"):
            target[name] = tuple(target[name])
        target["levels"] = tuple(Level(**level) for level in target["levels"])
        rest = {
            "extents": tuple(map(tuple, data["extents"])),
            "weights": tuple(data["weights"]),
            "target": CpuTarget(**target),
        }
        return Task(**{**data, **rest})


@dataclass(frozen=True)
class Tunable:
    """A task with the name of the kernel in the program it is from, and how many calls one run makes."""

    name: str
    task: Task
    calls: int


def code_version() -> str:
    """A hash of the code generator's sources, of the version of MLIR and of extensions: measurements of one
    version say nothing certain of another."""
    extended = registry.fingerprint()
    return hashlib.sha256((_sources() + extended).encode()).hexdigest()[:16] if extended else _sources()


@lru_cache(maxsize=1)
def _sources() -> str:
    root = Path(codegen.__file__).parent
    digest = hashlib.sha256(metadata.version("torch-mlir").encode())
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".mlir", ".j2"):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def last_cache() -> int:
    """Bytes of this machine's last cache."""
    return max(machine.cache_sizes().values(), default=_LAST_CACHE)


def are_cold(weight_bytes: int) -> bool:
    """Whether a model with so many bytes of weights finds them in memory each time: from one call to the
    next they, and what passes through besides, push each other out of the last cache."""
    return weight_bytes > last_cache() // 2


def tunables(program: Program, target: Target, threads: int) -> tuple[Tunable, ...]:
    """The kernels of an outlined program whose schedule can be chosen, each once, in order of their first
    call. Kernels that take scalars are left out: what they would be called with is not known."""
    found = buffers(program)
    bounds = Bounds(program)
    cold = are_cold(sum(b.size for b in found.buffers.values() if b.kind == "weight"))
    calls: dict[str, list[Call]] = {}
    for call in found.calls:
        calls.setdefault(call.op.attributes["callee"].value, []).append(call)
    tasks = []
    with program.module.context, ir.Location.unknown():
        for name, group in calls.items():
            kernel = function(program, name).opview
            if main_operation(kernel) is None or not all(map(is_tensor, kernel.arguments)):
                continue
            if search_of(kernel, target) is None:
                continue
            operands = [tensors(call.op.operands) for call in group]
            shapes = [tuple(bounds.extents(value) for value in values) for values in operands]
            extents = max(shapes, key=lambda e: cost_of(kernel, e).flops)
            weights = _weights(found.of, found.buffers, operands[0])
            tasks.append(
                Tunable(name, Task(_text(kernel), extents, weights, cold, target, threads), len(group))
            )
    return tuple(tasks)


def _weights(of: Mapping[Any, str], held: Mapping[str, Any], operands: list[Any]) -> tuple[int, ...]:
    kinds = [held[of[value]].kind if value in of else "" for value in operands]
    return tuple(number for number, kind in enumerate(kinds) if kind == "weight")


def _text(kernel: Any) -> str:
    """The function's text under the name every task uses."""
    copy = kernel.operation.clone()
    try:
        copy.attributes["sym_name"] = ir.StringAttr.get(KERNEL)
        return str(copy.get_asm())
    finally:
        copy.erase()
