"""What may happen when, under one order: each operation once and, where that may save memory or traffic,
slots in which one runs again; and each tensor's touches, between which it is kept or not.

The slots are those of Checkmate (Jain et al., "Checkmate: Breaking the Memory Wall with Optimal Tensor
Rematerialization"), limited to what a step's inputs need: an operation has one before a step where its result
is read by that step or by another slot before it, `depth` operations back at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from drystone.scheduling.graph import Graph

#: A touch before everything, of what is there from the start.
START = -1


@dataclass(frozen=True)
class Event:
    """An operation runs, or where `again` may run once more."""

    op: int
    again: bool = False


@dataclass(frozen=True)
class Touch:
    """A tensor is made or read by the event of this number (`START`: it is there from the start); `sure`
    unless the event may be left out."""

    event: int
    made: bool
    sure: bool


@dataclass(frozen=True)
class Timeline:
    """Events in time, and every tensor's touches in time."""

    events: list[Event]
    touches: dict[str, list[Touch]]


def timeline(graph: Graph, order: Sequence[int], depth: int = 0) -> Timeline:
    """The events of an order, with slots for running operations again up to `depth` operations back."""
    events: list[Event] = []
    position = {index: step for step, index in enumerate(order)}
    for step, index in enumerate(order):
        again = _slots(graph, position, index, step, depth)
        events += [Event(other, True) for other in sorted(again, key=position.__getitem__)]
        events.append(Event(index))
    touches: dict[str, list[Touch]] = {
        name: [] if name in graph.producer or graph.home[name] else [Touch(START, True, True)]
        for name in graph.size
    }
    for number, event in enumerate(events):
        op = graph.problem.operations[event.op]
        for names, made in ((op.inputs, False), (op.outputs, True)):
            for name in dict.fromkeys(names):
                touches[name].append(Touch(number, made, not event.again))
    return Timeline(events, touches)


def _slots(graph: Graph, position: dict[int, int], index: int, step: int, depth: int) -> set[int]:
    """Operations that may run again right before a step."""
    found: set[int] = set()
    front = {index}
    for _ in range(depth):
        makers = {
            graph.producer[name]
            for each in front
            for name in graph.problem.operations[each].inputs
            if name in graph.producer
        }
        front = {
            maker
            for maker in makers - found
            if graph.problem.operations[maker].work is not None and position[maker] < step - 1
        }
        found |= front
    return found
