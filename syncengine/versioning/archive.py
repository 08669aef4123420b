"""The versions of one pair as its journals, its trash and its sides show them: read here, decided nowhere here."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from attrs import define, evolve, field, frozen

from ..core.entry import Entry, Kind, Problem, ProblemKind, Side
from ..core.journal_events import Event, Place, events_of
from ..core.modes import SyncMode
from ..core.paths import TRASH_FOLDER, is_kept, path_text, refusal, shown
from ..core.report import Outcome, Report
from ..core.units import counted
from ..core.versions import Evidence, Retained
from ..errors import NotFound, RecipeError
from ..serial import outcome_from_record
from ..stages.job import Job
from ..stages.preflight import seen_at
from ..state.records import Run
from ..state.trash import Kept, parse
from ..storage.protocol import StorageClientProtocol

if TYPE_CHECKING:
    from ..engine import SyncEngine


@frozen
class Past:
    """One run of the journals: ``swapped`` where today's source was its destination."""

    run_id: str
    started_at: datetime
    swapped: bool
    lines: Tuple[Mapping[str, Any], ...] = ()
    reported: Optional[Tuple[Outcome, ...]] = None
    """The outcomes of a report, where one was given instead of a journal."""

    @property
    def is_sync(self) -> bool:
        """Whether the journal says that a sync was begun, and no versions were brought back or pruned."""
        return bool(self.lines) and self.lines[0].get("mode") in {mode.value for mode in SyncMode}

    @property
    def has_ended(self) -> bool:
        """Whether all that the run did is on record: a report says so, and the last line of a journal."""
        return self.reported is not None or any(line["event"] == "finished" for line in self.lines)

    @property
    def outcomes(self) -> Iterator[Outcome]:
        """The outcomes, sides named as today."""
        yield from self.reported or ()
        for line in self.lines:
            if "operation" in line:
                outcome = outcome_from_record({name: value for name, value in line.items() if name != "event"})
                yield _turned(outcome) if self.swapped else outcome

    @property
    def agreements(self) -> Iterator[Event]:
        """What both sides were found to hold alike, as sights; the run's number is filled in by the caller."""
        for line in self.lines:
            if line["event"] == "agreement":
                yield from _sights(line)


def _turned(outcome: Outcome) -> Outcome:
    operation = outcome.operation
    origin = None if operation.origin is None else (operation.origin[0].other, operation.origin[1])
    return evolve(outcome, operation=evolve(operation, target=operation.target.other, origin=origin))


def _sights(line: Mapping[str, Any]) -> Iterator[Event]:
    from ..core.plan_parts import Agreement
    from ..serial_values import value_reader

    agreement: Agreement = value_reader().quick(Agreement)(
        {name: item for name, item in line.items() if name != "event"}, Agreement
    )
    row = agreement.row
    for side in Side:
        stamp = None if row is None else row.stamp(side)
        yield Event(0, side, agreement.path, None, agreement.entry_kind, agreement.entry_kind, stamp, stamp)


@define(eq=False, slots=False)
class Archive:
    """The versions of one pair, as its journals, its trash and its sides show them."""

    job: Job
    runs: Tuple[Run, ...] = field(factory=tuple, init=False)
    pasts: Tuple[Past, ...] = field(factory=tuple, init=False)
    foreign: List[Problem] = field(factory=list, init=False)
    in_trash: Dict[Side, List[str]] = field(factory=dict, init=False)
    """Everything that lies in the trash, by the side whose it is; with one trash for both it is named twice."""

    def __attrs_post_init__(self) -> None:
        """Read which runs there were."""
        state = self.job.state
        if state is None or not state.exists:
            return
        self.runs = tuple(state.runs())
        found = (self._past(run_id) for run_id in state.journal.runs())
        self.pasts = tuple(sorted(found, key=lambda past: past.started_at))

    def _past(self, run_id: str) -> Past:
        assert self.job.state is not None
        lines = tuple(self.job.state.journal.read(run_id))
        first = lines[0] if lines else {}
        started = first.get("started_at")
        source = first.get("source")
        return Past(
            run_id,
            moment_of(run_id) if started is None else datetime.fromisoformat(started),
            source is not None and source != self.job.endpoints[Side.SOURCE].identity,
            lines,
        )

    def learn(self, report: Report) -> None:
        """Take the report of a run of which there is no journal here."""
        if all(past.run_id != report.run_id for past in self.pasts):
            started = datetime.fromisoformat(report.started_at.replace("Z", "+00:00"))
            swapped = report.plan.source.identity != self.job.endpoints[Side.SOURCE].identity
            outcomes = tuple(map(_turned, report.outcomes)) if swapped else report.outcomes
            pasts = (*self.pasts, Past(report.run_id, started, swapped, reported=outcomes))
            self.pasts = tuple(sorted(pasts, key=lambda past: past.started_at))

    # ------------------------------------------------------------------ trash

    @property
    def last_trash(self) -> Optional[str]:
        """Where the last run of the pair kept versions, None for below the roots."""
        named = (past.lines[0].get("trash") for past in reversed(self.pasts) if past.is_sync)
        return next(named, None)

    def trash(self, side: Side) -> StorageClientProtocol:
        """Return the client of the place where versions of *side* are kept."""
        return self.job.clients[side] if self.job.trash is None else self.job.trash

    def retained(self) -> Iterator[Retained]:
        """Yield every version in the trash of either side, and note what lies there besides."""
        if self.job.trash is not None:
            yield from self._retained_elsewhere()
            return
        for side in Side:
            for entry in self._listed(side):
                kept = parse(entry.path)
                if kept is not None:
                    yield Retained(side, entry.path, kept.run_id, kept.path, entry, kept.copy)
                else:
                    self._note_foreign(side, entry.path, "no version that a run kept; it is left alone")

    def _retained_elsewhere(self) -> Iterator[Retained]:
        """Yield the versions of this pair in a trash that may be shared: those of runs it remembers."""
        known = {run.run_id for run in self.runs} | {past.run_id for past in self.pasts}
        swapped = {past.run_id for past in self.pasts if past.swapped}
        others = 0
        for entry in self._listed(Side.DESTINATION):
            kept = parse(entry.path)
            found = None if kept is None else self._parted(entry.path, kept, swapped)
            if kept is None:
                self._note_foreign(Side.DESTINATION, entry.path, "no version that a run kept; it is left alone")
            elif kept.run_id not in known or found is None:
                others += 1
            else:
                yield Retained(found[0], entry.path, kept.run_id, found[1], entry, kept.copy)
        if others:
            said = f"{counted(others, 'version')} of runs that this pair does not remember: left alone"
            self._note_foreign(Side.DESTINATION, TRASH_FOLDER, said)

    def _parted(self, place: str, kept: Kept, swapped: Set[str]) -> Optional[Tuple[Side, Optional[str]]]:
        """Return the side and the path of a version in a common trash; a name too long for it tells neither."""
        if kept.path is None:
            owner = self._owners.get(place)
            return None if owner is None else (owner, None)
        name, _, path = kept.path.partition("/")
        if name not in (side.value for side in Side) or not path:
            return None
        side = Side(name)
        return (side.other if kept.run_id in swapped else side), path

    def _listed(self, side: Side) -> Iterator[Entry]:
        client = self.trash(side)
        found: List[str] = self.in_trash.setdefault(side, [])
        try:
            for item in client.list(TRASH_FOLDER):
                found.append(item.path)
                if isinstance(item, Problem):
                    self.foreign.append(evolve(item, stage="trash", side=side))
                elif item.kind is not Kind.DIRECTORY:
                    yield item
        except NotFound:
            return

    def _note_foreign(self, side: Side, path: str, why: str) -> None:
        self.foreign.append(Problem(ProblemKind.UNSUPPORTED, path, f"{shown(path)}: {why}", "trash", side))

    @cached_property
    def _owners(self) -> Dict[str, Side]:
        """The side of every version, by its place in a trash that both sides have in common."""
        outcomes = (outcome for past in self.pasts for outcome in past.outcomes)
        return {each.retained_at: each.operation.target for each in outcomes if each.retained_at is not None}

    # --------------------------------------------------------------- evidence

    def evidence(self, about: Callable[[Place], bool]) -> Evidence:
        """Return everything that is known of versions; looked at are the places it is *about*, and their equals."""
        kept = list(self.retained())
        moments = {past.run_id: past.started_at for past in self.pasts}
        moments.update({each.run_id: moment_of(each.run_id) for each in kept if each.run_id not in moments})
        order = sorted(moments, key=lambda run_id: (moments[run_id], run_id))
        number = {run_id: position for position, run_id in enumerate(order)}
        found = Evidence.of(order, self._events(number), kept)
        return evolve(found, standing=self._standing(found, about))

    def _events(self, number: Mapping[str, int]) -> Iterator[Event]:
        for past in self.pasts:
            run = number[past.run_id]
            yield from (evolve(event, run=run) for event in past.agreements)
            for outcome in past.outcomes:
                yield from events_of(run, outcome)

    def _standing(self, evidence: Evidence, about: Callable[[Place], bool]) -> Dict[Place, Entry]:
        wanted = {place for place in evidence.events if about(place)}
        linked = wanted
        while linked:
            linked = {place for each in linked for place in _linked(evidence, each)} - wanted
            wanted |= linked
        return self.look(wanted)

    def look(self, places: Iterable[Place]) -> Dict[Place, Entry]:
        """Return what stands at *places*, trash included, freshly."""
        found: Dict[Place, Entry] = {}
        asked = set(places)
        for side in Side:
            seen = seen_at(self.job.clients[side], {path for at, path in asked if at is side}, trash=self.job.trash)
            found.update({(side, path): entry for path, entry in seen.items() if entry is not None})
        return found

    @property
    def when(self) -> Dict[str, datetime]:
        """When each run began."""
        found = {past.run_id: past.started_at for past in self.pasts}
        found.update({run.run_id: run.started_at for run in self.runs if run.run_id not in found})
        return found


def archive_of(engine: SyncEngine) -> Archive:
    """Return the archive of the engine's pair; where no trash is named, it is the one that the last run named."""
    found = Archive(engine.job())
    place = found.last_trash
    if engine.trash is not None or place is None:
        return found
    engine.trash = place
    return Archive(engine.job())


def _linked(evidence: Evidence, place: Place) -> Iterator[Place]:
    for event in evidence.events.get(place, ()):
        if event.equals is not None and not is_kept(event.equals[0][1]):
            yield event.equals[0]
        if event.moved_to is not None:
            yield event.side, event.moved_to


def moment_of(run_id: str) -> datetime:
    """Return when a run began, as its name says."""
    return datetime.strptime(run_id.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)


def key_of(path: str) -> str:
    """Return the key of a path that somebody gave; raises RecipeError for what can be none."""
    key = path_text(path).strip("/")
    reason = refusal(key)
    if reason is not None:
        raise RecipeError(f"a path below the roots is expected, and {shown(path_text(path))!r} {reason}")
    return key


def unknown_run(run_id: str, known: Sequence[str]) -> str:
    """Return what to say of a run that nothing is known of."""
    from difflib import get_close_matches

    near = get_close_matches(run_id, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no journal of a run {run_id!r} on this machine, and no version it replaced{hint}"
