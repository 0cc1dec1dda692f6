"""Sentences for MiniLM, whose weights are real: the first lines of docstrings of the Python library."""

import ast
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.models import MiniLM, minilm_folder

_LENGTH = 48
_SHORTEST = 30


def sentences(count: int) -> list[str]:
    """The first lines, in the order of the files, the same ones once."""
    root, found = Path(sysconfig.get_paths()["stdlib"]), dict[str, None]()
    for path in sorted(root.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                line = (ast.get_docstring(node) or "").split("\n")[0]
                found |= {line: None} if len(line) >= _SHORTEST else {}
        if len(found) >= count:
            break
    return list(found)[:count]


def tokens(count: int) -> tuple[Tensor, Tensor]:
    """The sentences' tokens and which of them count, both i64 [count, 48]."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    made = tokenizer(
        sentences(count), padding="max_length", truncation=True, max_length=_LENGTH, return_tensors="pt"
    )
    return made["input_ids"], made["attention_mask"]


def model() -> MiniLM:
    """The encoder in eval mode."""
    return MiniLM().eval()


@dataclass(frozen=True)
class Agreement:
    """Of the embeddings of two models: the mean and the least cosine between those of one sentence, and the
    rank correlation (Spearman) of how similar each two sentences are."""

    mean: float
    least: float
    ranks: float

    @staticmethod
    def of(reference: Tensor, other: Tensor) -> "Agreement":
        """From embeddings f32 [n, width] of both."""
        cosines = F.cosine_similarity(reference.double(), other.double(), dim=-1)
        above = torch.triu_indices(len(reference), len(reference), 1)
        ranks = []
        for each in (reference, other):
            unit = F.normalize(each.double(), dim=-1)
            ranks.append((unit @ unit.T)[above[0], above[1]].argsort().argsort().double())
        return Agreement(
            cosines.mean().item(), cosines.min().item(), torch.corrcoef(torch.stack(ranks))[0, 1].item()
        )
