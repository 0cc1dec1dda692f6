"""How far a model's results move where its weights do."""

from collections.abc import Mapping, Sequence

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import widen
from drystone.passes.layout.expose_weights import WEIGHTS
from drystone.runtime.accuracy import Call
from drystone.runtime.fitted import Fitted


class Changes:
    """How far the results of a model that takes its weights as arguments are from its own for other ones."""

    def __init__(self, exposed: Fitted, arrays: Mapping[str, Array], calls: Sequence[Call]) -> None:
        self._exposed, self._arrays, self._calls = exposed, dict(arrays), calls
        self._own = [self._run(call, self._arrays) for call in calls]

    def _run(self, call: Call, arrays: Mapping[str, Array]) -> list[Array]:
        args, kwargs = call
        self._exposed.reset()
        given = self._exposed.leaves(args, {**kwargs, WEIGHTS: arrays})
        outputs = self._exposed.execute(given, threads=self._exposed.threads)
        kinds = [leaf.dtype for leaf in self._exposed.outputs]
        return [
            widen(array).astype(np.float64)
            for array, kind in zip(outputs, kinds, strict=True)
            if kind in ("f64", "f32", "f16", "bf16")
        ]

    def by(self, key: str, array: Array) -> float:
        """The mean over calls and results of the squared error beside the square of what is right."""
        return self.of({key: array})

    def of(self, changed: Mapping[str, Array]) -> float:
        """The same where the weights of several keys are others."""
        arrays, shares = self._arrays | dict(changed), []
        for call, own in zip(self._calls, self._own, strict=True):
            for got, wanted in zip(self._run(call, arrays), own, strict=True):
                shares.append(float(np.square(got - wanted).sum() / max(np.square(wanted).sum(), 1e-300)))
        return float(np.mean(shares)) if shares else 0.0
