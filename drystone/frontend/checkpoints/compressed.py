"""Checkpoints of compressed-tensors, as llm-compressor writes them."""

import re
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.frontend.checkpoints.held import Held
from drystone.frontend.checkpoints.method import Method, Store, grouped, ordered, unpack
from drystone.ir.encoding import Codes, Learned, Per
from drystone.ir.encoding.code import code_of
from drystone.ir.encoding.layout import from_bytes

_FORMATS = (
    *("pack-quantized", "int-quantized", "naive-quantized", "float-quantized", "nvfp4-pack-quantized"),
    *("mxfp4-pack-quantized", "mxfp8-quantized", "dense"),
)
#: What says which numbers of a weight are held, by the name of the format in `sparsity_config`.
_SPARSE = ("sparse-24-bitmask", "sparse-bitmask")
_FLOATS = {"nvfp4-pack-quantized": "e2m1", "mxfp4-pack-quantized": "e2m1"}


class CompressedTensors(Method):
    """weight_packed [outputs, words] has codes of an output along the inputs, those of integers less their
    lowest and only whole ones in a word, those of floats of 4 bits two to a byte; weight is not packed.
    weight_scale as its strategy says; weight_zero_point like it, or packed along the outputs; weight_g_idx
    [inputs] the group of each input; weight_global_scale is what scales are divided by.

    Of a sparse weight bitmask [outputs, bytes] has a bit for every input, the first in the lowest, and
    compressed, in place of weight, the numbers where it is set; all others are 0."""

    suffixes: ClassVar[tuple[str, ...]] = (
        *("weight_packed", "weight", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx"),
        *("weight_global_scale", "input_scale", "input_zero_point", "input_global_scale", "output_scale"),
        *("output_zero_point", "k_scale", "v_scale", "q_scale"),
        *("compressed", "bitmask", "shape", "row_offsets"),
    )

    def __init__(self, store: Store, config: dict[str, Any]) -> None:
        super().__init__(store, config)
        self._groups = list((config.get("config_groups") or {}).values())
        sparse = (config.get("sparsity_config") or {}).get("format")
        if sparse not in (None, "dense", *_SPARSE):
            raise self.fail(f"its sparsity_config is {sparse!r}", f"drystone reads {', '.join(_SPARSE)}")
        if (config.get("transform_config") or {}).get("config_groups"):
            raise self.fail("it has a transform_config, which drystone does not know", "write it without")

    def quantized(self, own: dict[str, str]) -> bool:
        """Whether there are codes with scales, or numbers that a mask says the places of."""
        return "weight_scale" in own or "bitmask" in own

    def weight(self, layer: str, own: dict[str, str], shape: tuple[int, ...]) -> Held:
        """Codes, scales and zero points in the order of groups; without scales the numbers themselves."""
        if "weight_scale" not in own:
            held = self._masked(layer, own, shape)
            return Held(shape, held.encoding, held.parts)
        group = self._group(layer.removesuffix("."))
        said = group.get("weights") or {}
        form = str(group.get("format") or self.config.get("format") or "dense")
        if form not in _FORMATS:
            raise self.fail(
                f"{layer}weight is in the format {form!r}, which drystone does not know",
                f"it reads {', '.join(_FORMATS[:-1])}",
            )
        code, codes = self._codes(layer, own, shape, form, said)
        order = None
        per, blocks = self._per(layer, said, shape)
        if "weight_g_idx" in own:
            groups = self.shaped(own["weight_g_idx"], (shape[1],))
            try:
                size = next(iter(per.sizes), 0) or shape[1]
                order = ordered(groups, size) if groups.min(initial=0) >= 0 else None
            except ValueError as error:
                raise self.fail(f"{own['weight_g_idx']}: {error}") from error
        if order is not None:
            codes = codes[:, order]
        scale = self._scale(own, blocks)
        zeros = self._zeros(own, blocks, shape, int(said.get("num_bits", 8)))
        scale = Held(per.shape(shape), scale.encoding, _reshaped(scale, per.shape(shape)))
        zeros = None if zeros is None else zeros.reshape(per.shape(shape))
        return grouped(code, codes, scale, zeros, per, order)

    def _group(self, layer: str) -> dict[str, Any]:
        """How a layer is quantized: by the group that names it, or else that of its kind."""
        for group in self._groups:
            for target in group.get("targets") or ():
                pattern = target.removeprefix("re:")
                if target == layer or (pattern != target and re.match(pattern, layer)):
                    return dict(group)
        kinds = [group for group in self._groups if "Linear" in (group.get("targets") or ())]
        if not kinds:
            raise self.fail(f"{layer} is quantized, and no group of its config.json names it")
        return dict(kinds[0])

    def _codes(
        self, layer: str, own: dict[str, str], shape: tuple[int, ...], form: str, said: dict[str, Any]
    ) -> tuple[str, Array]:
        """The name of the code, and the codes [outputs, inputs]."""
        bits, kind = int(said.get("num_bits", 8)), str(said.get("type", "int"))
        if "weight_packed" not in own:
            name, held = self._whole(layer, own, shape)
            element = str(getattr(held.encoding, "element", ""))
            if element not in ("i8", "e4m3", "e5m2"):
                raise self.fail(f"{name} is of {element}, and not of codes of 8 bits")
            return "int8" if element == "i8" else element, held.parts["codes"]
        name, (outputs, inputs) = own["weight_packed"], shape
        words = self.store.raw(name)
        if form in _FLOATS:
            packed = self.shaped(name, (outputs, inputs // 2), words)
            return _FLOATS[form], from_bytes(packed, 4, inputs)
        if kind != "int" or not 2 <= bits <= 8:
            raise self.fail(f"{name} has codes of {bits} bits of {kind}", "drystone reads int of 2 to 8 bits")
        self.shaped(name, (outputs, -(-inputs // (32 // bits))), words)
        return f"int{bits}", _signed(unpack(words, bits, inputs, spare=True), bits)

    def _whole(self, layer: str, own: dict[str, str], shape: tuple[int, ...]) -> tuple[str, Held]:
        """The name of the tensor that a weight's numbers or codes are in, and all of them."""
        if "bitmask" in own:
            return own["bitmask"], self._masked(layer, own, shape)
        (name,) = self.of(layer, own, "weight")
        self.shaped(name, shape)
        return name, self.store.plain(name)

    def _masked(self, layer: str, own: dict[str, str], shape: tuple[int, ...]) -> Held:
        """The elements that a mask says the places of, among zeros."""
        given, mask = self.of(layer, own, "compressed", "bitmask")
        held, (outputs, inputs) = self.store.plain(given), shape
        bits = self.shaped(mask, (outputs, -(-inputs // 8)))
        places = np.unpackbits(bits.view(np.uint8), axis=1, count=inputs, bitorder="little").astype(bool)
        numbers = held.parts["codes"].reshape(-1)
        if numbers.size != np.count_nonzero(places):
            raise self.fail(f"{given} has {numbers.size} numbers, and {mask} has {np.count_nonzero(places)}")
        whole = np.zeros(shape, numbers.dtype)
        whole[places] = numbers
        return Held(shape, held.encoding, {"codes": whole})

    def _per(self, layer: str, said: dict[str, Any], shape: tuple[int, ...]) -> tuple[Per, tuple[int, ...]]:
        """What shares a scale, and the shape that scales are stored in."""
        strategy, size = str(said.get("strategy") or "tensor"), int(said.get("group_size") or 0)
        outputs, inputs = shape
        if strategy == "tensor":
            return Per.tensor(), (1,)
        if strategy == "channel":
            return Per.row(1), (outputs, 1)
        if strategy in ("group", "tensor_group") and size > 0:
            return Per.group(1, size), (outputs, -(-inputs // size))
        sizes = said.get("block_structure") or ()
        if strategy == "block" and len(sizes) == 2:
            per = Per.block([int(n) for n in sizes])
            return per, per.shape(shape)
        raise self.fail(f"{layer}weight_scale is for {strategy!r}, which drystone does not know")

    def _scale(self, own: dict[str, str], blocks: tuple[int, ...]) -> Held:
        """The scales; floats of 8 bits stay codes, of powers of two where they have no sign."""
        name = own["weight_scale"]
        numbers = self.store.raw(name)
        self.shaped(name, blocks, numbers.reshape(blocks) if numbers.size == 1 else numbers)
        held = self.store.plain(name)
        if held.element == "ui8":
            return Held(held.shape, Codes("e8m0"), held.parts)
        if "weight_global_scale" not in own:
            return held
        if not isinstance(held.encoding, Codes) or held.encoding.element != "e4m3":
            raise self.fail(f"{name} is of {held.element}: only scales of e4m3 are divided by others")
        # The quotients are rounded to f32 where they are made: a table has what each code then is.
        whole = self.store.raw(own["weight_global_scale"]).reshape(-1)
        table = code_of("e4m3").decode(np.arange(256)).astype(np.float32) / whole[:1].astype(np.float32)
        return Held(held.shape, Codes(Learned(8, Codes("f32"))), held.parts | {"table": table})

    def _zeros(
        self, own: dict[str, str], blocks: tuple[int, ...], shape: tuple[int, ...], bits: int
    ) -> Array | None:
        """The zero points in the shape of scales; None where there are none, or all are 0."""
        if "weight_zero_point" not in own:
            return None
        name = own["weight_zero_point"]
        zeros = self.store.raw(name)
        if zeros.dtype == np.int32:
            self.shaped(name, (-(-shape[0] // (32 // bits)), *blocks[1:]), zeros)
            zeros = _signed(unpack(zeros.T, bits, shape[0], spare=True), bits).T
        zeros = self.shaped(name, blocks, zeros.reshape(blocks) if zeros.size == 1 else zeros)
        return np.ascontiguousarray(zeros) if zeros.any() else None


def _signed(codes: Array, bits: int) -> Array:
    """Codes that are stored less their lowest."""
    return (codes.astype(np.int16) - (1 << bits - 1)).astype(np.int8)


def _reshaped(scale: Held, shape: tuple[int, ...]) -> dict[str, Array]:
    return scale.parts | {"codes": scale.parts["codes"].reshape(shape)}
