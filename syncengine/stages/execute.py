"""Execute: the operations of a plan are performed, and nothing else is written; the report tells what became of each.

Each operation ends in exactly one outcome; a failure stops only what depends on it.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Dict, Optional, Sequence, Tuple

from attrs import field, frozen

from ..core.bootstrap import still_to_see
from ..core.entry import Side
from ..core.guards import Blocker
from ..core.object_headers import ObjectHeaders
from ..core.plan import Plan
from ..core.plan_parts import Operation, Purpose
from ..core.report import Outcome, Report, Status
from ..errors import GuardError, StorageError
from ..events import ApplyFinished, ApplyStarted, OperationFinished
from ..state.manager import SyncStateManager
from ..state.trash import run_id
from ..storage.protocol import SupportsHeaders, SupportsSweep
from .commit import Recorder
from .execution import Execution, interrupting
from .job import Job
from .operations import SyncOperations, workers_for
from .throttle import RequestBudget


@frozen
class Execute:
    """The fifth stage: refuses a blocked plan, then performs it and reports what happened."""

    name: str = field(default="execute", init=False)

    def __call__(self, job: Job) -> Job:
        """Return *job* with its report; raises GuardError before anything is changed."""
        plan = job.plan
        assert plan is not None, "a plan comes before its execution"
        refuse_blocked(plan.blockers)
        job = job if job.run_id is not None else job.with_(run_id=_fresh_run_id(job, plan))
        recorder = self._recorder(job, plan)
        if recorder is not None:
            recorder.begin()
        outcomes, interrupted = self._performed(job, plan, recorder)
        report = Report(
            plan,
            outcomes,
            str(job.run_id),
            started_at=_text(job.now),
            finished_at=_text(datetime.now(timezone.utc)),
            interrupted=interrupted,
        )
        job.emitter.emit(ApplyFinished(report))
        return job.with_(report=report, recorder=recorder)

    def _recorder(self, job: Job, plan: Plan) -> Optional[Recorder]:
        if job.state is None or not (plan.operations or plan.agreements or _goes_on_with_first_sync(job.state, plan)):
            return None
        if not all(client.capabilities.identifies_versions for client in job.clients.values()):
            return None  # a side without stamps cannot be recognised again, so nothing is recorded of it
        assert job.run_id is not None
        return Recorder(job.state, plan, job.run_id, job.now, job.clients)

    def _performed(self, job: Job, plan: Plan, recorder: Optional[Recorder]) -> Tuple[Tuple[Outcome, ...], bool]:
        assert job.run_id is not None
        rules = ObjectHeaders(plan.settings.object_headers)
        for client in job.clients.values():
            if isinstance(client, SupportsHeaders):
                client.set_headers(rules)
        operations = SyncOperations(
            job.clients, job.run_id, job.emitter, job.limits, job.trash, job.cancel, budget=_budget_of(job)
        )
        barrier = recorder.barrier if recorder is not None else _nothing
        execution = Execution(operations, workers_for(job.clients, job.limits.workers), barrier)
        job.emitter.emit(ApplyStarted(job.run_id, len(plan.operations), plan.totals.transfer_bytes))
        self._sweep(job)
        outcomes: Dict[Tuple[bool, str], Outcome] = {_place(operation): outcome for operation, outcome in job.stale}
        for outcome in outcomes.values():
            job.emitter.emit(OperationFinished(outcome))
        left = [operation for operation in plan.operations if _place(operation) not in outcomes]
        cancelled_before = job.cancel.is_set()

        def take(outcome: Outcome) -> None:
            outcomes[_place(outcome.operation)] = outcome
            if recorder is not None:
                recorder.take(outcome)

        with suppress(KeyboardInterrupt), interrupting(execution.interrupt):
            for outcome in execution.run(left, failed=tuple(outcomes.values())):
                take(outcome)
        if len(outcomes) < len(plan.operations):
            execution.interrupt()
            for outcome in execution.unanswered():
                if _place(outcome.operation) not in outcomes:
                    take(outcome)
        if not cancelled_before and execution.interrupted_here:
            job.cancel.clear()  # the engine can be used again
        ended = tuple(outcomes.get(_place(each)) or Outcome(each, Status.CANCELLED) for each in plan.operations)
        return ended, execution.interrupted or len(outcomes) < len(ended)

    def _sweep(self, job: Job) -> None:
        """Delete temporary files that killed runs left behind; those of living runs stay."""
        for side, path in job.leftovers:
            client = job.clients[side]
            if isinstance(client, SupportsSweep):
                with suppress(StorageError):
                    client.sweep(path)


def _goes_on_with_first_sync(state: SyncStateManager, plan: Plan) -> bool:
    """Say whether there is still something to record: that a first sync has seen what it had not seen before.

    Otherwise its preference would stay in force, and one day delete a new file for an old extra.
    """
    if plan.purpose is not Purpose.SYNC or not plan.settings.mode.is_bidirectional:
        return False
    todo, edited = state.bootstrap.todo, plan.original_digest is not None
    return bool(todo) and still_to_see(todo, plan.settings.scope, plan.problems, edited=edited) != todo


def _budget_of(job: Job) -> RequestBudget:
    """Return the budget of a run that goes on where its listings and looks have left it."""
    workers = workers_for(job.clients, job.limits.workers)
    return RequestBudget(job.limits, workers=workers, cancel=job.cancel, requests=job.requests)


def _place(operation: Operation) -> Tuple[bool, str]:
    """Return what no two operations of a plan share; cheaper than an id."""
    return operation.target is Side.SOURCE, operation.path


def _fresh_run_id(job: Job, plan: Plan) -> str:
    """Return an id that no finished run has: the same plan may be tried again within one second."""
    started = job.now
    while True:
        name = run_id(started, plan.digest)
        if job.state is None or job.state.run(name) is None:
            return name
        started += timedelta(seconds=1)


def refuse_blocked(blockers: Sequence[Blocker]) -> None:
    """Raise GuardError with every reason at once, or return where there is none."""
    if not blockers:
        return
    reasons = "\n".join(f"  - {blocker.message}" for blocker in blockers)
    raise GuardError(f"the plan is refused, nothing was changed:\n{reasons}", blockers)


def _nothing() -> None:
    return None


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
