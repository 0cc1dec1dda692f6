"""A child process that builds one artifact, compares its outputs with the model's, or times it.

It reads an order from the first line of its input, and ends when the input does: so it does not outlive the
process that started it. What it builds is there whole or not at all.
"""

import dataclasses
import json
import os
import resource
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

from drystone import machine, models
from drystone.building import reading, results, settings, tables
from drystone.building.order import Answer, Order
from drystone.building.settings import Settings
from drystone.errors import DrystoneError, InternalError
from drystone.options import checkpoint_of
from drystone.runtime import artifact, timing
from drystone.runtime.fitted import load


def main() -> None:
    """Do what the order says and write the answer."""
    order = Order(**json.loads(sys.stdin.readline()))
    signal.signal(signal.SIGTERM, lambda *_: _abandon(order))
    threading.Thread(target=_end_with_input, args=(order,), daemon=True).start()
    told = answer(order)
    text = json.dumps(dataclasses.asdict(told))
    Path(order.report).write_text(text, encoding="utf-8")


def _end_with_input(order: Order) -> None:
    sys.stdin.read()
    _abandon(order)


def _abandon(order: Order) -> NoReturn:
    """Stop at once, and leave nothing that is half written."""
    artifact.unfinished(Path(order.output)).unlink(missing_ok=True)
    os._exit(1)


def answer(order: Order) -> Answer:
    """What comes of an order."""
    read: set[str] = set()
    try:
        measured = _timed(order) if order.timed else _built(order, read)
    except DrystoneError as error:
        return Answer(str(error), isinstance(error, InternalError), sorted(read))
    except Exception:
        # The model's own code, which may raise anything.
        return Answer(traceback.format_exc(), False, sorted(read))
    return Answer("", False, sorted(read), measured)


def _timed(order: Order) -> dict[str, Any]:
    return {"latency": timing.latency(load(order.output))}


def _built(order: Order, read: set[str]) -> dict[str, Any]:
    """Compile and save the artifact, load it and compare; `read` gets the files that the model is made of."""
    import torch

    from drystone import frontend
    from drystone.compiler import compile

    torch.set_num_threads(order.threads)
    sys.path[:0] = order.path
    root, output = Path(order.root), Path(order.output)
    made = tables.read(Settings, order.table, order.where)
    asked = settings.arguments(made, root, order.where)
    budget, options, tune = (asked.pop(name) for name in ("budget", "options", "tune"))
    with reading.watched(root) as opened:
        given = models.loaded(made.source, root, **asked)
        if made.calibration is not None and "calibration" not in asked:
            given["calibration"] = models.called(made.calibration, root)
    read |= opened
    output.parent.mkdir(parents=True, exist_ok=True)
    fitted = compile(**given, target=order.target, budget=budget, options=options, tune=tune)
    fitted.save(output)
    found = results.sizes(fitted) | {"file": output.stat().st_size}
    lacking = machine.missing_features(fitted.manifest.required)
    call = frontend.example_call(given["model"], given.get("example_inputs", ()), given.get("kwargs"))
    if lacking:
        found["not_run"] = f"this machine lacks {', '.join(lacking)}"
    elif not any(call):
        found["not_compared"] = "there are no example inputs"
    else:
        # Loads the interpreter.
        from drystone.building import comparing

        shapes = given.get("dynamic_shapes")
        found["difference"] = comparing.difference(
            load(output),
            given["model"],
            *call,
            dynamic_shapes=shapes,
            checkpoint=checkpoint_of(given.get("checkpoint")),
        )
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    found["peak"] = sum(usage.ru_maxrss for usage in usages) * 1024
    return found


if __name__ == "__main__":
    main()
