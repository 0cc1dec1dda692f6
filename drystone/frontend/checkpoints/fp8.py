"""Checkpoints of floats of 8 bits with a scale for every block, as DeepSeek-V3 has them."""

from typing import ClassVar

from drystone.frontend.checkpoints.held import Held
from drystone.frontend.checkpoints.method import Method, grouped
from drystone.ir.encoding import Per


class Fp8(Method):
    """weight [outputs, inputs] of e4m3; weight_scale_inv, one for each block of `weight_block_size`, is what
    it is multiplied by."""

    suffixes: ClassVar[tuple[str, ...]] = ("weight", "weight_scale_inv", "input_scale", "activation_scale")

    def quantized(self, own: dict[str, str]) -> bool:
        """Whether there are scales."""
        return "weight_scale_inv" in own

    def weight(self, layer: str, own: dict[str, str], shape: tuple[int, ...]) -> Held:
        """The codes, and the scales of blocks."""
        name, scales = self.of(layer, own, "weight", "weight_scale_inv")
        sizes = self.config.get("weight_block_size") or ()
        if len(sizes) != 2:
            raise self.fail(f"weight_block_size is {list(sizes)} in its config.json, and not two sizes")
        self.shaped(name, shape)
        self.shaped(scales, [-(-n // size) for n, size in zip(shape, sizes, strict=True)])
        held = self.store.plain(name)
        if held.encoding.parts(shape)["codes"][1] != "ui8":
            raise self.fail(f"{name} is of {held.element}, and not of floats of 8 bits")
        code = str(getattr(held.encoding, "element", ""))
        return grouped(code, held.parts["codes"], self.store.plain(scales), None, Per.block(sizes))
