"""Restore: which content was where, at a run, at a time, or as a version of a file."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Dict, Iterator, List, Optional, Sequence

from attrs import define, evolve, field, frozen

from ..core.bringing_back import Wanted, problem
from ..core.entry import Entry, Kind, Problem, ProblemKind, Side
from ..core.paths import is_kept, is_within, shown
from ..core.plan import Plan
from ..core.plan_parts import Purpose
from ..core.units import counted, flag, moment_ns, whole
from ..core.versions import Evidence, Held
from ..engine import SyncEngine
from ..errors import NotFound, RecipeError
from .archive import Archive, archive_of, key_of, moment_of, unknown_run
from .making import Making

_SECOND_NS = 1_000_000_000


@frozen
class Ask:
    """What is to be restored: a path and what lies below it, and as of when.

    Exactly one of ``run`` (as it was when that run had ended), ``at`` (after the last run that had begun by then) and
    ``version`` (the newest kept one is 1). ``delete`` also removes what was not there then, and retains it.
    """

    path: Optional[str] = None
    run: Optional[str] = None
    at: Any = None
    version: Optional[int] = None
    side: Side = Side.DESTINATION
    to: Any = None
    delete: bool = False

    def checked(self) -> Ask:
        """Return what is asked, with its default; raises RecipeError for what does not fit together."""
        said = [name for name in ("run", "at", "version") if getattr(self, name) is not None]
        if len(said) > 1:
            raise RecipeError(f"{' and '.join(said)} cannot be given together: each says which version is meant")
        if self.path is None and self.version is not None:
            raise RecipeError("a version is one of a file: give its path, or say run or at for the whole tree")
        if self.path is None and not said:
            raise RecipeError("say what to restore: a path, or run or at for the whole tree")
        if self.run is not None and not isinstance(self.run, str):
            raise RecipeError(f"run is the id of a run, as history shows it, not {self.run!r}")
        if self.version is not None:
            whole(self.version, "version", least=1)
        if flag(self.delete, "delete") and self.to is not None:
            raise RecipeError("delete is for restoring in place; in another folder nothing is deleted")
        key = None if self.path is None else key_of(self.path)
        return evolve(self, path=key, version=self.version if said else 1)


@define(eq=False)
class Restoring:
    """Finds the content that was asked for and makes the plan that brings it back."""

    engine: SyncEngine
    ask: Ask
    archive: Archive = field(init=False)
    evidence: Evidence = field(init=False)
    problems: List[Problem] = field(factory=list, init=False)

    def plan(self) -> Plan:
        """Return the plan."""
        if self.engine.path_map and self.ask.side is Side.SOURCE:
            raise RecipeError("versions of the source cannot be restored under a path_map; restore the destination")
        self.archive = archive_of(self.engine)
        prefix = self.ask.path or ""
        self.evidence = self.archive.evidence(lambda place: is_within(place[1], prefix))
        wanted = self._wanted()
        making = Making(self.engine, self.archive, Purpose.RESTORE, self._label())
        if self.ask.to is not None:
            return making.elsewhere(self.ask.side, self.ask.to, wanted, self.problems)
        return making.plan({self.ask.side: wanted}, problems=self.problems)

    def _label(self) -> str:
        ask = self.ask
        return str(ask.run or ask.at or f"version {ask.version}")

    def _wanted(self) -> Dict[str, Optional[Wanted]]:
        if self.ask.version is not None:
            assert self.ask.path is not None
            return {self.ask.path: self._version(self.ask.path, self.ask.version)}
        cut = self._cut()
        wanted = self._as_of(cut)
        if cut < 0 and not self.ask.delete and not wanted and not self.problems:
            raise RecipeError(f"nothing was there before the first run on record{self._first_run()}")
        return wanted

    def _first_run(self) -> str:
        runs = self.evidence.runs
        return f", {runs[0]} of {moment_of(runs[0]):%Y-%m-%dT%H:%M:%SZ}" if runs else ""

    def _as_of(self, cut: int) -> Dict[str, Optional[Wanted]]:
        """Return what stood after the run of that number; -1 is before the first, as far as later ones saw it."""
        wanted: Dict[str, Optional[Wanted]] = {}
        for path in self._paths():
            held = self.evidence.held(self.ask.side, path, cut)
            if held is not None:
                self._want(wanted, path, held, cut)
            elif self.ask.to is not None:
                self._want_standing(wanted, path)
        return wanted

    def _paths(self) -> Sequence[str]:
        prefix = self.ask.path or ""
        known = [path for path in self.evidence.paths(self.ask.side, prefix) if not is_kept(path)]
        if self.ask.to is None:
            return known
        standing = {item.path: item for item in self._listing(prefix)}
        self.evidence = evolve(
            self.evidence,
            standing={**self.evidence.standing, **{(self.ask.side, path): item for path, item in standing.items()}},
        )
        return sorted({*known, *standing})

    def _listing(self, prefix: str) -> Iterator[Entry]:
        """Yield the files that stand now at and below *prefix*: what no run has touched was there before too."""
        client = self.archive.job.clients[self.ask.side]
        found = client.stat(prefix)
        if found is not None and found.kind is not Kind.DIRECTORY:
            yield found
            return
        with suppress(NotFound):
            for item in client.list(prefix):
                if isinstance(item, Problem):
                    self.problems.append(evolve(item, stage=Purpose.RESTORE.value, side=self.ask.side))
                elif item.kind is not Kind.DIRECTORY:
                    yield item

    def _want_standing(self, wanted: Dict[str, Optional[Wanted]], path: str) -> None:
        place = (self.ask.side, path)
        entry = self.evidence.standing.get(place)
        if entry is not None and entry.kind is not Kind.DIRECTORY:
            wanted[path] = Wanted(entry.kind, place, entry)

    def _want(self, wanted: Dict[str, Optional[Wanted]], path: str, held: Held, cut: int) -> None:
        standing = self.evidence.standing.get((self.ask.side, path))
        if held.absent:
            if self.ask.delete and standing is not None and _alike(standing.kind, held.kind):
                wanted[path] = None
        elif held.kind is Kind.DIRECTORY:
            wanted[path] = Wanted(Kind.DIRECTORY)
        elif self.ask.to is None and self.evidence.stands((self.ask.side, path), held.stamp, cut):
            return
        elif held.kept is None:
            lost = "" if held.lost_in is None else f", and run {self.evidence.runs[held.lost_in]} replaced it"
            self._miss(path, f"nobody kept the version that stood there{lost}")
        else:
            wanted[path] = Wanted(held.kind, *held.kept)

    def _version(self, path: str, number: int) -> Wanted:
        versions = self.evidence.versions(self.ask.side, path, self.archive.when)
        found = next((version for version in versions if version.number == number), None)
        if found is None or found.kept_at is None:
            self._refuse_version(path, sum(version.kept_at is not None for version in versions))
        assert found is not None
        assert found.kept_at is not None
        kept = self.evidence.retained[self.ask.side, found.kept_at]
        return Wanted(kept.entry.kind, (self.ask.side, kept.place), kept.entry)

    def _refuse_version(self, path: str, number: int) -> None:
        where = f"{shown(path)} at the {self.ask.side.value}"
        if number:
            raise RecipeError(f"there is no version {self.ask.version} of {where}; {counted(number, 'is', 'are')} kept")
        below = [each for each in self.evidence.paths(self.ask.side, path) if each != path]
        hint = " It is a folder, or was one: say run or at." if below else ""
        raise RecipeError(f"no version of {where} is kept.{hint} `syncengine history` shows what there is")

    def _miss(self, path: str, why: str) -> None:
        self.problems.append(problem(ProblemKind.MISSING, path, why, Purpose.RESTORE, self.ask.side))

    def _cut(self) -> int:
        """Return the number of the last run that counts."""
        runs = self.evidence.runs
        if self.ask.run is not None:
            if self.ask.run in runs:
                return runs.index(self.ask.run)
            raise RecipeError(unknown_run(self.ask.run, runs))
        moment = moment_ns(self.ask.at, now=self.archive.job.now, name="at")
        if moment % _SECOND_NS == 0:
            moment += _SECOND_NS - 1  # a time of whole seconds, such as history shows, is all of that second
        when = {run_id: self.archive.when.get(run_id, moment_of(run_id)) for run_id in runs}
        begun = [number for number, run_id in enumerate(runs) if moment_ns(when[run_id], now=None) <= moment]
        return begun[-1] if begun else -1


def _alike(first: Kind, second: Kind) -> bool:
    """Say whether both are directories, or neither is: that a file was gone says nothing of a directory there."""
    return (first is Kind.DIRECTORY) is (second is Kind.DIRECTORY)
