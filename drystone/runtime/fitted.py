"""A compiled model: a callable over torch tensors or numpy arrays, with its plan, its report and its file."""

import sys
import threading
import warnings
import weakref
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.runtime import artifact, memory, native, teams, tree
from drystone.runtime.frame import Frame, Sizes
from drystone.runtime.manifest import Leaf, Manifest
from drystone.runtime.report import Report, measure
from drystone.runtime.runners import Runnable, named
from drystone.runtime.stored import Reader, Stored, spooled
from drystone.runtime.tensors import Given, Taken
from drystone.runtime.windows import Windows

_IN_MEMORY = (
    "the file of the weights is kept in memory (tmpfs), so that those which come and go take it all the "
    "same: save the model on a disk and load it from there, or let TMPDIR name a folder on one"
)

#: Sets of the inputs' shapes for which a model remembers what follows from them.
_KEPT = 64


class Memory:
    """Where the bytes go: `arena` for activations, `weights`, of which `resident` are there at once where
    they come from a file (else all of them), `states`, and the plan that proves the arena."""

    def __init__(self, manifest: Manifest, weights: Sequence[Array], states: Sequence[Array]) -> None:
        self.arena = manifest.arena
        self.weights = sum(array.nbytes for array in weights)
        self.resident = self.weights if manifest.streaming is None else manifest.streaming.resident
        self.states = sum(array.nbytes for array in states)
        self.plan: Mapping[str, Any] = manifest.plan

    @property
    def ram(self) -> int:
        """All bytes that are there at once while the model runs."""
        return self.arena + self.resident + self.states

    def __repr__(self) -> str:
        proven = self.plan["bound"]
        resident = "" if self.resident == self.weights else f", resident={self.resident}"
        return (
            f"Memory(arena={self.arena}, weights={self.weights}{resident}, states={self.states}, "
            f"bound={proven}, status={self.plan['status']!r})"
        )


class Fitted:
    """A compiled model.

    Calling it is calling the model: torch tensors in, torch tensors out; numpy arrays in, numpy arrays out
    (bf16 as its uint16 bits), nested as the model nests them. Calls from several threads are safe: each has
    an arena of its own. All models of a process share its threads: a call has as many as it wants while cores
    are free, and at least its own. Models with state (caches) serve one call at a time, as do those that read
    rows of weights from their file.
    """

    def __init__(
        self,
        manifest: Manifest,
        weights: Sequence[Array],
        code: Runnable,
        image: Any,
        stored: Stored | None = None,
    ) -> None:
        self.manifest = manifest
        self.threads = manifest.threads
        if manifest.streaming is not None and stored is None:
            stored = spooled(weights)
            weights = stored.views(manifest.weights)
        #: Where the weights come from during a run, if they do.
        self._stored = None if manifest.streaming is None else stored
        if self._stored is not None and self._stored.in_memory:
            warnings.warn(_IN_MEMORY, stacklevel=2)
        self._weights = [memory.aligned(array) for array in weights]
        self._code = code
        self._image = image
        self._windows = self._opened()
        if self._windows is None:
            self._table = native.pointers(self._weights)
        else:
            self._table = native.addresses(self._windows.table(self._weights))
        self._names = [leaf.name for leaf in manifest.inputs]
        self._taken = [Taken(leaf) for leaf in manifest.inputs]
        self._given = [Given(leaf) for leaf in manifest.outputs]
        self._frames: list[Frame] = []
        self._sizes: dict[tuple[tuple[int, ...], ...], Sizes] = {}
        # At the interpreter's end this runs while everything it needs is still there, unlike __del__.
        weakref.finalize(self, teams.forget, code)
        self._state_lock = threading.Lock()
        self._initial = [self._weights[i] for i in manifest.initial]
        self._states = [memory.empty(array.shape, array.dtype) for array in self._initial]
        self._held = native.pointers(self._states)
        self.reset()

    def _opened(self) -> Windows | None:
        """The windows of weights of which rows come when they are read, if there are any."""
        if self._stored is None or self.manifest.streaming is None or not self.manifest.streaming.windows:
            return None
        return Windows(self._stored, [slot for slot, *_ in self.manifest.streaming.windows])

    @property
    def rows_read(self) -> int:
        """Bytes of rows of weights that all calls so far have read from the model's file."""
        return 0 if self._windows is None else int(self._windows.read[0])

    def reset(self) -> None:
        """Give every state (cache) its initial value again."""
        with self._state_lock:
            for state, initial in zip(self._states, self._initial, strict=True):
                state[...] = initial
            if self._stored is not None:
                self._stored.release(self.manifest.initial)

    @property
    def inputs(self) -> tuple[Leaf, ...]:
        """What a call takes, flattened: name, element and shape of every tensor."""
        return self.manifest.inputs

    @property
    def outputs(self) -> tuple[Leaf, ...]:
        """What a call gives, flattened."""
        return self.manifest.outputs

    @property
    def memory(self) -> Memory:
        """Arena, weight and state bytes, and the memory plan."""
        return Memory(self.manifest, self._weights, self._states)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model; see the class. Raises UserError where the arguments are not the compiled model's."""
        return self.call(args, kwargs)

    def call(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None = None,
        *,
        threads: int | None = None,
        arena: Array | None = None,
        pin: bool | None = None,
    ) -> Any:
        """Run the model with a thread count (default: `self.threads`) or an arena of the caller's.

        pin: keep each thread on a core of its own, the calling one while it runs; None: as compiled.
        arena: uint8, at least `memory.arena` bytes, aligned to 64; it belongs to this call while it runs.
        """
        leaves = self.leaves(args, kwargs or {})
        arrays = bool(leaves) and all(isinstance(leaf, np.ndarray) for leaf in leaves)
        tensors = not arrays and "torch" in sys.modules
        outputs = self.execute(leaves, threads=threads or self.threads, arena=arena, pin=pin, tensors=tensors)
        return tree.unflatten(iter(outputs), self.manifest.out_tree)

    def execute(
        self,
        inputs: Sequence[Any],
        *,
        threads: int,
        arena: Array | None = None,
        profile: Array | None = None,
        pin: bool | None = None,
        tensors: bool = False,
    ) -> list[Any]:
        """Run over flat lists of arrays or tensors; see `call`.

        profile: int64 [kernels, 2], gets start and end in ns of every kernel call.
        tensors: whether it gives tensors of torch, or arrays of numpy.
        """
        m = self.manifest
        if arena is not None and (arena.nbytes < m.arena or arena.ctypes.data % memory.ALIGNMENT):
            raise UserError(
                f"the arena has {arena.nbytes} bytes at {arena.ctypes.data:#x}",
                hint=f"the model needs {m.arena} bytes, aligned to {memory.ALIGNMENT}",
            )
        # What is read has to stay until the code has run.
        read = [taken.read(value) for taken, value in zip(self._taken, inputs, strict=True)]
        sizes = self._sizes_of(tuple([tuple(shape) for _, shape, _ in read]))
        made = [
            given.tensor(shape) if tensors else given.array(shape)
            for given, shape in zip(self._given, sizes.outputs, strict=True)
        ]
        frame = self._take_frame()
        try:
            frame.set(sizes, [at for *_, at in read], [at for _, at in made], arena, profile)
            failed = self._run(frame.call, threads, m.pin if pin is None else pin)
        finally:
            self._frames.append(frame)
        if failed:
            raise UserError(
                f"the model's own check failed: {m.assertions[failed - 1]}",
                hint="these inputs are none that it takes: their values, or their sizes, are outside of it",
            )
        return [output for output, _ in made]

    def _sizes_of(self, shapes: tuple[tuple[int, ...], ...]) -> Sizes:
        """What follows from the inputs' shapes, kept for those of the last calls."""
        found = self._sizes.get(shapes)
        if found is None:
            found = Sizes.of(self.manifest, shapes)
            if len(self._sizes) >= _KEPT:
                self._sizes.clear()
            self._sizes[shapes] = found
        return found

    def _take_frame(self) -> Frame:
        try:
            return self._frames.pop()
        except IndexError:
            return Frame(self.manifest, self._table, self._held, mapped=self._stored is not None)

    def _run(self, call: native.Call, threads: int, pin: bool) -> int:
        if not self._states and self._stored is None:
            return teams.run(self._code, call, threads, pinned=pin)
        alone = self._states or self._windows is not None
        if self._windows is not None:
            self._windows.attach(call)
        with self._state_lock if alone else nullcontext(), self._reading(call):
            return teams.run(self._code, call, threads, pinned=pin)

    def _reading(self, call: native.Call) -> AbstractContextManager[Any]:
        """What reads weights ahead while the call runs."""
        if self._stored is None or self.manifest.streaming is None:
            return nullcontext()
        reader = Reader(self._stored, self.manifest.streaming.reads)
        call.progress = native.counters(reader.progress)
        return reader

    def leaves(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """A call's arguments, flattened."""
        return tree.arguments(args, kwargs, self.manifest.in_tree, self._names)

    def report(self, *inputs: Any, runs: int = 20, threads: int | None = None) -> Report:
        """Per kernel what it is, where in the model it came from, bytes, flops, time and share of peak.

        inputs: the arguments of a call; without them, zeros at the declared upper bounds. Times are medians
        over `runs` calls.
        """
        if inputs:
            leaves = self.leaves(inputs, {})
        else:
            leaves = self.manifest.zeros()
        return measure(self, leaves, runs, threads or self.threads)

    def save(self, path: str | Path) -> Path:
        """Write the model as one file; needs a C compiler or linker (`cc`, or the PyPI package ziglang)."""
        return artifact.write(Path(path), self.manifest, self._weights, self._image)

    def __repr__(self) -> str:
        m = self.manifest
        taken = ", ".join(map(str, m.inputs))
        given = ", ".join(map(str, m.outputs))
        return (
            f"<drystone.Fitted for {m.target}: ({taken}) -> ({given}); {m.counted}, "
            f"{m.divided}, weights {self.memory.weights} bytes>"
        )


def load(path: str | Path, *, verify: bool = True) -> Fitted:
    """Load a saved model; needs numpy only. Weights stay memory-mapped.

    verify: read all weights once and compare their hash. Raises UserError for a damaged or foreign file, and
    names the CPU features this machine lacks where it cannot run the code.
    """
    manifest, weights, image, stored = artifact.read(Path(path), verify=verify)
    return Fitted(manifest, weights, named(manifest.runner).code(image, manifest), image, stored)
