"""Checkpoints of GPTQ (Frantar et al. 2022) as AutoGPTQ and GPTQModel write them."""

from typing import Any, ClassVar

import numpy as np

from drystone.frontend.checkpoints.held import Held
from drystone.frontend.checkpoints.method import Method, Store, grouped, ordered, unpack
from drystone.ir.encoding import Per

_BITS = (2, 3, 4, 8)
#: What stored zero points are less than the real ones, by the format's name.
_LESS = {"gptq": 1, "gptq_v2": 0}


class Gptq(Method):
    """qweight [inputs x bits / 32, outputs] has the codes of an output along the inputs, qzeros [groups,
    outputs x bits / 32] zero points along the outputs, one code after the other across words; scales [groups,
    outputs]; g_idx [inputs] the group of each input, in any order with desc_act. In the format "gptq" zero
    points are stored less 1."""

    suffixes: ClassVar[tuple[str, ...]] = ("qweight", "qzeros", "scales", "g_idx")

    def __init__(self, store: Store, config: dict[str, Any]) -> None:
        super().__init__(store, config)
        name = str(config.get("checkpoint_format") or config.get("format") or "gptq")
        name = "marlin" if config.get("is_marlin_format") else name
        if name not in _LESS:
            raise self.fail(
                f"it is GPTQ in the format {name!r}, which drystone does not know",
                f"write it as one of {', '.join(_LESS)}",
            )
        self._less = _LESS[name]

    def quantized(self, own: dict[str, str]) -> bool:
        """Whether there are codes."""
        return "qweight" in own

    def weight(self, layer: str, own: dict[str, str], shape: tuple[int, ...]) -> Held:
        """Codes, scales and zero points as [outputs, ..], in the order of groups."""
        outputs, inputs = shape
        qweight, qzeros, scales = self.of(layer, own, "qweight", "qzeros", "scales")
        words = self.store.raw(qweight)
        bits = self._bits(qweight, words.shape, shape)
        scale = self.store.plain(scales)
        groups = len(scale.parts["codes"])
        size = self._group(layer, inputs, groups)
        self.shaped(scales, (groups, outputs))
        self.shaped(qzeros, (groups, outputs * bits // 32))
        codes = unpack(words.T, bits, inputs)
        zeros = unpack(self.store.raw(qzeros), bits, outputs).astype(np.int16) + self._less
        order = None
        if "g_idx" in own:
            try:
                order = ordered(self.shaped(own["g_idx"], (inputs,)), size)
            except ValueError as error:
                raise self.fail(f"{own['g_idx']}: {error}") from error
        if order is not None:
            codes = codes[:, order]
        turned = Held.plain(np.ascontiguousarray(scale.parts["codes"].T), scale.element)
        return grouped(f"uint{bits}", codes, turned, np.ascontiguousarray(zeros.T), Per.group(1, size), order)

    def _bits(self, name: str, words: tuple[int, ...], shape: tuple[int, ...]) -> int:
        """The bits of a code, from how many words hold those of an output."""
        outputs, inputs = shape
        said = self.config.get("bits")
        found = [
            bits for bits in _BITS if words == (inputs * bits // 32, outputs) and inputs * bits % 32 == 0
        ]
        if not found and said is not None and said not in _BITS:
            raise self.fail(f"it has codes of {said} bits", f"drystone reads GPTQ's of {_BITS} bits")
        if not found or (said is not None and found != [said] and not self.config.get("dynamic")):
            raise self.fail(
                f"{name} has shape {list(words)}, the model's weight is {list(shape)}, and codes have "
                f"{said or 'an unknown number of'} bits",
                "see that model and checkpoint have the same sizes",
            )
        return found[0]

    def _group(self, layer: str, inputs: int, groups: int) -> int:
        """The inputs of a group; those of a layer may differ from what is said for all."""
        size = int(self.config.get("group_size", -1))
        size = inputs if size < 1 else size
        if -(-inputs // size) == groups:
            return size
        if inputs % groups:
            raise self.fail(f"{layer}scales has {groups} groups for {inputs} inputs")
        return inputs // groups
