"""Files of safetensors, alone or in a folder with a config.json that says how they are quantized."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from drystone.dtypes import Array
from drystone.files import read_text
from drystone.frontend.checkpoints import awq, compressed, fp8, gptq
from drystone.frontend.checkpoints.held import Held, Source
from drystone.frontend.checkpoints.method import Method, Store
from drystone.frontend.types import ELEMENTS
from drystone.ir.encoding import Codes

#: What reads the weights of a way to quantize, by its name in config.json.
_METHODS: dict[str, type[Method]] = {
    "gptq": gptq.Gptq,
    "awq": awq.Awq,
    "compressed-tensors": compressed.CompressedTensors,
    "fp8": fp8.Fp8,
}
#: Buffers that older checkpoints have and models compute themselves.
_COMPUTED = ("rotary_emb.inv_freq", "position_ids", "masked_bias", "attn.bias")


class Folder(Source):
    """A folder with *.safetensors, and config.json or quantize_config.json where they are quantized; or one
    such file. Raises UserError for a way to quantize that is not known, or files that cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        folder = path if path.is_dir() else path.parent
        files = self._listed(folder) if path.is_dir() else [path]
        if not files:
            raise self.error("the folder has no *.safetensors", "name the folder that has, or a .gguf file")
        self._store = _Files(self, files)
        self._method = self._method_of(folder)

    def tensors(self) -> Iterable[str]:
        """The names of all tensors."""
        return self._store.names()

    def belonging(self, name: str) -> set[str]:
        """The tensor, and the parts of it that the way to quantize has."""
        return {name, *self._method.belonging(name)} if self._method else {name}

    def idle(self, name: str) -> bool:
        """What models compute themselves, and biases of zeros, which GPTQ writes for every layer."""
        return name.endswith(_COMPUTED) or (
            name.endswith(".bias") and self._method is not None and not self._store.raw(name).any()
        )

    def find(self, name: str, shape: Sequence[int]) -> Held | None:
        """The tensor of this name."""
        found = self._method.find(name, tuple(shape)) if self._method else None
        return self._store.plain(name) if found is None and name in self._store.names() else found

    def _listed(self, folder: Path) -> list[Path]:
        """The files of a folder: those that its index names; the one of the usual name; or all."""
        index = self._json(folder / "model.safetensors.index.json")
        if index is not None:
            return [folder / name for name in sorted(set(index.get("weight_map", {}).values()))]
        usual = folder / "model.safetensors"
        return [usual] if usual.is_file() else sorted(folder.glob("*.safetensors"))

    def _json(self, path: Path) -> dict[str, Any] | None:
        """What a file says; None where it is not there."""
        if not path.is_file():
            return None
        try:
            found: dict[str, Any] = json.loads(read_text(path))
        except ValueError as error:
            raise self.error(f"{path.name} is no JSON: {error}") from error
        return found

    def _method_of(self, folder: Path) -> Method | None:
        config = self._config(folder)
        if config is None:
            return None
        name = str(config.get("quant_method", "gptq" if "bits" in config else ""))
        if name not in _METHODS:
            raise self.error(
                f"it is quantized by {name!r}, which drystone does not know",
                f"it reads {', '.join(_METHODS)}, and GGUF files",
            )
        return _METHODS[name](self._store, config)

    def _config(self, folder: Path) -> dict[str, Any] | None:
        """What says how weights are quantized; None where nothing does."""
        config = self._json(folder / "config.json") or {}
        for key in ("quantization_config", "compression_config"):
            if config.get(key):
                return dict(config[key])
        return self._json(folder / "quantize_config.json")


class _Files(Store):
    """The tensors of several files, memory-mapped."""

    def __init__(self, source: Source, files: list[Path]) -> None:
        self.source = source
        self._files: dict[str, Any] = {}
        for file in files:
            try:
                opened: Any = safe_open(file, "pt")
            except (SafetensorError, OSError) as error:
                raise source.error(f"{file.name} cannot be read: {error}") from error
            self._files |= dict.fromkeys(opened.keys(), opened)

    def names(self) -> Iterable[str]:
        """Those of all files."""
        return self._files.keys()

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor of torch."""
        found: torch.Tensor = self._files[name].get_tensor(name)
        return found

    def plain(self, name: str) -> Held:
        """A tensor of elements of the IR, or of floats of 8 bits."""
        tensor = self.tensor(name)
        if tensor.dtype == torch.float8_e4m3fn:
            return Held(tuple(tensor.shape), Codes("e4m3"), {"codes": self.raw(name)})
        if tensor.dtype == torch.float8_e5m2:
            return Held(tuple(tensor.shape), Codes("e5m2"), {"codes": self.raw(name)})
        if tensor.dtype not in ELEMENTS:
            raise self.source.error(f"{name} is of {tensor.dtype}, which drystone does not know")
        return Held.plain(self.raw(name), ELEMENTS[tensor.dtype])

    def raw(self, name: str) -> Array:
        """The elements as numpy holds them: floats of 8 bits as bytes, bf16 as its bits."""
        tensor = self.tensor(name).contiguous()
        if tensor.dtype in (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu):
            tensor = tensor.view(torch.uint8)
        elif tensor.dtype == torch.bfloat16:
            tensor = tensor.view(torch.uint16)
        array: Array = tensor.numpy()
        return array
