"""Applying a plan that already exists: find its places again, check that it still fits, and perform it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, Optional, Tuple

from attrs import define, evolve, field

from .core.entry import Side
from .core.guards import Guards, guard_blockers
from .core.modes import OnStale, Retain
from .core.plan import Plan
from .core.plan_parts import Endpoint, Operation
from .core.report import Outcome, Report, Status
from .core.units import flag
from .errors import RecipeError, StalePlanError, StateError
from .events import Emitter
from .pipeline import Pipeline
from .places import Live, open_state
from .serial import outcome_from_record
from .stages.commit import CommitState
from .stages.execute import Execute, refuse_blocked
from .stages.job import Job
from .stages.preflight import Preflight
from .stages.throttle import Limits
from .state.manager import SyncStateManager
from .storage.location import Location, locate
from .storage.protocol import StorageClientProtocol, SupportsClose

_LIMITS = ("workers", "bandwidth", "requests_per_second", "retries")


@define(eq=False)
class Application:
    """One application of one plan."""

    plan: Plan
    options: Mapping[Side, Optional[Mapping[str, Any]]]
    profiles: Mapping[str, str]
    state: Any
    single_writer: bool
    guards: Optional[Guards]
    on_stale: OnStale
    relocate: Mapping[Side, Any]
    engine: Any = None
    preflight: bool = True
    limits: Mapping[str, Any] = field(factory=dict)
    _opened: List[StorageClientProtocol] = field(factory=list, init=False)
    _locations: Dict[Side, Location] = field(factory=dict, init=False)
    _elsewhere: bool = field(default=False, init=False)

    def run(self) -> Report:
        """Check the plan and perform it."""
        limits = self._limits()
        refuse_blocked(self.plan.blockers)
        self._hold_guards()
        clients = self._clients()
        state = self._state(clients)
        try:
            done = self._applied_before(state)
            if done is not None:
                return done
            return self._with_places(self._performed(clients, state, limits))
        finally:
            self._close(state)

    def _with_places(self, report: Report) -> Report:
        """Return the report so that what remains can be applied in this process without giving options again."""
        if report.plan.live_clients is not None:
            return report
        return evolve(report, plan=evolve(report.plan, live_clients=Live(locations=self._locations)))

    def _hold_guards(self) -> None:
        if self.guards is not None:
            allow = self.plan.settings.allow_mass_delete
            refuse_blocked(tuple(guard_blockers(self.plan, self.guards, dict(self.plan.live), allow_mass_delete=allow)))

    def _performed(
        self, clients: Dict[Side, StorageClientProtocol], state: Optional[SyncStateManager], limits: Limits
    ) -> Report:
        plan = self._retaining() if state is None and self._had_state else self.plan
        job = Job(
            settings=plan.settings,
            clients=clients,
            endpoints={Side.SOURCE: plan.source, Side.DESTINATION: plan.destination},
            now=datetime.now(timezone.utc),
            limits=limits,
            emitter=Emitter(self._observer()),
            state=state,
            plan=plan,
            trash=self._trash(),
            leftovers=getattr(plan.live_clients, "leftovers", ()),
            **({} if "cancel" not in self.limits else {"cancel": self.limits["cancel"]}),
        )
        stop = self.on_stale is OnStale.STOP
        preflight = Preflight(stop, self._newer(state), looks=stop or self.preflight)
        if self.engine is not None:
            job = self.engine.pipeline(preflight(job), after="plan")
        else:
            job = Pipeline((preflight, Execute(), CommitState()))(job)
        assert job.report is not None
        return job.report

    # ------------------------------------------------------------------ places

    def _clients(self) -> Dict[Side, StorageClientProtocol]:
        return {side: self._client(side) for side in Side}

    def _client(self, side: Side) -> StorageClientProtocol:
        endpoint = self._endpoint(side)
        live = None if side in self.relocate or self.options.get(side) is not None else self.plan.live_clients
        if side in getattr(live, "clients", {}):
            client: StorageClientProtocol = self.plan.live_clients.clients[side]
            return client
        location = getattr(live, "locations", {}).get(side) or self._located(side, endpoint)
        self._locations[side] = location
        self._elsewhere = self._elsewhere or location.identity != endpoint.identity
        opened: StorageClientProtocol = location.open(symlinks=self.plan.settings.symlinks)
        if location.protocol != "client":
            self._opened.append(opened)  # a client of the caller's own is not ours to close
        return opened

    def _located(self, side: Side, endpoint: Endpoint) -> Location:
        if side not in self.relocate and endpoint.url.startswith("client://"):
            raise RecipeError(
                f"the {side.value} is a storage client of your own, which no file can hold; give it again: "
                f"relocate={{'{side.value}': client}}."
            )
        spec = self.relocate.get(side, endpoint.url)
        profile = self.profiles.get(side.value, endpoint.profile)
        location = locate(spec, options=self.options.get(side), profile=profile)
        if side not in self.relocate and location.identity != endpoint.identity:
            raise StalePlanError(
                f"the {side.value} {endpoint.url} is another place than the one the plan was made for. "
                f"{_to_reach_again(side, endpoint)}relocate={{'{side.value}':...}} (--relocate {side.value}=URL) "
                "applies it elsewhere."
            )
        return location

    def _trash(self) -> Optional[StorageClientProtocol]:
        place = self.plan.settings.trash
        if place is None:
            return None
        location: Location = getattr(self.plan.live_clients, "trash", None) or locate(place)
        opened = location.open()
        if location.protocol != "client":
            self._opened.append(opened)
        return opened

    def _endpoint(self, side: Side) -> Endpoint:
        return self.plan.source if side is Side.SOURCE else self.plan.destination

    def _close(self, state: Optional[SyncStateManager]) -> None:
        if state is not None:
            state.close()
        for client in self._opened:
            if isinstance(client, SupportsClose):
                client.close()

    def _observer(self) -> Any:
        from .render.progress import automatic

        observer = self.limits.get("observer")
        if observer is not None or self.limits.get("progress") is False:
            return observer
        return automatic(self.limits.get("progress"))

    def _limits(self) -> Limits:
        if self.engine is not None:
            limits = getattr(self.engine, "limits", None)
            if not isinstance(limits, Limits):
                raise RecipeError(f"engine is a SyncEngine, not {self.engine!r}")
            return limits
        unknown = [name for name in self.limits if name not in (*_LIMITS, "observer", "progress", "cancel")]
        if unknown:
            raise RecipeError(f"apply has no argument {unknown[0]!r}; what decides what happens is in the plan")
        from .arguments import cancelling, limits_of, observing

        flag(self.preflight, "preflight")
        flag(self.single_writer, "state_single_writer")
        observing(self.limits.get("observer"))
        if "cancel" in self.limits:
            cancelling(self.limits["cancel"])
        return limits_of(**{name: value for name, value in self.limits.items() if name in _LIMITS})

    # ------------------------------------------------------------------- state

    @property
    def _had_state(self) -> bool:
        return self.plan.base.place is not None

    def _state(self, clients: Mapping[Side, StorageClientProtocol]) -> Optional[SyncStateManager]:
        """Return the state the plan was made with, or None where it is not to be had or not to be used."""
        if not self._had_state or self._elsewhere or self.state is None:
            self._do_without_state("was turned off" if self.state is None else "belongs to another place")
            return None
        from .arguments import DEFAULT_STATE

        live = self.plan.live_clients
        place = self.state
        if place == DEFAULT_STATE:
            place = getattr(live, "state", None) or self.plan.base.place
        alone = self.single_writer or getattr(live, "single_writer", False)
        endpoints = {side: self._endpoint(side) for side in Side}
        state = open_state(place, endpoints, clients, single_writer=alone)
        lineage = self.plan.base.lineage
        if state is None or lineage is None or state.lineage == lineage:
            return state
        if state.exists:
            state.close()
            raise StalePlanError(
                "the state of this pair is not the one the plan was made with (it was reset since, or another "
                "machine's is used here). Nothing was changed; plan again."
            )
        state.close()
        self._do_without_state("is not there")
        return None

    def _do_without_state(self, why: str) -> None:
        if self._had_state and self.plan.settings.mode.is_bidirectional and not self._elsewhere:
            raise StateError(
                f"the plan is a two-way one made with a state, and that state {why}. Nothing was changed; apply it "
                "where its state is, or give the state's place."
            )

    def _retaining(self) -> Plan:
        """Return the plan with every destroyed version kept: nobody will remember what was agreed."""
        if self.plan.settings.retain is Retain.NONE:
            return self.plan
        operations = tuple(
            evolve(operation, retain=True) if operation.destroys else operation for operation in self.plan.operations
        )
        return evolve(self.plan, operations=operations)

    def _newer(self, state: Optional[SyncStateManager]) -> Tuple[str, ...]:
        base = self.plan.base
        if state is None or not state.exists or state.generation == base.generation:
            return ()
        paths = {path for operation in self.plan.operations for path in _keys(operation)}
        return tuple(state.newer_rows(base.generation, self.plan.root_digest, sorted(paths)))

    def _applied_before(self, state: Optional[SyncStateManager]) -> Optional[Report]:
        """Return the report of the run that applied this very plan in full; applying it again does nothing."""
        if state is None or not state.exists or not (self.plan.operations or self.plan.agreements):
            return None
        run_id = state.journal.already_applied(self.plan.digest)
        if run_id is None:
            return None
        outcomes: Dict[str, Outcome] = {}
        times: Dict[str, str] = {}
        for line in state.journal.read(run_id):
            if "operation" in line:
                outcome = outcome_from_record({name: value for name, value in line.items() if name != "event"})
                outcomes[outcome.operation.id] = outcome
            times[str(line.get("event"))] = str(line.get("finished_at") or line.get("started_at") or "")
        return Report(
            self.plan,
            tuple(outcomes.get(each.id, Outcome(each, Status.DONE)) for each in self.plan.operations),
            run_id,
            started_at=times.get("started", ""),
            finished_at=times.get("finished", ""),
            notes=(f"this plan was applied before, by run {run_id}; nothing was done",),
        )


def _to_reach_again(side: Side, endpoint: Endpoint) -> str:
    """Return how to give again what no plan holds of how a place was reached; nothing for a folder of this machine."""
    if endpoint.url.startswith(("file://", "memory://")):
        return ""
    told = f"It was reached with {', '.join(endpoint.options)}, which no plan holds. " if endpoint.options else ""
    return (
        f"{told}Give what opens it again, by {side.value}_options={{...}} (--{side.value}-option NAME=VALUE) or "
        f"profiles={{'{side.value}':...}} (--{side.value}-profile NAME); "
    )


def _keys(operation: Operation) -> Tuple[str, ...]:
    if operation.origin is None:
        return (operation.compared_as,)
    return operation.compared_as, operation.origin[1]
