"""What can be done with retained versions: look at them, bring them back, undo a run, prune the trash.

Here the journals are read, the trash is listed and the sides are looked at; what follows from it is decided in
``core/versions.py``, ``core/bringing_back.py``, ``core/undoing.py`` and ``core/pruning.py``. Everything but looking
ends in a plan, which is reviewed, saved and applied like any other.

A run's journal says most: which versions it replaced, and what stood there before. Journals lie with the state of this
machine, also where the state itself is at a URL. Without them (``state=None``, another machine, a run longer ago than
the journals are kept) the trash still tells which version of which path a run replaced, but not what was new.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Union

from attrs import asdict

from ..core.entry import Side
from ..core.modes import choice
from ..core.plan import Plan
from ..core.pruning import Keep
from ..core.report import Report
from ..engine import SyncEngine, engine_of, planned
from ..errors import RecipeError
from ..signatures import taking
from .looking import History, history_of
from .pruning import prune_of
from .restoring import Ask, Restoring
from .undoing import undo_of

__all__ = [
    "Ask",
    "History",
    "Restoring",
    "history",
    "history_of",
    "keeping",
    "prune",
    "prune_of",
    "restore",
    "undo",
    "undo_of",
]


@taking(SyncEngine)
def history(source: Any, destination: Any, path: Optional[str] = None, **arguments: Any) -> History:
    """Return the runs of a pair, and with *path* the versions of that file, or of every file below that folder.

    A version says when and by which run it was replaced, its size and time, and where it is kept. The other arguments
    are those of :class:`SyncEngine`. Raises RecipeError for a path that cannot be one.
    """
    with engine_of(source, destination, arguments) as engine:
        return history_of(engine, path)


@taking(SyncEngine)
def restore(
    source: Any,
    destination: Any,
    path: Optional[str] = None,
    *,
    run: Optional[str] = None,
    at: Any = None,
    version: Optional[int] = None,
    side: Union[Side, str] = Side.DESTINATION,
    to: Any = None,
    delete: bool = False,
    **arguments: Any,
) -> Plan:
    """Return the plan that brings retained versions back to *side*, or into the folder *to*; writes nothing.

    *path* is a file, or a folder with everything below it; None is the whole tree. *version* counts the kept versions
    of one file, the newest is 1 (the default where only a path is given). *run* is the id of a run: the tree as it was
    when that run had ended. *at* is a time, or how long ago (``"7d"``): the tree after the last run begun by then.
    *delete* also deletes what was not there then. What is replaced or deleted is retained, and a version that nobody
    kept is a problem of the plan.

    In place it is an edit of that side: a two-way sync carries it to the other one.
    """
    ask = Ask(path, run, at, version, choice(Side, side, "side"), to, delete).checked()
    return planned(engine_of(source, destination, arguments), lambda engine: Restoring(engine, ask).plan())


@taking(SyncEngine)
def undo(run: Union[str, Report], source: Any = None, destination: Any = None, **arguments: Any) -> Plan:
    """Return the inverse plan of *run*, the id of a run of the pair, or its report; writes nothing.

    Only what still stands as the run left it is undone; the rest are problems of the plan, each with its reason. What
    the undoing replaces or deletes is retained, so an undoing can be undone too. The sides then differ again, and what
    was agreed there is forgotten: the next two-way sync compares anew and deletes nothing because of it.
    """
    if isinstance(run, Report):
        source = run.plan.source.url if source is None else source
        destination = run.plan.destination.url if destination is None else destination
        if run.plan.settings.trash is not None:
            arguments.setdefault("trash", run.plan.settings.trash)
    elif not isinstance(run, str):
        raise RecipeError(
            f"a run is named by its id, or given as its report (Report.load(path) reads a saved one), not as {run!r}"
        )
    elif source is None or destination is None:
        raise RecipeError("a run is named with its two places: undo(run, source, destination)")
    return planned(engine_of(source, destination, arguments), lambda engine: undo_of(engine, run))


def keeping(said: Mapping[str, Optional[int]], otherwise: Optional[Keep]) -> Keep:
    """Return the rules that were said, or else the pair's own; raises RecipeError where there are none at all."""
    if otherwise is not None and not any(said.values()):
        return otherwise
    return Keep.of(said)


@taking(SyncEngine)
def prune(
    source: Any,
    destination: Any,
    *,
    side: Union[Side, str, None] = None,
    keep_last: Optional[int] = None,
    keep_days: Optional[int] = None,
    keep_daily: Optional[int] = None,
    keep_weekly: Optional[int] = None,
    keep_monthly: Optional[int] = None,
    **arguments: Any,
) -> Plan:
    """Return the plan that deletes retained versions which no rule keeps; writes nothing.

    Rules count for each path by itself, and a version that any rule keeps stays. *keep_last* keeps so many versions,
    *keep_days* those replaced in the last so many days, *keep_daily*, *keep_weekly* and *keep_monthly* the newest of
    each of the last so many days, weeks and months that have one. Where no rule is given, those of the argument
    ``prune`` hold. Only the trash is touched; what lies there and is no version is left alone and named.
    """
    said = Keep(keep_last, keep_days, keep_daily, keep_weekly, keep_monthly)
    at = None if side is None else choice(Side, side, "side")

    def make(engine: SyncEngine) -> Plan:
        return prune_of(engine, keeping(asdict(said), engine.prune), at)

    return planned(engine_of(source, destination, arguments), make)
