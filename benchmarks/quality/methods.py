"""Ways to compress the weights of products, each giving a model that computes with what is stored."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import drystone
from drystone.choosing import Weight, choose, options_of
from drystone.ir import formats
from drystone.ir.encoding import BY_RANGE, SEARCHED, Codes, Encoding, Search, Sparse, decode, encode
from drystone.passes.pruning import METHODS as PRUNING
from drystone.passes.pruning import Blocks, Groups, Pruning, Zeros
from drystone.passes.quantizing.quantize_weights import BEST
from drystone.passes.rounding import Member, Method, Seen, scaled

#: Inputs of a call.
Inputs = tuple[Tensor, ...]
#: How far results are from the model's own.
Changes = Callable[[Tensor, Tensor], float]
#: How much of the calibration formats are chosen by.
_JUDGED = 4


@dataclass(frozen=True)
class Compressed:
    """A model whose weights are what is decoded from what is stored, and the bits that a weight takes, scales
    and everything else counted, of the weights that were compressed."""

    model: nn.Module
    bits: float


def products(model: nn.Module) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
    """The layers that multiply by a weight of two or more dimensions, by name."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            yield name, module


@dataclass(frozen=True)
class Calibrated:
    """A model, and what each layer's weight is multiplied with on some inputs: statistics by name, and the
    names of layers that read one tensor together."""

    model: nn.Module
    inputs: Inputs
    seen: Mapping[str, Seen]
    groups: tuple[tuple[str, ...], ...]

    @staticmethod
    def of(model: nn.Module, inputs: Inputs) -> "Calibrated":
        """From one call."""
        read: dict[int, tuple[Tensor, list[str]]] = {}
        seen: dict[str, Seen] = {}

        def noted(name: str) -> Callable[[nn.Module, Inputs, Tensor], None]:
            def note(module: nn.Module, given: Inputs, _: Tensor) -> None:
                x, names = read.setdefault(id(given[0]), (given[0], []))
                seen[name] = seen[names[0]] if names else Seen.of(_rows(module, x).numpy())
                names.append(name)

            return note

        hooks = [module.register_forward_hook(noted(name)) for name, module in products(model)]
        with torch.no_grad():
            model(*inputs)
        for hook in hooks:
            hook.remove()
        return Calibrated(model, inputs, seen, tuple(tuple(names) for _, names in read.values()))


def _rows(module: nn.Module, x: Tensor) -> Tensor:
    """What a layer's weight is multiplied with, [rows, inputs]."""
    if not isinstance(module, nn.Conv2d):
        return x.flatten(0, -2)
    assert not isinstance(module.padding, str)
    windows = F.unfold(x, module.kernel_size, module.dilation, module.padding, module.stride)
    return windows.mT.flatten(0, 1)


def _matrix(module: nn.Linear | nn.Conv2d) -> np.ndarray:
    return module.weight.detach().flatten(1).double().numpy()


def _put(module: nn.Linear | nn.Conv2d, matrix: np.ndarray) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(np.ascontiguousarray(matrix)).view_as(module.weight))


def round_to_nearest(given: Calibrated, encoding: Encoding, search: Search = BY_RANGE) -> Compressed:
    """Every weight as a matrix [outputs, inputs] in an encoding, each number at its nearest."""
    made, stored, count = copy.deepcopy(given.model), 0, 0
    for _, module in products(made):
        matrix = _matrix(module)
        parts = encode(matrix, encoding, search=search)
        stored += sum(part.nbytes for part in parts.values())
        count += matrix.size
        _put(module, decode(parts, encoding, matrix.shape, "f32"))
    return Compressed(made, 8 * stored / count)


def rounded(given: Calibrated, encodings: Mapping[str, Encoding], method: Method) -> Compressed:
    """Every weight as the pass `quantize-weights` rounds it; factors of activations, and biases that the
    model has not, take 32 bits each."""
    made, stored, count = copy.deepcopy(given.model), 0, 0
    modules = dict(products(made))
    for group in given.groups:
        members = [Member(_matrix(modules[name]), encodings[name], method) for name in group]
        seen, factors = replace(given.seen[group[0]]), None
        if method.scaled and isinstance(modules[group[0]], nn.Linear):
            factors = scaled(members, seen)
        if factors is not None:
            members, seen = [each.times(factors) for each in members], seen.divided(factors)
            stored += factors.nbytes
        for name, member in zip(group, members, strict=True):
            matrix, encoding = member.matrix, member.encoding
            parts = method.parts(matrix, encoding, seen)
            found = encoding.decode(parts, matrix.shape)
            _put(modules[name], found if factors is None else found / factors)
            stored += sum(part.nbytes for part in parts.values())
            if method.corrected:
                stored += _correct(modules[name], -seen.mean_error(found - matrix))
            count += matrix.size
    return Compressed(made, 8 * stored / count)


def pruned(given: Calibrated, zeros: Zeros, method: str) -> Compressed:
    """Every weight as the pass `sparsify-weights` prunes it, in f32."""
    made, stored, count = copy.deepcopy(given.model), 0, 0
    for name, module in products(made):
        matrix = _matrix(module)
        encoding = Sparse(zeros.pattern(*matrix.shape), Codes("f32"))
        _put(module, Pruning.of(zeros, method).pruned(matrix, given.seen[name]))
        stored += encoding.bytes(matrix.shape)
        count += matrix.size
    return Compressed(made, 8 * stored / count)


class Fitted(nn.Module):
    """A model as it is compiled."""

    def __init__(self, made: drystone.Fitted) -> None:
        super().__init__()
        self.made = made

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.as_tensor(self.made(*inputs))


def compiled(given: Calibrated, **asked: Any) -> Compressed:
    """The model as `compile` makes it with these arguments; a weight has 32 bits where none are chosen."""
    rows = torch.export.Dim("rows", max=1024)
    fitted = drystone.compile(
        given.model,
        given.inputs,
        dynamic_shapes=tuple({0: rows} for _ in given.inputs),
        calibration=[given.inputs],
        **asked,
    )
    counts = {f"{name}.weight": module.weight.numel() for name, module in products(given.model)}
    found = fitted.manifest.formats
    bits = sum(each.bits * counts[each.weight] for each in found) / max(sum(counts.values()), 1)
    for name, number in sorted(Counter(each.format for each in found).items()):
        print(f"  {number} x {name or 'as it is'}", flush=True)
    return Compressed(Fitted(fitted), bits if found else 32)


def _correct(module: nn.Linear | nn.Conv2d, change: np.ndarray) -> int:
    """Add to a layer's bias; the bytes that takes where it has none."""
    shift, old = torch.from_numpy(change).float(), module.bias
    module.bias = nn.Parameter(shift if old is None else old.detach() + shift)
    return 4 * len(shift) if old is None else 0


def chosen(given: Calibrated, bits: float, changes: Changes) -> Compressed:
    """Formats of so many bits on the mean as `quantize="auto"` chooses them, by what `changes` says of the
    model's results; with all methods of rounding."""
    model = copy.deepcopy(given.model)
    modules, inputs = dict(products(model)), tuple(each[:_JUDGED] for each in given.inputs)
    with torch.no_grad():
        own = model(*inputs)

    def effect(name: str, matrix: np.ndarray) -> float:
        kept = _matrix(modules[name])
        _put(modules[name], matrix)
        with torch.no_grad():
            change = changes(own, model(*inputs))
        _put(modules[name], kept)
        return change

    weights = {name: _weight(modules[name], seen) for name, seen in given.seen.items()}
    factors = sum(4 * weights[group[0]].shape[1] for group in given.groups)
    limit = int(bits * sum(each.count for each in weights.values()) / 8) - factors
    found = choose(options_of(weights, effect), limit)
    assert found is not None, f"no formats take {bits} bits"
    encodings = {
        key: formats.TABLE[each.format]() if each.format else Codes("f32")
        for key, each in zip(weights, found, strict=True)
    }
    return rounded(given, encodings, BEST)


def _weight(module: nn.Linear | nn.Conv2d, seen: Seen) -> Weight:
    outputs, inputs = module.weight.flatten(1).shape
    return Weight(partial(_matrix, module), (outputs, inputs), seen, 4 * module.weight.numel())


def error_of(own: Tensor, other: Tensor) -> float:
    """The squared error beside the square."""
    return float((other - own).double().square().sum() / own.double().square().sum())


def divergence_of(own: Tensor, other: Tensor) -> float:
    """The mean Kullback-Leibler divergence of two tensors of logits."""
    a, b = (F.log_softmax(each.double().flatten(0, -2), -1) for each in (own, other))
    return float(F.kl_div(b, a, reduction="batchmean", log_target=True))


def _uniform(make: Callable[[], Encoding], method: str) -> Callable[[Calibrated], Compressed]:
    return lambda given: rounded(given, dict.fromkeys(given.seen, make()), Method.of(method))


def _nearest(make: Callable[[], Encoding], search: Search) -> Callable[[Calibrated], Compressed]:
    return lambda given: round_to_nearest(given, make(), search)


#: Zeros that weights are pruned to.
_ZEROS = {"50 %": Blocks(0.5), "2:4": Groups(2, 4), "70 %": Blocks(0.7), "16x16, 50 %": Blocks(0.5, (16, 16))}
#: What becomes 0 behind the gates of MLPs, of what their down projections read, and of more.
_SKIPPED = {
    "the gate": {".*down.*": None},
    "inputs of down": {".*down.*": "inputs"},
    "the gate and inputs of the MLP": {".*down.*": None, ".*(gate|up).*": "inputs"},
    "inputs of all products": {".*layers.*": "inputs"},
}
#: Zeros that are chosen with formats.
_CHOSEN = drystone.Sparsify("auto", method="sparsegpt+refit")
_PRUNING = (*PRUNING, "wanda+refit", "sparsegpt+refit")
#: What is measured: by name, a format and how its scales are chosen, or zeros and how they are.
METHODS: dict[str, Callable[[Calibrated], Compressed]] = (
    {
        name: _nearest(made, search)
        for name, made, search in (
            ("int8_row", formats.int8_row, BY_RANGE),
            ("q8_0", formats.q8_0, BY_RANGE),
            ("mxfp8", formats.mxfp8, BY_RANGE),
            ("fp8", formats.fp8, BY_RANGE),
            ("fp6", formats.fp6, BY_RANGE),
            ("w4, groups of 32", lambda: formats.w4(32), BY_RANGE),
            ("q4_0", formats.q4_0, BY_RANGE),
            ("q4_k, searched", formats.q4_k, SEARCHED),
            ("nvfp4, searched", formats.nvfp4, SEARCHED),
            ("w4, groups of 64", lambda: formats.w4(64), BY_RANGE),
            ("nf4", formats.nf4, BY_RANGE),
            ("mxfp4", formats.mxfp4, BY_RANGE),
            ("w4", formats.w4, BY_RANGE),
            ("w4, searched", formats.w4, SEARCHED),
            ("w3", formats.w3, BY_RANGE),
            ("bcq3", formats.bcq, SEARCHED),
            ("w3, searched", formats.w3, SEARCHED),
            ("w3, groups of 32", lambda: formats.w3(32), BY_RANGE),
            ("w3, rank 8", lambda: formats.corrected(formats.w3(), 8), SEARCHED),
            ("w2", formats.w2, BY_RANGE),
            ("w2, searched", formats.w2, SEARCHED),
            ("w2, groups of 32", lambda: formats.w2(32), SEARCHED),
            ("w2, rank 8", lambda: formats.corrected(formats.w2(), 8), SEARCHED),
            ("ternary, groups of 64", lambda: formats.ternary(64), SEARCHED),
        )
    }
    | {
        f"{name}, {method}": _uniform(made, method)
        for name, made, method in (
            ("w4", formats.w4, "awq"),
            ("w4", formats.w4, "gptq"),
            ("w4", formats.w4, "gptq+awq"),
            ("w4", formats.w4, "rounding"),
            ("w4", formats.w4, "gptq+rounding"),
            ("w4", formats.w4, "bias"),
            ("w4", formats.w4, "gptq+bias"),
            ("w4", formats.w4, "gptq+awq+rounding"),
            ("w4", formats.w4, "gptq+awq+rounding+bias"),
            ("q4_k", formats.q4_k, "gptq"),
            ("q4_0", formats.q4_0, "gptq+awq+rounding"),
            ("q4_k", formats.q4_k, "gptq+awq+rounding"),
            ("w3", formats.w3, "awq"),
            ("w3", formats.w3, "gptq"),
            ("w3", formats.w3, "gptq+awq"),
            ("w3", formats.w3, "rounding"),
            ("w3", formats.w3, "gptq+awq+rounding"),
            ("w3", formats.w3, "gptq+awq+rounding+bias"),
            ("w2", formats.w2, "gptq"),
            ("w2", formats.w2, "gptq+awq"),
            ("w2", formats.w2, "gptq+awq+rounding"),
            ("w2", formats.w2, "gptq+awq+rounding+bias"),
        )
    }
    | {
        f"auto at {bits} bits, by {name}": partial(chosen, bits=bits, changes=changes)
        for bits, name, changes in (
            (4.25, "error", error_of),
            (4.25, "divergence", divergence_of),
            (3.25, "error", error_of),
        )
    }
    | {
        f"{name}, {method}": partial(pruned, zeros=zeros, method=method)
        for name, zeros in _ZEROS.items()
        for method in _PRUNING
    }
    | {
        f"{level:.0%} of {name}": partial(
            compiled, skip={pattern: drystone.Skip(level, at) for pattern, at in places.items()}
        )
        for name, places in _SKIPPED.items()
        for level in (0.5, 0.7)
    }
    | {
        f"levels about 50 %, {method}": partial(compiled, sparsify=drystone.Sparsify("auto", 0.5, method))
        for method in _PRUNING
    }
    | {
        f"{name} within {bits} bits": partial(
            compiled, quantize="auto", sparsify=zeros, budget=drystone.Budget(bits=bits)
        )
        for bits in (4.25, 3.25, 2.5)
        for name, zeros in (("formats", None), ("formats and zeros", _CHOSEN))
    }
)
