"""What an artifact says about itself: everything but weights and code, as one JSON document."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from drystone.dtypes import DTYPES, Array
from drystone.runtime import memory
from drystone.runtime.extent import evaluate
from drystone.sparse_weight import Removed, SparseWeight

FORMAT = 1
#: The runner of code for this machine itself.
NATIVE = "native"


@dataclass(frozen=True)
class Leaf:
    """An input, output or state: name, element, shape (integers, or expressions over symbols as text)."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class KernelCall:
    """One kernel call in execution order: the kernel's name, its kind, the model's line, bytes and flops at
    the declared upper bounds."""

    name: str
    kind: str
    where: str
    bytes: int
    flops: int


@dataclass(frozen=True)
class KeyPasses:
    """An attention of the model: its line, and how often it passes over its keys, as it was written and as it
    is compiled."""

    where: str
    written: int
    compiled: int

    def __str__(self) -> str:
        passes = f"{self.written} pass{'es' if self.written > 1 else ''} over the keys as written"
        return f"attention at {self.where}: {passes}, {self.compiled} as compiled"


@dataclass(frozen=True)
class Streaming:
    """Weights that are not there all the time, by their places among the weights: bytes of all weights that
    are there at once, at most; the `kept`, which stay; `tables`, of which parts come when they are read; and
    for each of the others the kernel call before which it may begin to come and the one that reads it. The
    code itself lets them go. windows: of weights of which rows come when they are read, and for how many
    calls they stay that do not read them, and how many pages stay from call to call, at most."""

    resident: int
    kept: tuple[int, ...]
    tables: tuple[int, ...]
    reads: tuple[tuple[int, int, int], ...]
    windows: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Patched:
    """Operations that are computed piece by piece: the model's lines of the first and the last, their number,
    how many pieces along each axis, whether what pieces share along the first is kept, and the work as a
    factor of that of the operations as wholes; features: pieces are some of the features each, and of the
    weights."""

    first: str
    last: str
    operations: int
    pieces: tuple[int, ...]
    kept: bool
    work: float
    features: bool = False

    def __str__(self) -> str:
        grid = f"{self.pieces[0]} of features" if self.features else " x ".join(map(str, self.pieces))
        kept = ", common rows kept" if self.kept else ""
        place = self.first if self.first == self.last else f"{self.first} to {self.last}"
        return f"piece by piece ({grid}{kept}): {self.operations} operations, {place}, {self.work:.2f}x work"


@dataclass(frozen=True)
class ChosenFormat:
    """The format that was chosen for a weight within a budget ("": it stays as it is), its bits for each
    number, and how far it is expected to move the model's results: the square of that beside theirs."""

    weight: str
    format: str
    bits: float
    change: float

    def __str__(self) -> str:
        held = self.format or "as it is"
        return f"{self.weight}: {held}, {self.bits:.2f} bits, results change by {self.change:.1e}"


@dataclass(frozen=True)
class Manifest:
    """See the fields' names; `plan` holds the planner's order, homes, bound and status; `picture` is the plan
    drawn as SVG; `initial` gives for every state the index of its first value among the weights; `levels` has
    for each memory level its name, where it starts in the arena and the bytes that are used of it; `unfused`
    is the bytes moved where every operation of the model is a kernel of its own, at the upper bounds; `pin`
    keeps each thread on a core of its own; `streaming` is there where the weights do not fit the budget;
    `patched`: what is computed piece by piece; `formats`: those that were chosen for weights; `sparsity`:
    weights with many zeros; `removed`: channels and heads; `runner`: the
    name of what runs the code (`drystone.runtime.runners`)."""

    target: str
    required: tuple[str, ...]
    threads: int
    inputs: tuple[Leaf, ...]
    outputs: tuple[Leaf, ...]
    states: tuple[Leaf, ...]
    initial: tuple[int, ...]
    in_tree: Any
    out_tree: Any
    symbols: dict[str, tuple[int, int]]
    weights: tuple[Leaf, ...]
    kernels: tuple[KernelCall, ...]
    unfused: int
    assertions: tuple[str, ...]
    attention: tuple[KeyPasses, ...]
    arena: int
    levels: tuple[tuple[str, int, int], ...]
    plan: Mapping[str, Any]
    picture: str = ""
    pin: bool = False
    streaming: Streaming | None = None
    patched: tuple[Patched, ...] = ()
    formats: tuple[ChosenFormat, ...] = ()
    sparsity: tuple[SparseWeight, ...] = ()
    removed: tuple[Removed, ...] = ()
    runner: str = NATIVE
    format: int = FORMAT
    hashes: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def numpy_dtype(dtype: str) -> Any:
        """The numpy dtype that holds an element of the IR."""
        return np.dtype(DTYPES[dtype])

    @property
    def counted(self) -> str:
        """How many kernels run, and how many copies between memory levels: "12 kernels, 3 copies"."""
        copies = sum(call.kind == "copy" for call in self.kernels)
        return f"{len(self.kernels) - copies} kernels" + (f", {copies} copies" if copies else "")

    @property
    def divided(self) -> str:
        """The arena's bytes, and those of each memory level where there are several."""
        parts = [f"{name} {size}" for name, _, size in self.levels if size]
        return f"arena {self.arena} bytes" + (f" ({', '.join(parts)})" if len(self.levels) > 1 else "")

    @property
    def moved(self) -> int:
        """Bytes that all kernels read and write, at the symbols' upper bounds."""
        return sum(call.bytes for call in self.kernels)

    def largest(self, leaf: Leaf) -> list[int]:
        """The leaf's shape at the symbols' upper bounds."""
        bounds = {name: high for name, (_, high) in self.symbols.items()}
        return [evaluate(n, bounds) for n in leaf.shape]

    def sizes(self, leaves: Sequence[Leaf]) -> list[int]:
        """The leaves' bytes at the symbols' upper bounds."""
        return [math.prod(self.largest(leaf)) * self.numpy_dtype(leaf.dtype).itemsize for leaf in leaves]

    def zeros(self) -> list[Array]:
        """Inputs of zeros at the symbols' upper bounds."""
        arrays = []
        for leaf in self.inputs:
            array = memory.empty(self.largest(leaf), self.numpy_dtype(leaf.dtype))
            array[...] = 0
            arrays.append(array)
        return arrays

    def to_json(self) -> str:
        """The document; the same manifest gives the same text. Keys stay in their order: that of a dict's
        leaves is the order of the model's inputs and outputs."""
        data = asdict(self)
        if self.runner == NATIVE:
            del data["runner"]
        return json.dumps(data, indent=1, ensure_ascii=True) + "\n"

    @staticmethod
    def from_json(text: str) -> "Manifest":
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError where the text is not one."""
        data = json.loads(text)

        def leaves(key: str) -> tuple[Leaf, ...]:
            return tuple(Leaf(v["name"], v["dtype"], tuple(v["shape"])) for v in data.pop(key))

        streaming = data.pop("streaming")
        if streaming is not None:
            reads = tuple((first, last, slot) for first, last, slot in streaming["reads"])
            kept, tables = tuple(streaming["kept"]), tuple(streaming["tables"])
            windows = tuple((slot, runs, pages) for slot, runs, pages in streaming["windows"])
            streaming = Streaming(streaming["resident"], kept, tables, reads, windows)
        return Manifest(
            streaming=streaming,
            required=tuple(data.pop("required")),
            levels=tuple((name, start, size) for name, start, size in data.pop("levels")),
            inputs=leaves("inputs"),
            outputs=leaves("outputs"),
            states=leaves("states"),
            weights=leaves("weights"),
            initial=tuple(data.pop("initial")),
            symbols={name: (low, high) for name, (low, high) in data.pop("symbols").items()},
            kernels=tuple(KernelCall(**call) for call in data.pop("kernels")),
            attention=tuple(KeyPasses(**each) for each in data.pop("attention")),
            assertions=tuple(data.pop("assertions")),
            formats=tuple(ChosenFormat(**each) for each in data.pop("formats", ())),
            sparsity=tuple(SparseWeight(**each) for each in data.pop("sparsity", ())),
            removed=tuple(
                Removed(**{**each, "weights": tuple(each["weights"])}) for each in data.pop("removed", ())
            ),
            patched=tuple(
                Patched(**{**each, "pieces": tuple(each["pieces"])}) for each in data.pop("patched", ())
            ),
            **data,
        )
