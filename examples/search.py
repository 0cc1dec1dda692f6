"""Search this repository's own documents with all-MiniLM-L6-v2, compiled by drystone, beside torch.

python -m examples.search ["your question"]
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

import drystone
from benchmarks.models import MiniLM, minilm_folder

ROOT = Path(__file__).parents[1]
LENGTH = 128
QUESTION = "How does the planner decide where a tensor lives in memory?"


def passages() -> list[tuple[str, str]]:
    """The paragraphs of the repository's documents and of its modules' docstrings, with their places."""
    found = []
    sources = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
    for source in sources:
        for paragraph in source.read_text(encoding="utf-8").split("\n\n"):
            text = " ".join(paragraph.split())
            if len(text) > 60 and not text.startswith(("|", "```")):
                found.append((str(source.relative_to(ROOT)), text))
    for source in sorted((ROOT / "drystone").rglob("*.py")):
        parts = source.read_text(encoding="utf-8").split('"""')
        if len(parts) > 1:
            found.append((str(source.relative_to(ROOT)), " ".join(parts[1].split())))
    return found


def tokenize(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, i64 [len(texts), 128]."""
    tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    encoded = tokenizer.encode_batch(texts)
    return torch.tensor([e.ids for e in encoded]), torch.tensor([e.attention_mask for e in encoded])


def median_ms(calls: list[Callable[[], Any]], rounds: int = 15) -> list[float]:
    """Median milliseconds of each call, taken in turns, each after an untimed one of its own."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds + 2):
        for call, taken in zip(calls, times, strict=True):
            call()
            start = time.perf_counter()
            call()
            if turn >= 2:
                taken.append((time.perf_counter() - start) * 1e3)
    return [statistics.median(taken) for taken in times]


def main() -> None:
    question = sys.argv[1] if len(sys.argv) > 1 else QUESTION
    torch.set_num_threads(2)
    model = MiniLM().eval()
    sources = passages()
    ids, mask = tokenize([question, *(text for _, text in sources)])
    began = time.perf_counter()
    fitted = drystone.compile(model, (ids[:1], mask[:1]), options=drystone.Options(threads=2))
    print(f"compiled all-MiniLM-L6-v2 in {time.perf_counter() - began:.1f} s")
    with torch.inference_mode():
        ours = torch.cat([fitted(ids[i : i + 1], mask[i : i + 1]) for i in range(len(ids))])
        theirs = torch.cat([model(ids[i : i + 1], mask[i : i + 1]) for i in range(len(ids))])
        fast, slow = median_ms([lambda: fitted(ids[:1], mask[:1]), lambda: model(ids[:1], mask[:1])])
    scores = ours[1:] @ ours[0]
    print(f"\n{question}")
    for place in scores.argsort(descending=True)[:3].tolist():
        path, text = sources[place]
        print(f"  {scores[place]:.2f}  {path}: {text[:160]}")
    print(f"\n{len(sources)} passages embedded, {LENGTH} tokens each")
    print(f"drystone {fast:.2f} ms, torch eager {slow:.2f} ms a passage: {fast / slow:.2f} x")
    print(f"arena {fitted.memory.arena} bytes, at least {fitted.memory.plan['bound']} are needed")
    print(f"maximum difference {float((ours - theirs).abs().max()):.1e}")


if __name__ == "__main__":
    main()
