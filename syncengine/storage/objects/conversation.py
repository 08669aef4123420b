"""Requests that depend on each other, written once and held in two ways: one after the other, or many at once.

A conversation yields what it asks and is sent the answer, or is thrown what kept one from coming. It neither waits
nor knows who does: ``held`` blocks this thread, ``together`` holds many conversations in one.
"""

from __future__ import annotations

from typing import Generator, Mapping, TypeVar

from attrs import field, frozen

from .exchange import Answer, Connections, Unclear

_Result = TypeVar("_Result")


@frozen
class Asked:
    """One signed request, ready to be sent over one of *connections*; it may hold what a secret has signed."""

    connections: Connections
    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(default=b"", repr=False)


Conversation = Generator[Asked, Answer, _Result]
"""Yields a request, is sent its answer or thrown Unsent or Lost, and returns what came of it all."""


def held(conversation: Conversation[_Result]) -> _Result:
    """Ask what *conversation* asks, wait for each answer, and return what it returns; raises what it raises."""
    try:
        asked = next(conversation)
        while True:
            try:
                answer = ask(asked)
            except Unclear as error:
                asked = conversation.throw(error)
            else:
                asked = conversation.send(answer)
    except StopIteration as ended:
        result: _Result = ended.value
        return result


def ask(asked: Asked) -> Answer:
    """Send one request and wait for its answer; raises Unsent or Lost."""
    return asked.connections.ask(asked.method, asked.target, asked.headers, asked.content)
