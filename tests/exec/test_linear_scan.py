"""Operations of drystone's own in models: what torch computes, and what the compiled model does."""

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn
from torch._higher_order_ops.scan import scan

import drystone
import drystone.ops


class Selective(nn.Module):
    """The selective state space of a Mamba block: decay and input of each step depend on the step's data."""

    def __init__(self, width: int, states: int) -> None:
        super().__init__()
        self.dt, self.b, self.c = (nn.Linear(width, n) for n in (width, states, states))
        self.a = nn.Parameter(torch.rand(width, states))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dt = nn.functional.softplus(self.dt(x))
        decay = torch.exp(-dt[..., None] * self.a)
        update = (dt * x)[..., None] * self.b(x)[:, :, None]
        h = drystone.ops.linear_scan(decay, update, dim=1)
        return (h * self.c(x)[:, :, None]).sum(-1)

    def step_by_step(self, x: torch.Tensor) -> torch.Tensor:
        """The same as a loop of plain operations."""
        h, out = torch.zeros(x.shape[0], *self.a.shape), []
        for t in range(x.shape[1]):
            now = x[:, t]
            dt = nn.functional.softplus(self.dt(now))
            h = torch.exp(-dt[..., None] * self.a) * h + (dt * now)[..., None] * self.b(now)[:, None]
            out.append((h * self.c(now)[:, None]).sum(-1))
        return torch.stack(out, 1)


@pytest.mark.parametrize("steps", [None, 40])
def test_a_selective_state_space_compiles_to_a_scan(steps: int | None) -> None:
    torch.manual_seed(0)
    model, x = Selective(24, 8).eval(), torch.randn(2, 21, 24)
    length = None if steps is None else {1: torch.export.Dim("steps", min=2, max=steps)}
    shapes = None if length is None else (length,)
    fitted = drystone.compile(model, (x,), dynamic_shapes=shapes)
    assert "scan" in [kernel.kind for kernel in fitted.manifest.kernels]
    with torch.no_grad():
        for count in (21,) if steps is None else (21, 2, 40):
            x = torch.randn(2, count, 24)
            torch.testing.assert_close(model(x), model.step_by_step(x))
            torch.testing.assert_close(fitted(x), model(x))


class Core(nn.Module):
    """y[l] = sum of c[l] * h[l] over the states, h[l] = exp(-dt * a) * h[l - 1] + dt * x * b, in several
    spellings; "states": h itself with its last step, "plain": one state, no sum."""

    def __init__(self, channels: int, states: int, form: str) -> None:
        super().__init__()
        self.form, self.a = form, nn.Parameter(torch.rand(channels, states))

    def forward(self, dt: torch.Tensor, x: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> Any:
        if self.form == "plain":
            return drystone.ops.linear_scan(torch.exp(-dt * self.a[:, 0]), dt * x + b[..., :1], dim=1)
        decay, update = torch.exp(-dt[..., None] * self.a), (dt * x)[..., None] * b[:, :, None]
        if self.form == "channels first":
            h = drystone.ops.linear_scan(decay.transpose(1, 2), update.transpose(1, 2), dim=2)
            return (h * c[:, None]).sum(-1)
        h = drystone.ops.linear_scan(decay, update, dim=1)
        if self.form == "states":
            return (h * c[:, :, None]).sum(-1), h[:, -1]
        if self.form == "product":
            return (h @ c[..., None]).squeeze(-1)
        return torch.einsum("blcs,bls->blc", h, c) if self.form == "einsum" else (h * c[:, :, None]).sum(-1)


@pytest.mark.parametrize(
    ("form", "kinds"),
    [
        ("sum", {"scan": 1}),
        ("product", {"scan": 1}),
        ("einsum", {"scan": 1}),
        ("channels first", {"scan": 1}),
        ("plain", {"scan": 1, "slice": 1}),
        ("states", None),
    ],
)
@pytest.mark.parametrize(
    ("extents", "dynamic"), [((2, 19, 37, 5), True), ((1, 8, 64, 16), False), ((1, 3, 32, 40), False)]
)
def test_coefficients_and_states_of_a_scan_are_not_in_memory(
    form: str, kinds: dict[str, int] | None, extents: tuple[int, ...], dynamic: bool
) -> None:
    torch.manual_seed(0)
    batch, steps, channels, states = extents
    model = Core(channels, states, form).eval()
    inputs = [torch.rand(batch, steps, n) for n in (channels, channels, states, states)]
    lengths = ({1: torch.export.Dim("steps", min=2, max=64)},) * 4 if dynamic else None
    fitted = drystone.compile(model, tuple(inputs), dynamic_shapes=lengths)
    found = Counter(kernel.kind for kernel in fitted.manifest.kernels)
    assert found["scan"] == 1 and (kinds is None or found == kinds)
    for count in (2, 5, 64) if dynamic else (steps,):
        inputs = [torch.randn(batch, count, each.shape[-1]) for each in inputs]
        inputs[0] = inputs[0].abs()
        with torch.no_grad():
            got, want = fitted(*inputs), copy.deepcopy(model).double()(*(each.double() for each in inputs))
        for one, other in zip(*((v if isinstance(v, tuple) else (v,)) for v in (got, want)), strict=True):
            torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


class Looped(Selective):
    """The loop itself as the model."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.step_by_step(x)


def test_a_loop_over_steps_compiles_unrolled() -> None:
    torch.manual_seed(0)
    model, x = Looped(16, 4).eval(), torch.randn(1, 6, 16)
    with torch.no_grad():
        torch.testing.assert_close(drystone.compile(model, (x,))(x), model(x))


def test_linear_scan_says_what_it_takes() -> None:
    with pytest.raises(drystone.UserError, match=r"linear_scan of factors torch.float32 \[3\] and"):
        drystone.ops.linear_scan(torch.ones(3), torch.ones(4))
    with pytest.raises(drystone.UserError, match="along dimension 1 of a tensor with 1"):
        drystone.ops.linear_scan(torch.ones(3), torch.ones(3), dim=1)


class Scanned(nn.Module):
    """`torch.scan` over steps: of a linear recurrence, or of one that is not."""

    def __init__(self, *, linear: bool) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, factor: torch.Tensor, x: torch.Tensor, start: torch.Tensor) -> tuple[torch.Tensor, ...]:
        def step(
            h: torch.Tensor, now: tuple[torch.Tensor, torch.Tensor]
        ) -> tuple[torch.Tensor, torch.Tensor]:
            h = now[1] + h * now[0]
            return (h, h.clone()) if self.linear else (h.tanh(), h * 0.5)

        last, every = scan(step, start, (factor, x), dim=0)
        return last, every


@pytest.mark.parametrize("linear", [True, False])
def test_scans_of_torch_compile(linear: bool) -> None:
    torch.manual_seed(0)
    model, inputs = (
        Scanned(linear=linear).eval(),
        (torch.rand(9, 3, 20), torch.randn(9, 3, 20), torch.randn(3, 20)),
    )
    fitted = drystone.compile(model, inputs)
    assert ("scan" in [kernel.kind for kernel in fitted.manifest.kernels]) == linear
    with torch.no_grad():
        for got, want in zip(fitted(*inputs), model(*inputs), strict=True):
            torch.testing.assert_close(got, want)


def test_a_long_scan_that_is_no_linear_recurrence_is_refused() -> None:
    inputs = (torch.rand(200, 3), torch.randn(200, 3), torch.randn(3))
    with pytest.raises(drystone.UserError, match="cannot compile:\n  scan at"):
        drystone.compile(Scanned(linear=False).eval(), inputs)
