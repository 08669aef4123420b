"""Performs one scenario on one pair of places, through the public interface only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from syncengine import GuardError, Guards, Limit, Plan, Report, ScanError, Status, SyncEngine, SyncMode
from syncengine.core.paths import is_reserved

from .places import PLACES, Faults, Faulty, Killed, Tree, client_of

OPTIONS = (
    *("mode", "policy", "scope", "exclude", "scan_error"),
    *("root_missing", "dry_run", "state", "crash_after", "fail"),
)
EPOCH = 1_600_000_000
"""The start of the scenario clock: times of a scenario are seconds after it."""


class Scenario:
    """One scenario on one pair of places."""

    def __init__(self, text: Mapping[str, Any], pair: Tuple[str, str], *, renames: bool, base: Path) -> None:
        self.text = text
        self.renames = renames
        self.places = {"source": PLACES[pair[0]](base), "destination": PLACES[pair[1]](base)}
        self.base = base
        self.clock = 10_000.0
        self.lost = 0
        self.retained: List[str] = []

    def perform(self) -> None:
        """Start, then perform each run and check what it left."""
        self._start(self.text["start"])
        runs = self.text.get("runs") or [self.text]
        for number, run in enumerate(runs):
            self._run(run, f"run {number + 1} of {len(runs)}")

    # ------------------------------------------------------------------- places

    def _start(self, start: Mapping[str, Any]) -> None:
        if "both" in start:
            self._fill("source", start["both"])
            with self._engine({"mode": "source-to-destination"}, plain=True) as engine:
                engine.sync()
            return
        for side in ("source", "destination"):
            self._fill(side, start.get(side) or {})

    def _fill(self, side: str, tree: Mapping[str, Any]) -> None:
        for name, content in tree.items():
            if name.endswith("/"):
                self.places[side].make_directory(name.rstrip("/"))
            else:
                self.places[side].write(name, content, self._tick())

    def _tick(self) -> float:
        self.clock += 10
        return EPOCH + self.clock

    def _edit(self, side: str, edits: Any) -> None:
        place = self.places[side]
        for verb, name, *rest in edits or ():
            if verb == "write":
                place.write(name, rest[0], EPOCH + rest[1] if len(rest) > 1 else self._tick())
            elif verb == "touch":
                place.touch(name, EPOCH + rest[0])
            elif verb == "rename":
                place.rename(name, rest[0])
            else:
                {"delete": place.delete, "mkdir": place.make_directory}[verb](name)

    # --------------------------------------------------------------------- runs

    def _arguments(self, options: Mapping[str, Any], *, plain: bool) -> Dict[str, Any]:
        mode = SyncMode.from_string(options.get("mode", self.text["mode"]))
        arguments: Dict[str, Any] = {"mode": mode, "progress": False, "renames": self.renames}
        arguments["state"] = f"{self.base}/state-{self.lost}"
        if plain:
            return {**arguments, "guards": Guards.off(), "allow_emptied": True}
        arguments["conflict"] = options.get("policy", self.text["policy"])
        arguments["scope"] = options.get("scope") or ()
        arguments["ignore"] = [pattern if "*" in pattern else f"/{pattern}" for pattern in options.get("exclude") or ()]
        if mode is SyncMode.TWO_WAY and self.text["initial"] != "merge":
            arguments["initial"] = self.text["initial"]
        return {**arguments, **self._guards(self.text["guard"])}

    def _guards(self, guard: Any) -> Dict[str, Any]:
        if guard is False:
            return {"guards": Guards.off(), "allow_emptied": True}
        if guard is True:
            return {"guards": Guards(max_delete=None)}
        return {"guards": Guards(max_delete=Limit.share(guard["max_delete"]))}

    def _engine(self, options: Mapping[str, Any], *, plain: bool = False) -> SyncEngine:
        faults = Faults(options.get("crash_after"))
        self.faulty = {}
        clients = []
        for side in ("source", "destination"):
            blind = (options.get("scan_error") or {}).get(side) or []
            unwritable = (options.get("fail") or {}).get(side) or []
            self.faulty[side] = Faulty(faults, list(blind), list(unwritable))
            clients.append(client_of(self.places[side], self.faulty[side]))
        return SyncEngine(*clients, **self._arguments(options, plain=plain))

    def _run(self, run: Mapping[str, Any], label: str) -> None:
        for side in ("source", "destination"):
            self._edit(side, run.get(side))
        options: Mapping[str, Any] = run.get("with") or {}
        unknown = set(options) - set(OPTIONS)
        assert not unknown, f"{label}: the runner does not know {unknown}"
        if options.get("state") == "lost":
            self.lost += 1
        before = self._trees()
        plan, report, aborted = self._synced(options, run.get("during") or {})
        expect = run.get("expect")
        if expect is None:
            return
        problems = list(self._differences(expect, plan, report, aborted, before))
        assert not problems, f"{label}: " + "\n".join(problems) + f"\n{plan}\n{report}"
        quiet = not (set(expect) & {"unresolved", "aborted", "skipped"}) and not options and "during" not in run
        if quiet:
            again, _, _ = self._synced({}, {}, only_plan=True)
            assert again is not None
            assert again.operations == (), f"{label}: a further run is not a no-op:\n{again}"

    def _synced(
        self, options: Mapping[str, Any], during: Mapping[str, Any], *, only_plan: bool = False
    ) -> Tuple[Optional[Plan], Optional[Report], Optional[str]]:
        missing = options.get("root_missing")
        if missing:
            self.places[missing].hide()
        plan = report = None
        engine = self._engine(options)
        try:
            plan = engine.plan()
            for side in ("source", "destination"):
                self._edit(side, during.get(side))
            if not (only_plan or options.get("dry_run")):
                report = engine.apply(plan, on_stale="skip")
        except GuardError as error:
            return plan, None, error.blockers[0].kind.value
        except ScanError as error:
            return None, None, error.reason
        except Killed:
            pass
        finally:
            engine.close()
            if missing:
                self.places[missing].unhide()
        return plan, report, None

    # ---------------------------------------------------------------- judgement

    def _trees(self) -> Dict[str, Tree]:
        return {
            side: {path: text for path, text in place.everything().items() if not is_reserved(path)}
            for side, place in self.places.items()
        }

    def _versions(self) -> List[str]:
        return [text for place in self.places.values() for text in place.everything().values()]

    def _differences(
        self,
        expect: Mapping[str, Any],
        plan: Optional[Plan],
        report: Optional[Report],
        aborted: Optional[str],
        before: Dict[str, Tree],
    ) -> Any:
        if aborted != expect.get("aborted"):
            yield f"aborted: {aborted}, expected {expect.get('aborted')}"
        trees = self._trees()
        yield from self._tree_differences(expect, trees)
        conflicts = {conflict.path: conflict.kind.value for conflict in plan.conflicts} if plan is not None else {}
        if "conflicts" in expect and conflicts != expect["conflicts"]:
            yield f"conflicts: {conflicts}, expected {expect['conflicts']}"
        unresolved = [conflict.path for conflict in plan.unresolved] if plan is not None else []
        if unresolved != sorted(expect.get("unresolved") or []):
            yield f"unresolved: {unresolved}, expected {expect.get('unresolved')}"
        if "transfers" in expect and self._transfers(report) > expect["transfers"]:
            yield f"transfers: {self._transfers(report)}, expected at most {expect['transfers']}"
        lost = [content for content in expect.get("retained") or () if content not in self._versions()]
        if lost:
            yield f"not retained: {lost}"
        if expect.get("noop") and (plan is None or plan.operations or trees != before):
            yield "the run is not a no-op"
        outcomes = report.outcomes if report is not None else ()
        skipped = [each.operation.path for each in outcomes if each.status is Status.STALE]
        if skipped != sorted(expect.get("skipped") or []):
            yield f"skipped: {skipped}, expected {expect.get('skipped')}"

    def _transfers(self, report: Optional[Report]) -> int:
        """Count file bodies that went from one side to the other."""
        if report is None:
            return 0
        done = [each.operation for each in report.outcomes if each.status is Status.DONE]
        return sum(
            1
            for each in done
            if each.kind.value == "file" and each.origin is not None and each.origin[0] is not each.target
        )

    def _tree_differences(self, expect: Mapping[str, Any], trees: Dict[str, Tree]) -> Any:
        for side in ("source", "destination"):
            wanted = expect.get(side, expect.get("both"))
            if wanted is None:
                continue
            found = dict(trees[side])
            for path, contents in (expect.get("keep_both") or {}).items():
                copies = self._copies(path, found)
                if sorted(found.pop(copy) for copy in copies) != sorted(contents):
                    yield f"{side}: {path} and its copies hold {[trees[side][copy] for copy in copies]}"
            files = {path: text for path, text in wanted.items() if not path.endswith("/")}
            if found != files:
                yield f"{side}: {found}, expected {files}"
            if "dirs" in self.text["requires"]:
                empty = {path for path in wanted if path.endswith("/")}
                if self.places[side].empty_directories() != empty:
                    yield f"{side}: empty directories {self.places[side].empty_directories()}, expected {empty}"
        if expect.get("keep_both") and trees["source"] != trees["destination"]:
            yield f"the copies differ: {trees}"

    def _copies(self, path: str, found: Tree) -> List[str]:
        folder, _, name = path.rpartition("/")
        stem = name.rpartition(".")[0] or name
        start = (f"{folder}/" if folder else "") + f"{stem}.conflict-"
        return [each for each in found if each == path or each.startswith(start)]
