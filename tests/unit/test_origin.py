"""Every operation knows the layer and the line of the user's model it came from."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from drystone import mlir
from drystone.errors import Place
from drystone.frontend import import_model
from drystone.frontend.origin import chosen, shortened
from drystone.ir.context import new_context


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(x) @ x  # block


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks[0](x)
        with torch.autocast("cpu", enabled=False):
            x = self.blocks[1](x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.autocast("cpu", enabled=False):
                x = x.exp()  # nested
            return x.tanh()  # root


def line(marker: str) -> str:
    lines = Path(__file__).read_text().splitlines()
    (number,) = [i for i, text in enumerate(lines, 1) if text.endswith(f"# {marker}")]
    return f"{shortened(__file__)}:{number}"


@pytest.fixture(scope="module")
def places() -> dict[str, list[str]]:
    program = import_model(Model().eval(), torch.randn(4, 4), ctx=new_context())
    found: dict[str, list[str]] = {}
    for op in mlir.walk(program.module):
        found.setdefault(op.operation.name, []).append(str(mlir.ir_place(op) or ""))
    return found


def test_layers_and_lines_also_of_regions(places: dict[str, list[str]]) -> None:
    assert places["dry.matmul"] == [
        f"{layer} ({line('block')})" for layer in ("blocks.0.proj", "blocks.0", "blocks.1.proj", "blocks.1")
    ]


def test_the_model_itself_is_no_layer(places: dict[str, list[str]]) -> None:
    assert places["math.exp"] == [line("nested")]
    assert places["math.tanh"] == [line("root")]


def test_weights_are_called_by_their_names(places: dict[str, list[str]]) -> None:
    assert places["dry.weight"][:2] == ["blocks.0.proj.weight", "blocks.0.proj.bias"]


def test_an_exported_program_keeps_its_places(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(Model().eval(), (torch.randn(4, 4),)), tmp_path / "model.pt2")
    program = import_model(tmp_path / "model.pt2", None, ctx=new_context())
    products = [op for op in mlir.walk(program.module) if op.operation.name == "dry.matmul"]
    assert str(mlir.ir_place(products[0])) == f"blocks.0.proj ({line('block')})"


def test_the_users_own_line_comes_before_a_packages_and_torchs() -> None:
    own, package = "/somewhere/project/model.py", "/usr/lib/python3/dist-packages/shop/layers.py"
    inside = torch.nn.modules.linear.__file__
    assert chosen([(own, 1), (own, 2), (package, 3), (inside, 4)]) == ("project/model.py", 2)
    assert chosen([(package, 3), (inside, 4)]) == ("shop/layers.py", 3)
    assert chosen([("<string>", 1), (inside, 4)]) == ("torch/nn/modules/linear.py", 4)
    assert chosen([(inside, 4)], least=2) == ("", 0)


def test_paths_below_the_current_folder_are_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shortened(str(tmp_path / "nets" / "small" / "model.py")) == "nets/small/model.py"
    assert shortened(str(tmp_path / "env" / "site-packages" / "shop" / "layers.py")) == "shop/layers.py"
    assert shortened("/far/away/nets/model.py") == "nets/model.py"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('loc("a.b"("model.py":12:0))', Place("model.py", 12, "a.b")),
        ('loc("model.py":12:3)', Place("model.py", 12)),
        ('loc("a.b")', Place(layer="a.b")),
        ("loc(unknown)", None),
        ('loc(fused<"two">["a"("m.py":1:0), "b"("n.py":2:0)])', Place("m.py", 1, "a")),
        ('loc(callsite("torch/nn/x.py":1:0 at callsite("m.py":2:0 at "top.py":3:0)))', Place("m.py", 2)),
        ('loc(callsite("torch/nn/x.py":1:0 at "torch/nn/y.py":3:0))', Place("torch/nn/x.py", 1)),
        (r'loc("\22odd\22 \C3\A4"("a \\ b.py":7:0))', Place("a \\ b.py", 7, '"odd" ä')),
    ],
)
def test_locations_are_read_from_their_text(text: str, expected: Place | None) -> None:
    assert mlir.ir_place(SimpleNamespace(location=text)) == expected
    # And as MLIR prints it.
    assert mlir.ir_place(mlir.parse(f"module {{}} {text}", new_context()).operation) == expected


def test_an_operation_made_of_several_has_all_their_places() -> None:
    text = 'module {} loc(fused["a"("m.py":1:0), "b"("n.py":2:0), "a"("m.py":1:0), unknown])'
    found = mlir.ir_places(mlir.parse(text, new_context()).operation)
    assert found == [Place("m.py", 1, "a"), Place("n.py", 2, "b")]
