"""What the rename of a whole directory did to each file in it, as far as earlier runs tell which files those were.

A run that renames a directory writes one line about it. Whoever asks for a file has to find it all the same: under its
old name before that run, under its new one afterwards.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional

from attrs import evolve

from .entry import Kind
from .journal_events import Event, Place
from .paths import is_within
from .plan_parts import Action

Events = Dict[Place, List[Event]]


def follow_directories(events: Events) -> None:
    """Add to *events*, which are in the order of their runs, what moved with each directory that was moved."""
    moves = [each for found in events.values() for each in found if _moves_directory(each)]
    for move in sorted(moves, key=lambda each: each.run):
        for path in [path for side, path in events if side is move.side and is_within(path, move.path)]:
            if path != move.path:
                _follow(events, move, path)


def _moves_directory(event: Event) -> bool:
    return event.action is Action.MOVE and event.kind is Kind.DIRECTORY and event.moved_to is not None


def _follow(events: Events, move: Event, path: str) -> None:
    """Let the file that stood at *path* before *move* go along; the other side was seen to have moved it before."""
    side, other = move.side, move.side.other
    last, seen = (_last_before(events.get((at, path), ()), move.run) for at in (side, other))
    if last is None or last.after is None or last.kind is Kind.DIRECTORY:
        return
    new = f"{move.moved_to}{path[len(move.path) :]}"
    plain = evolve(last, run=move.run, action=Action.MOVE, kept_at=None, kind_before=last.kind)
    _add(events, evolve(plain, before=last.after, after=None, moved_to=new, equals=None))
    _add(events, evolve(plain, path=new, before=None, moved_to=None, equals=((side, path), last.after)))
    was_seen = any(each.run == move.run and each.is_sight for each in events.get((other, move.path), ()))
    if not was_seen or seen is None or seen.after is None:
        return
    sight = evolve(plain, side=other, action=None, moved_to=None, digest=None)
    _add(events, evolve(sight, before=None, after=None, equals=None))
    _add(events, evolve(sight, path=new, before=seen.after, after=seen.after, equals=((side, new), last.after)))


def _add(events: Events, event: Event) -> None:
    found = events.setdefault((event.side, event.path), [])
    found.append(event)
    found.sort(key=lambda each: each.run)


def _last_before(events: Iterable[Event], run: int) -> Optional[Event]:
    last = None
    for each in events:
        if each.run < run:
            last = each
    return last if last is not None and last.in_journal else None
