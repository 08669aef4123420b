"""Why is this file (not) synced? The answer is derived anew, from both sides, the state, the filters and the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, List, Optional

from attrs import evolve

from .core.entry import Base, Entry, Kind, Side
from .core.merge import Views
from .core.paths import name_refusal, parents, path_text, refusal, shown, without_empty_parts
from .core.reconcile import Policy, reconcile
from .core.views import view
from .errors import RecipeError
from .stages.job import Changed, Job
from .stages.scan import reader

if TYPE_CHECKING:
    from .engine import SyncEngine


def explained(engine: SyncEngine, path: str) -> str:
    """Return one sentence on a line for everything that is known about *path*."""
    key = path_text(path).strip("/")
    reason = refusal(key)
    job = engine.job()
    if reason is not None and not _may_stand(job, key):
        raise RecipeError(f"the path {reason}: {shown(key)!r}")
    if reason is not None:
        return "\n".join(_odd(job, key, reason))
    job = evolve(job, settings=evolve(job.settings, scope=(key,)))
    entries = {side: job.clients[side].stat(_spelled(job, key, side)) for side in Side}
    base = job.state.row(key) if job.state is not None else None
    # Rules of ignore files are known once both sides were read, so the filters are asked afterwards.
    changed = [item for item in engine.pipeline(job, until="diff").changes if item.path == key]
    lines = [shown(key)]
    lines += [f"  {side.value}: {_seen(entries[side])}" for side in Side]
    lines.append(f"  last agreed: {_remembered(base)}")
    lines += [
        f"  filter: {sentence}" for sentence in _filters(job, key, entries[Side.SOURCE], entries[Side.DESTINATION])
    ]
    lines += [f"  {sentence}" for item in changed for sentence in _decided(engine, job, item)]
    plan = engine.pipeline(job, until="plan").plan
    if plan is not None:
        lines += [f"  plan: {line}" for line in plan.itemize(len(plan.blockers) + len(plan.conflicts) + len(plan))]
        lines += [f"  problem: {problem.message}" for problem in plan.problems]
        if not plan.operations and not plan.conflicts:
            lines.append("  plan: nothing to do")
    return "\n".join(lines)


def _may_stand(job: Job, name: str) -> bool:
    """Say whether a side may hold a name that can be no key: a bucket holds any, a folder no empty or dotted part."""
    if not name or name_refusal(name) is not None:
        return False
    is_plain = all(part not in ("", ".", "..") for part in name.split("/"))
    return is_plain or not all(client.capabilities.real_directories for client in job.clients.values())


def _odd(job: Job, name: str, reason: str) -> Iterator[str]:
    """Yield what is to be said of a name that can be no key: a bucket may hold it, and no sync touches it."""
    path = without_empty_parts(name)
    if job.filter is not None:
        job.filter.follow(job.path_map)
        inside = [place for place in parents(path) if refusal(place) is None][-1:]
        for side in Side:
            # The ignore files down to the last folder that can be one; the rest of the name does not matter.
            job.filter.load(side, "/".join([*inside, "*"]), reader(job.clients[side]))
    yield shown(name)
    yield f"  name: {reason}, so nothing is done there; where it is met it is a problem, unless it is excluded"
    yield from (f"  filter: {sentence}" for sentence in _filters(job, path))
    yield "  plan: nothing to do"


def _spelled(job: Job, key: str, side: Side) -> str:
    if side is Side.DESTINATION or not job.path_map:
        return key
    return job.path_map.backward(key) or key


def _seen(entry: Optional[Entry]) -> str:
    if entry is None:
        return "absent"
    if entry.kind is Kind.DIRECTORY:
        return "a directory"
    return f"a {entry.kind.value}, {view('stamp_text')(entry.stamp)}"


def _remembered(base: Optional[Base]) -> str:
    if base is None:
        return "never"
    notes: List[str] = [view("stamp_text")(base.source)]
    if not base.live:
        notes.append("dormant: absence proves nothing")
    if base.weak:
        notes.append("weak: found equal without looking at content")
    return f"in generation {base.generation}, {'; '.join(notes)}"


def _filters(job: Job, key: str, *entries: Optional[Entry]) -> Iterator[str]:
    entry = next((entry for entry in entries if entry is not None), None)
    kind = entry.kind if entry is not None else Kind.FILE
    said = job.filter.explain(key, kind, entry) if job.filter is not None else ()
    yield from said or ("no rule speaks about it",)


def _decided(engine: SyncEngine, job: Job, changed: Changed) -> Iterator[str]:
    if isinstance(changed, Views):
        hidden = changed.region is not None and changed.region.excluded
        yield "it is excluded on both sides" if hidden else "one side could not be seen there, so neither is touched"
        return
    comparison = changed.comparison
    yield f"since then: source {comparison.source.value}, destination {comparison.destination.value}"
    if changed.source is not None and changed.destination is not None:
        yield f"content: {comparison.equality.value}"
    if not changed.clash:
        policy = Policy(engine.mode, engine.retain, engine.initial, engine.only_if, engine.force)
        decision = reconcile(changed, policy)
        kept = ", the lost version is kept" if decision.retain else ""
        yield f"rule {decision.row} of mode {engine.mode.value}: {decision.effect.value}{kept}"
