"""Which versions of a path there were, what a side held after any run, and where that content is kept now.

The evidence is what runs did (the outcomes of their journals) and what lies in the trash; what stands now is looked
at. Nothing is guessed: a version is known by its stamp, and content that nobody kept is said to be lost.

A version that one side lost may be kept by the other: a transfer proves that what it read and what it wrote are equal.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from attrs import define, field, frozen

from .entry import Entry, Kind, Side, Stamp
from .journal_events import Event, Place
from .moved_directories import follow_directories
from .paths import is_within
from .plan_parts import Action


@frozen
class Retained:
    """One version in the trash of a side: its place there, and what a look at it says.

    ``path`` is None where only a journal knows whose version it is; ``copy`` counts versions of one path in one run.
    """

    side: Side
    place: str
    run_id: str
    path: Optional[str]
    entry: Entry
    copy: int = 1


@frozen
class Held:
    """What a side held at a path: nothing (``stamp`` None), or a version and where its content is to be had now.

    ``kept`` None means that nobody kept the version; ``lost_in`` is then the run that replaced it.
    """

    kind: Kind = Kind.FILE
    stamp: Optional[Stamp] = None
    kept: Optional[Tuple[Place, Entry]] = None
    lost_in: Optional[int] = None

    @property
    def absent(self) -> bool:
        """Whether nothing stood there."""
        return self.stamp is None


@frozen
class Version:
    """One version of a path: the one that stands there now (``current``), or one that a run replaced or deleted.

    ``run_id`` is the run that ended it, ``replaced_at`` when, ``replaced_by`` how; ``written_by`` the run that wrote it
    where that is known. ``kept_at`` is where it is kept: None where it was not kept, or is not there any more.
    ``number`` counts the versions that are kept, the newest first, from 1.
    """

    path: str
    side: Side
    stamp: Stamp
    kind: Kind = Kind.FILE
    current: bool = False
    run_id: Optional[str] = None
    replaced_at: Optional[datetime] = None
    replaced_by: Optional[Action] = None
    written_by: Optional[str] = None
    kept_at: Optional[str] = None
    digest: Optional[str] = None
    number: Optional[int] = None


@define(eq=False)
class Evidence:
    """Everything that is known of the versions of a pair: events in the order of their runs, trash and present.

    ``runs`` are run ids, oldest first. ``standing`` is what a look at the paths found; a path that is not in it is
    absent. Pure: the looks were made before.
    """

    runs: Tuple[str, ...]
    events: Mapping[Place, List[Event]]
    retained: Mapping[Place, Retained] = field(factory=dict)
    standing: Mapping[Place, Entry] = field(factory=dict)

    @classmethod
    def of(cls, runs: Iterable[str], events: Iterable[Event], retained: Iterable[Retained]) -> Evidence:
        """Return the evidence of *events* in any order; what only the trash tells becomes an event too."""
        known, kept = tuple(runs), {(each.side, each.place): each for each in retained}
        by_place: Dict[Place, List[Event]] = {}
        told = set()
        for event in events:
            by_place.setdefault((event.side, event.path), []).append(event)
            told.add((event.side, event.kept_at))
        for event in _only_in_trash(known, kept, told):
            by_place.setdefault((event.side, event.path), []).append(event)
        for found in by_place.values():
            found.sort(key=lambda event: event.run)
        follow_directories(by_place)
        return cls(known, by_place, kept)

    def paths(self, side: Side, prefix: str = "") -> List[str]:
        """Return the paths of *side* at and below *prefix* that anything is known of."""
        return sorted(path for at, path in self.events if at is side and is_within(path, prefix))

    def held(self, side: Side, path: str, run: int) -> Optional[Held]:
        """Return what *side* held at *path* after the run numbered *run*; None where nothing is known of it."""
        events = self.events.get((side, path), [])
        cut = bisect_right([event.run for event in events], run)
        past, future = events[:cut], events[cut:]
        if past and past[-1].in_journal:
            last = past[-1]
            return self._version((side, path), last.kind, last.after, run)
        if not future:
            return None
        first = future[0]
        if not first.is_sight:
            return self._version((side, path), first.kind_before or Kind.FILE, first.before, run)
        # The other side was brought in line with what was seen here, so it shows what both held until then.
        return self._before(first.equals[0] if first.equals is not None else (side.other, path), run)

    def stands(self, place: Place, stamp: Optional[Stamp], run: int) -> bool:
        """Say whether the version that stood at *place* after *run* stands there now, for certain.

        It may be gone and back: a copy of where it was kept is that version too.
        """
        entry = self.standing.get(place)
        if entry is None or stamp is None:
            return False
        if same(stamp, entry.stamp):
            return True
        writer = next((event for event in reversed(self.events.get(place, ())) if not event.is_sight), None)
        if writer is None or writer.equals is None or not same(writer.after, entry.stamp):
            return False
        found = self.found(place, stamp, run)
        return found is not None and found[0] == writer.equals[0]

    def found(self, place: Place, stamp: Stamp, run: int) -> Optional[Tuple[Place, Entry]]:
        """Return where the version *stamp*, which stood at *place* after *run*, is to be had now, and a look at it."""
        return self._found(place, stamp, run, set())

    def _before(self, place: Place, run: int) -> Optional[Held]:
        first = next((event for event in self.events.get(place, ()) if event.run > run), None)
        if first is None or first.is_sight:
            return None
        return self._version(place, first.kind_before or Kind.FILE, first.before, run)

    def _version(self, place: Place, kind: Kind, stamp: Optional[Stamp], run: int) -> Held:
        if stamp is None:
            return Held(kind)
        if kind is Kind.DIRECTORY:
            return Held(kind, stamp)
        kept = self.found(place, stamp, run)
        lost_in = None if kept is not None else self._end(place, run)
        return Held(kind, stamp, kept, lost_in)

    def _end(self, place: Place, run: int) -> Optional[int]:
        return next((each.run for each in self.events.get(place, ()) if each.run > run and not each.is_sight), None)

    def _found(
        self, place: Place, stamp: Stamp, run: int, tried: set[Tuple[Place, Stamp]]
    ) -> Optional[Tuple[Place, Entry]]:
        if (place, stamp) in tried:
            return None
        tried.add((place, stamp))
        return self._found_here(place, stamp, run, tried) or self._found_elsewhere(place, stamp, tried)

    def _found_here(
        self, place: Place, stamp: Stamp, run: int, tried: set[Tuple[Place, Stamp]]
    ) -> Optional[Tuple[Place, Entry]]:
        side = place[0]
        later = [event for event in self.events.get(place, ()) if event.run > run and not event.is_sight]
        if not later:
            entry = self.standing.get(place)
            return (place, entry) if entry is not None and same(entry.stamp, stamp) else None
        ended = later[0]
        if ended.before is not None and not same(ended.before, stamp):
            return None  # somebody else replaced it before that run came
        if ended.kept_at is not None:
            kept = self.retained.get((side, ended.kept_at))
            return None if kept is None else ((side, kept.place), kept.entry)
        if ended.moved_to is None:
            return None
        arrived = next(
            (each for each in self.events.get((side, ended.moved_to), ()) if each.run == ended.run and each.after), None
        )
        if arrived is None or arrived.after is None:
            return None
        return self._found((side, ended.moved_to), arrived.after, ended.run, tried)

    def _found_elsewhere(
        self, place: Place, stamp: Stamp, tried: set[Tuple[Place, Stamp]]
    ) -> Optional[Tuple[Place, Entry]]:
        for event in self.events.get(place, ()):
            if event.equals is None or event.after is None or not same(event.after, stamp):
                continue
            other, version = event.equals
            kept = self.retained.get(other)
            if kept is not None:
                return other, kept.entry
            found = self._found(other, version, event.run, tried)
            if found is not None:
                return found
        return None

    # ---------------------------------------------------------------- versions

    def versions(self, side: Side, path: str, when: Mapping[str, datetime]) -> List[Version]:
        """Return the versions of one path of one side, the current one first, then the newest."""
        events = [event for event in self.events.get((side, path), ()) if not event.is_sight]
        found = [self._ended(event, events, when) for event in reversed(events) if _ended_a_version(event)]
        standing = self.standing.get((side, path))
        if standing is not None and standing.kind is not Kind.DIRECTORY:
            writer = self._writer(standing.stamp, events)
            found.insert(0, Version(path, side, standing.stamp, standing.kind, current=True, written_by=writer))
        return _numbered(found)

    def _ended(self, event: Event, events: List[Event], when: Mapping[str, datetime]) -> Version:
        kept = self.retained.get((event.side, event.kept_at)) if event.kept_at is not None else None
        stamp = event.before if event.before is not None else Stamp()
        run_id = self.runs[event.run]
        earlier = [each for each in events if each.run < event.run]
        return Version(
            event.path,
            event.side,
            stamp,
            event.kind_before or event.kind,
            run_id=run_id,
            replaced_at=when.get(run_id),
            replaced_by=event.action if event.in_journal else None,
            written_by=self._writer(stamp, earlier),
            kept_at=None if kept is None else kept.place,
            digest=next((each.digest for each in earlier if each.digest and same(each.after, stamp)), None),
        )

    def _writer(self, stamp: Stamp, events: List[Event]) -> Optional[str]:
        return next((self.runs[each.run] for each in reversed(events) if same(each.after, stamp)), None)


def same(first: Optional[Stamp], second: Optional[Stamp]) -> bool:
    """Say whether two stamps of one side name one version for certain."""
    return first is not None and second is not None and first.same_version(second) is True


def _ended_a_version(event: Event) -> bool:
    return event.kind_before is not Kind.DIRECTORY and (event.before is not None or event.kept_at is not None)


def _only_in_trash(
    runs: Tuple[str, ...], kept: Mapping[Place, Retained], told: set[Tuple[Side, Optional[str]]]
) -> Iterator[Event]:
    number = {run_id: position for position, run_id in enumerate(runs)}
    for each in sorted(kept.values(), key=lambda item: (item.run_id, item.copy)):
        if each.path is None or (each.side, each.place) in told:
            continue
        yield Event(
            number[each.run_id],
            each.side,
            each.path,
            Action.UPDATE,
            each.entry.kind,
            each.entry.kind,
            before=each.entry.stamp,
            kept_at=each.place,
            in_journal=False,
        )


def _numbered(versions: List[Version]) -> List[Version]:
    from attrs import evolve

    numbered: List[Version] = []
    number = 0
    for version in versions:
        number += version.kept_at is not None
        numbered.append(evolve(version, number=number) if version.kept_at is not None else version)
    return numbered
