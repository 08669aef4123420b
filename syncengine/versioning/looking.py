"""History: the runs of a pair, and the versions of a path."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Tuple

from attrs import evolve, frozen

from ..core.entry import Side
from ..core.paths import is_kept, is_within
from ..core.units import counted
from ..core.versions import Version
from ..core.views import Tabular, view
from ..engine import SyncEngine
from ..state.records import Run
from .archive import archive_of, key_of, moment_of


@frozen(repr=False)
class History(Tabular):
    """What is remembered of a pair: its runs, the newest first, and the versions of the path that was asked for."""

    runs: Tuple[Run, ...]
    path: Optional[str] = None
    versions: Tuple[Version, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.runs if self.path is None else self.versions)

    def __len__(self) -> int:
        return len(self.runs if self.path is None else self.versions)

    def __repr__(self) -> str:
        said = counted(len(self.runs), "run")
        also = "" if self.path is None else f", {counted(len(self.versions), 'version')}"
        return f"<History: {said}{also}>"

    def __str__(self) -> str:
        text: str = view("history_text")(self)
        return text

    def _repr_html_(self) -> str:
        page: str = view("history_html")(self)
        return page

    def to_records(self) -> List[Dict[str, Any]]:
        """Return one flat dictionary for each version; for each run where no path was asked for."""
        records: List[Dict[str, Any]] = view("history_records")(self)
        return records


def history_of(engine: SyncEngine, path: Optional[str] = None) -> History:
    """Return the runs of the engine's pair, and with *path* the versions of that file, or of all files below it."""
    archive = archive_of(engine)
    if path is None:
        return History(archive.runs)
    key = key_of(path)
    evidence = archive.evidence(lambda place: is_within(place[1], key))
    evidence = evolve(evidence, standing={**evidence.standing, **archive.look((side, key) for side in Side)})
    when = {run_id: archive.when.get(run_id, moment_of(run_id)) for run_id in evidence.runs}
    places = {place for place in evidence.events if is_within(place[1], key) and not is_kept(place[1])}
    places |= {place for place in evidence.standing if place[1] == key}
    found = (evidence.versions(side, at, when) for side, at in sorted(places, key=lambda place: (place[1], place[0])))
    return History(archive.runs, key, tuple(version for versions in found for version in versions))
