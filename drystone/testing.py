"""Artifacts in tests: built where they are not as they would be, compared, held to limits.

`drystone.pytest_plugin` gives them to tests of pytest. Needs numpy only where nothing is to be built.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from drystone import building
from drystone.building import project, results
from drystone.building.settings import Limits
from drystone.errors import UserError
from drystone.runtime import accuracy, timing, tree
from drystone.runtime.fitted import load


def opened(name: str | Path, root: Path, file: Path, *, build: bool = True) -> "Artifact":
    """An artifact, by its path (relative to `root`) or its name in `file`, a drystone.toml.

    Where the file lists it, it is built first if what it is made of has changed; build: whether that may be.
    One that the file does not list, or where there is no file, is taken as it is. Raises UserError where it
    cannot be built, does not keep its limits, or is not there.
    """
    path = root / name
    listed = project.read(file).entries if file.is_file() else ()
    found = [each for each in listed if each.name == str(name) or each.output == path.absolute()]
    if not found:
        if not path.is_file():
            known = ", ".join(each.name for each in listed)
            raise UserError(f"there is no file {path}", hint=f"{file} lists {known}" if known else None)
        return Artifact(path, {})
    (entry,) = found
    (result,) = building.build(file, only=[entry.name], dry=not build)
    what = "; ".join(filter(None, [result.error, *result.missed]))
    if result.status == "stale":
        what = f"it is not as it would be built now: {'; '.join(result.why)}"
    if what:
        raise UserError(f"{entry.output}: {what}", hint=f"see drystone build {file} --only {entry.name}")
    return Artifact(entry.output, result.measured)


class Artifact:
    """A compiled model under test; call it as the model.

    `fitted` is the loaded model; `measured` what `drystone build` measured of it (`building.Result`), nothing
    where it did not build it. Inputs are a tuple of arguments, a mapping of keyword arguments, or the only
    argument, of arrays or tensors; before each comparison the model's states (caches) are as at first.
    """

    def __init__(self, path: Path, measured: Mapping[str, Any]) -> None:
        self.path, self.measured = path, measured

    @cached_property
    def fitted(self) -> Any:
        """The loaded model (`drystone.Fitted`)."""
        return load(self.path)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fitted(*args, **kwargs)

    def assert_matches(self, inputs: Any, expected: Any, *, rtol: float = 1e-5, atol: float = 1e-6) -> None:
        """Fail where an element of an output is further from the expected one than `atol` and `rtol` times
        it. expected: outputs, nested as the model's, or a function of the same inputs that gives them, such
        as the model itself."""
        for name, got, want in self._outputs(inputs, expected):
            np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=f"{self.path}: {name}")

    def assert_within(
        self,
        *,
        ram: int | str | None = None,
        weights: int | str | None = None,
        latency: float | str | None = None,
        error: float | None = None,
        inputs: Any = None,
        expected: Any = None,
    ) -> None:
        """Fail where a limit is not kept: ram, of all that is in memory while it runs, and weights, in bytes
        or as text ("256KB"); latency, of the median call, in seconds or as text ("2ms"); error, of the
        outputs' largest difference, relative (L2): on these inputs or, without any, as it was when the
        artifact was built."""
        measured = results.sizes(self.fitted)
        if latency is not None:
            measured["latency"] = timing.latency(self.fitted)
        if error is not None:
            measured["difference"] = self._difference(inputs, expected)
        limits = Limits(ram=ram, weights=weights, latency=latency)
        missed = results.missed(limits, error, measured)
        assert not missed, f"{self.path}: {'; '.join(missed)}"

    def _difference(self, inputs: Any, expected: Any) -> float:
        if inputs is not None:
            return max(accuracy.distance(got, want) for _, got, want in self._outputs(inputs, expected))
        if "difference" not in self.measured:
            raise UserError(
                f"{self.path} was not compared when it was built",
                hint="give inputs and what is expected: assert_within(error=.., inputs=.., expected=..)",
            )
        return float(self.measured["difference"])

    def _outputs(self, inputs: Any, expected: Any) -> list[tuple[str, Any, Any]]:
        """The name of each output, what is in it and what is expected there, as real numbers."""
        kwargs = inputs if isinstance(inputs, Mapping) else {}
        args = inputs if isinstance(inputs, tuple) else () if isinstance(inputs, Mapping) else (inputs,)
        fitted = self.fitted
        fitted.reset()
        outputs = fitted.execute(fitted.leaves(args, kwargs), threads=fitted.threads)
        fitted.reset()
        wanted = expected(*args, **kwargs) if callable(expected) else expected
        leaves = tree.flatten(wanted, fitted.manifest.out_tree, "what is expected")
        return [
            (leaf.name, accuracy.numbers(got, leaf.dtype), _array(want))
            for leaf, got, want in zip(fitted.outputs, outputs, leaves, strict=True)
        ]


def _array(value: Any) -> Any:
    """A tensor of torch as an array of numpy, which has no bf16; others as they are."""
    if not hasattr(value, "detach"):
        return np.asarray(value)
    plain = value.detach().cpu()
    return (plain.float() if str(plain.dtype) == "torch.bfloat16" else plain).numpy()
