"""Preflight: is a saved plan still true? One look at everything it touches, before anything is written.

It joins the plan with one fresh listing per side where many paths are touched, and looks at single paths where that is
fewer requests. It saves a reviewer from a half-applied plan; the guarantee is the check right before each write.
"""

from __future__ import annotations

from functools import partial
from posixpath import commonpath
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from attrs import field, frozen

from ..core.entry import Entry, Kind, Problem, ProblemKind, Side, Stamp
from ..core.paths import is_kept, parent, shown
from ..core.plan_parts import Operation
from ..core.report import Outcome, Status
from ..errors import ScanError, StalePlanError, StorageError
from ..storage.protocol import StorageClientProtocol, expecting
from .directory_moves import directory_difference
from .job import Job
from .scan import problem_of

SINGLE_LOOKS = 64
"""Up to so many paths are looked at one by one; more are found in a listing."""

Stale = Tuple[Operation, Outcome]
Seen = Dict[str, Optional[Entry]]


def stale_operations(
    operations: Sequence[Operation],
    clients: Mapping[Side, StorageClientProtocol],
    draw: Callable[[Side], None] = lambda _: None,
    *,
    trash: Optional[StorageClientProtocol] = None,
) -> Iterator[Stale]:
    """Yield each operation whose expectations no longer hold, with the outcome that says why.

    *draw* waits until one more call to a side may be made; *trash* is where retained versions are, if it is elsewhere.
    """
    seen = {side: seen_at(clients[side], _places(operations, side), partial(draw, side), trash=trash) for side in Side}
    for operation in operations:
        found = seen[operation.target].get(operation.path)
        problem = _difference(operation, found, clients[operation.target])
        if problem is None and operation.origin is not None and operation.expect_origin is not None:
            side, path = operation.origin
            problem = _origin_difference(operation, path, seen[side].get(path), clients[side])
        if problem is not None:
            yield operation, Outcome(operation, Status.STALE, problem, before=operation.expect_target)


def _places(operations: Iterable[Operation], side: Side) -> Set[str]:
    places = {operation.path for operation in operations if operation.target is side}
    places.update(each.origin[1] for each in operations if each.origin is not None and each.origin[0] is side)
    return places


def seen_at(
    client: StorageClientProtocol,
    places: Set[str],
    draw: Callable[[], None] = lambda: None,
    *,
    trash: Optional[StorageClientProtocol] = None,
) -> Seen:
    """Return what stands at *places*, freshly; those in the trash are looked for in *trash*, where it is elsewhere."""
    kept = {path for path in places if is_kept(path)}
    found = _seen(client, places - kept, draw)
    if kept:
        found.update(_seen(client if trash is None else trash, kept, draw))
    return found


def _seen(client: StorageClientProtocol, places: Set[str], draw: Callable[[], None]) -> Seen:
    if len(places) <= SINGLE_LOOKS or client.capabilities.cheap_reads:
        return _looked_at(client, sorted(places), draw)
    draw()
    return _listed(client, places)


def _looked_at(client: StorageClientProtocol, places: List[str], draw: Callable[[], None]) -> Seen:
    def look(path: str) -> Optional[Entry]:
        draw()
        return client.stat(path)

    threads = max(1, min(client.capabilities.threads, 16))
    if threads == 1:
        return {path: look(path) for path in places}
    from concurrent.futures import ThreadPoolExecutor  # 4 ms, which a run with nothing to do need not pay

    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(places, pool.map(look, places)))


def _listed(client: StorageClientProtocol, places: Set[str]) -> Seen:
    """Find *places* in one listing of the folder that holds them all."""
    found: Seen = dict.fromkeys(places)
    prefix = commonpath([parent(path) for path in places])
    if client.stat(prefix) is None:
        return found
    for item in client.list(prefix):
        if isinstance(item, Problem):
            if item.kind not in (ProblemKind.LEFTOVER, ProblemKind.UNSUPPORTED, ProblemKind.BAD_NAME):
                # What the listing could not see is looked at directly, which raises where it cannot be seen.
                found.update({path: client.stat(path) for path in places if path.startswith(item.path)})
        elif item.path in places:
            found[item.path] = item
    return found


def _difference(operation: Operation, found: Optional[Entry], client: StorageClientProtocol) -> Optional[Problem]:
    if operation.respells:
        return None  # both spellings find the file itself, which is looked at as the origin
    if operation.kind is Kind.DIRECTORY and operation.expect_target is None:
        is_file = found is not None and found.kind is not Kind.DIRECTORY
        return _problem(operation, operation.path, operation.target, "a file appeared there") if is_file else None
    if found is not None and found.kind is Kind.DIRECTORY and not client.capabilities.real_directories:
        found = None  # it is implied by what lies below it, which this plan may remove
    granularity = client.capabilities.mtime_granularity_ns
    failure = expecting(_expected(operation)).failure(found, granularity_ns=granularity)
    return _problem(operation, operation.path, operation.target, failure) if failure is not None else None


def _expected(operation: Operation) -> Optional[Stamp]:
    return Stamp() if operation.kind_before is Kind.DIRECTORY else operation.expect_target


def _origin_difference(
    operation: Operation, path: str, found: Optional[Entry], client: StorageClientProtocol
) -> Optional[Problem]:
    assert operation.origin is not None
    expected = operation.expect_origin
    if operation.kind is Kind.DIRECTORY and operation.files is not None and found is not None:
        failure = directory_difference(client, path, expected)
        return _problem(operation, path, operation.origin[0], failure) if failure is not None else None
    if operation.kind is Kind.DIRECTORY:
        expected = Stamp()
    failure = expecting(expected).failure(found, granularity_ns=client.capabilities.mtime_granularity_ns)
    return _problem(operation, path, operation.origin[0], failure) if failure is not None else None


def _problem(operation: Operation, path: str, side: Side, failure: str) -> Problem:
    message = f"{shown(path)} at the {side.value}: {failure}"
    return Problem(ProblemKind.CHANGED, operation.path, message, "preflight", side)


@frozen
class Preflight:
    """A stage that comes before execute when a plan is applied that may have become stale.

    Without *looks* only the roots and the state are asked: for a plan that was made a moment ago, of which the check
    right before each write says as much.
    """

    stop: bool = True
    newer_rows: Sequence[str] = ()
    looks: bool = True
    name: str = field(default="preflight", init=False)

    def __call__(self, job: Job) -> Job:
        """Return *job* with its stale operations; raises StalePlanError where *stop* says so and there are any."""
        plan = job.plan
        assert plan is not None
        stale = dict(self._by_state(plan.operations))
        try:
            self._check_roots(job)
            looked_at = plan.operations if self.looks else ()
            found = stale_operations(looked_at, job.clients, job.draw, trash=job.trash)
            stale.update({operation: outcome for operation, outcome in found if operation not in stale})
        except StorageError as error:
            problem = problem_of(error, stage="preflight")
            raise StalePlanError(f"the plan cannot be checked, nothing was changed: {problem.message}") from error
        if stale and self.stop:
            raise StalePlanError(_refusal(tuple(stale.items())), tuple(stale.items()))
        return job.with_(stale=tuple(stale.items()))

    def _check_roots(self, job: Job) -> None:
        """Refuse to fill a place anew that is gone: a folder that is not mounted looks just like that."""
        if job.state is None or job.settings.allow_emptied or not job.state.count_live():
            return
        for side in Side:
            if job.clients[side].stat("") is None:
                url = job.endpoints[side].url
                raise ScanError(
                    f"the {side.value} {url} does not exist any more, nothing was changed. Check that it is mounted.",
                    side=side.value,
                    reason="root_missing",
                )

    def _by_state(self, operations: Iterable[Operation]) -> Iterator[Stale]:
        newer = set(self.newer_rows)
        for operation in operations:
            if operation.compared_as in newer:
                message = f"{shown(operation.path)}: another run has synced this path since the plan was made"
                problem = Problem(ProblemKind.CHANGED, operation.path, message, "preflight", operation.target)
                yield operation, Outcome(operation, Status.STALE, problem, before=operation.expect_target)


def _refusal(stale: Sequence[Stale]) -> str:
    lines = [f"  - {outcome.problem.message}" for _, outcome in stale[:20] if outcome.problem is not None]
    more = [f"  … and {len(stale) - 20:,} more"] if len(stale) > 20 else []
    return "\n".join(
        [
            f"the plan is stale, nothing was changed: {len(stale):,} of its operations no longer fit:",
            *lines,
            *more,
            'Plan again, or apply the rest with on_stale="skip" (--on-stale skip).',
        ]
    )
