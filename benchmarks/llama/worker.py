"""A model in a process of its own that is told what to do and how long it took: see `serve`.

Run as a script by the Python that has llama-cpp-python, which needs none of this repository:
    python benchmarks/llama/worker.py MODEL.gguf CLOCK THREADS PROMPT ROOM
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

#: What seconds are counted by: the clock on the wall, or the time that processors spent on the process, which
#: tells more of one thread where others compute too.
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}


class Engine(Protocol):
    """A decoder with caches, in some library's hands."""

    def run(self, tokens: Sequence[int], first: int) -> np.ndarray[Any, Any]:
        """The logits behind the last of these tokens, the first of which is at position `first`; what the
        caches hold from there on no longer counts."""


def serve(engine: Engine, clock: Callable[[], float], prompt: int) -> None:
    """Answer lines of the standard input with lines of JSON: "prompt" runs a prompt of this length through
    empty caches, "steps N" the N tokens after it, each the likeliest after the one before: seconds of each
    call. "logits" gives those of the last call."""
    random = np.random.default_rng(0)
    tokens, logits = random.integers(0, 32000, prompt).tolist(), np.zeros(0)
    first = 0

    def timed(tokens: Sequence[int], at: int) -> tuple[float, np.ndarray[Any, Any]]:
        start = clock()
        found = engine.run(tokens, at)
        return clock() - start, found

    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        word, *count = line.split()
        answer: list[float] = []
        if word == "prompt":
            took, logits = timed(tokens, 0)
            answer, first = [took], int(logits.argmax())
        elif word == "steps":
            token = first
            for at in range(prompt, prompt + int(count[0])):
                took, logits = timed([token], at)
                answer.append(took)
                token = int(logits.argmax())
        else:
            answer = logits.tolist()
        print(json.dumps(answer), flush=True)


class LlamaCpp:
    """llama.cpp, by llama-cpp-python's low-level interface."""

    def __init__(self, path: str, threads: int, prompt: int, room: int) -> None:
        import llama_cpp

        self.lib = llama_cpp
        llama_cpp.llama_backend_init()
        how = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), how)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = room, prompt, prompt
        params.n_threads = params.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        print(llama_cpp.llama_print_system_info().decode(), file=sys.stderr)

    def run(self, tokens: Sequence[int], first: int) -> np.ndarray[Any, Any]:
        """See `Engine`."""
        lib = self.lib
        lib.llama_memory_seq_rm(lib.llama_get_memory(self.context), 0, first, -1)
        given = (lib.llama_token * len(tokens))(*tokens)
        failed = lib.llama_decode(self.context, lib.llama_batch_get_one(given, len(tokens)))
        if failed:
            raise SystemExit(f"llama_decode failed with {failed}")
        return np.ctypeslib.as_array(lib.llama_get_logits_ith(self.context, -1), (self.vocabulary,)).copy()


if __name__ == "__main__":
    _path, _clock, *_numbers = sys.argv[1:]
    _threads, _prompt, _room = map(int, _numbers)
    serve(LlamaCpp(_path, _threads, _prompt, _room), CLOCKS[_clock], _prompt)
