"""Performs one scenario on one pair of places, through the public interface only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from attrs import define, field

from syncengine import GuardError, Guards, Limit, Plan, ScanError, Status, SyncEngine, SyncMode
from syncengine.core.paths import is_reserved, is_within
from syncengine.events import OperationFinished

from .places import PLACES, Faults, Faulty, Killed, SftpPlace, Tree, client_of

EPOCH = 1_600_000_000
"""The start of the scenario clock: times of a scenario are seconds after it."""

SIDES = ("source", "destination")
REPEATED = ("mode", "policy", "scope", "exclude", "scan_error")
"""Options of a run that hold for the further run, which must have nothing to do."""

NEVER_QUIET = ("crash_after", "fail", "dry_run", "root_missing")
"""Options after which a further run may have something to do."""


@define
class Ran:
    """What one run came to."""

    plan: Optional[Plan] = None
    refused: Tuple[str, ...] = ()
    outcomes: List[Any] = field(factory=list)
    """As they came, those of a killed run included."""
    applied: bool = False
    written: List[str] = field(factory=list)

    def on(self, event: Any) -> None:
        if isinstance(event, OperationFinished):
            self.outcomes.append(event.outcome)

    @property
    def transfers(self) -> int:
        """How many file bodies went from one side to the other."""
        done = [each.operation for each in self.outcomes if each.status is Status.DONE]
        files = [each for each in done if each.kind.value == "file" and each.origin is not None]
        return sum(each.origin[0] is not each.target for each in files if each.origin is not None)

    @property
    def skipped(self) -> List[str]:
        """The paths of operations that reality had overtaken."""
        return sorted(each.operation.path for each in self.outcomes if each.status is Status.STALE)


class Scenario:
    """One scenario on one pair of places."""

    def __init__(
        self,
        text: Mapping[str, Any],
        pair: Tuple[str, str],
        *,
        renames: bool,
        base: Path,
        server: Any = None,
    ) -> None:
        self.text = text
        self.renames = renames
        self.places = {side: PLACES[name](base, server) for side, name in zip(SIDES, pair)}
        self.base = base
        self.clock = 10_000.0
        self.lost = 0

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
            with self._engine({"mode": "TWO_WAY"}, Ran(), plain=True) as engine:
                engine.sync().raise_for_status()
        for side in SIDES:
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

    def _edit_both(self, edits: Mapping[str, Any]) -> None:
        for side in SIDES:
            for verb, name, *rest in edits.get(side) or ():
                self._edit(self.places[side], verb, name.rstrip("/"), rest)

    def _edit(self, place: Any, verb: str, name: str, rest: List[Any]) -> None:
        if verb == "write":
            place.write(name, rest[0], EPOCH + rest[1] if len(rest) > 1 else self._tick())
        elif verb == "touch":
            place.touch(name, EPOCH + rest[0])
        elif verb == "rename":
            place.rename(name, rest[0].rstrip("/"))
        else:
            {"delete": place.delete, "mkdir": place.make_directory}[verb](name)

    # --------------------------------------------------------------------- runs

    def _arguments(self, options: Mapping[str, Any], *, plain: bool) -> Dict[str, Any]:
        mode = SyncMode.from_string(options.get("mode", self.text["mode"]))
        arguments: Dict[str, Any] = {"mode": mode, "progress": False, "renames": self.renames}
        arguments["state"] = f"{self.base}/state-{self.lost}"
        arguments["hash_by_download"] = any(isinstance(place, SftpPlace) for place in self.places.values())
        if plain:
            return {**arguments, "guards": Guards.off(), "allow_emptied": True}
        arguments["conflict"] = options.get("policy", self.text["policy"])
        arguments["scope"] = [prefix.rstrip("/") for prefix in options.get("scope") or ()]
        arguments["ignore"] = [pattern if "*" in pattern else f"/{pattern}" for pattern in options.get("exclude") or ()]
        if mode is SyncMode.TWO_WAY and self.text["initial"] != "merge":
            # Once the first sync is finished this decides nothing any more, which the plan says.
            arguments["initial"] = self.text["initial"]
        return {**arguments, **self._guards(self.text["guard"])}

    def _guards(self, guard: Any) -> Dict[str, Any]:
        if guard is False:
            return {"guards": Guards.off(), "allow_emptied": True}
        limit = None if guard is True or "max_delete" not in guard else Limit.share(guard["max_delete"])
        return {"guards": Guards(max_delete=limit)}

    def _engine(self, options: Mapping[str, Any], ran: Ran, *, plain: bool = False) -> SyncEngine:
        faults = Faults(options.get("crash_after"))
        clients = []
        for side in SIDES:
            blind, unwritable = (
                [path.rstrip("/") for path in (options.get(name) or {}).get(side) or ()]
                for name in ("scan_error", "fail")
            )
            clients.append(client_of(self.places[side], Faulty(faults, blind, unwritable, ran.written)))
        return SyncEngine(*clients, observer=ran, **self._arguments(options, plain=plain))

    def _run(self, run: Mapping[str, Any], label: str) -> None:
        self._edit_both(run)
        options: Mapping[str, Any] = run.get("with") or {}
        if options.get("state") == "lost":
            self.lost += 1
        before = self._trees()
        ran = self._synced(options, run.get("during") or {})
        expect = run.get("expect") or {}
        problems = [*self._differences(run, ran, before)] if "expect" in run else []
        assert not problems, f"{label}: " + "\n".join(problems) + f"\n{ran.plan}\n{ran.outcomes}"
        if not ({"unresolved", "aborted", "skipped"} & set(expect) or set(NEVER_QUIET) & set(options)):
            self._check_quiet({name: options[name] for name in REPEATED if name in options}, run, label)

    def _check_quiet(self, options: Mapping[str, Any], run: Mapping[str, Any], label: str) -> None:
        """Check that a further run has nothing to do, unless users have gone on editing meanwhile."""
        if "during" in run:
            return
        again = self._synced(options, {}, only_plan=True)
        assert again.plan is not None, f"{label}: a further run is refused: {again.refused}"
        assert again.plan.operations == (), f"{label}: a further run is not a no-op:\n{again.plan}"

    def _synced(self, options: Mapping[str, Any], during: Mapping[str, Any], *, only_plan: bool = False) -> Ran:
        ran, missing = Ran(), options.get("root_missing")
        if missing:
            self.places[missing].hide()
        engine = self._engine(options, ran)
        try:
            ran.plan = engine.plan()
            self._edit_both(during)
            if not (only_plan or options.get("dry_run")):
                engine.apply(ran.plan, on_stale="skip")
                ran.applied = True
        except GuardError as error:
            ran.refused = tuple(blocker.kind.value for blocker in error.blockers)
        except ScanError as error:
            ran.refused = (error.reason,)
        except Killed:
            pass
        finally:
            engine.close()
            if missing:
                self.places[missing].unhide()
        return ran

    # ---------------------------------------------------------------- judgement

    def _trees(self) -> Dict[str, Tree]:
        return {
            side: {path: text for path, text in place.everything().items() if not is_reserved(path)}
            for side, place in self.places.items()
        }

    def _versions(self) -> List[str]:
        return [text for place in self.places.values() for text in place.everything().values()]

    def _differences(self, run: Mapping[str, Any], ran: Ran, before: Dict[str, Tree]) -> Iterator[str]:
        expect, trees = run["expect"], self._trees()
        wanted = expect.get("aborted")
        if (wanted not in ran.refused) if wanted else ran.refused:
            yield f"aborted: {ran.refused}, expected {wanted}"
        still = expect.get("noop") or wanted or (run.get("with") or {}).get("dry_run")
        if still and (ran.written or ("during" not in run and trees != before)):
            yield f"something was written: {ran.written}"
        if expect.get("noop") and (ran.plan is None or ran.plan.operations):
            yield "the run is not a no-op"
        yield from self._tree_differences(expect, trees)
        yield from self._conflict_differences(expect, ran.plan, before, trees)
        if ran.transfers > expect.get("transfers", ran.transfers):
            yield f"transfers: {ran.transfers}, expected at most {expect['transfers']}"
        versions = self._versions()
        lost = [content for content in expect.get("retained") or () if content not in versions]
        if lost:
            yield f"not retained: {lost}"
        if ran.skipped != sorted(expect.get("skipped") or []):
            yield f"skipped: {ran.skipped}, expected {expect.get('skipped')}"

    def _conflict_differences(
        self, expect: Mapping[str, Any], plan: Optional[Plan], before: Dict[str, Tree], after: Dict[str, Tree]
    ) -> Iterator[str]:
        conflicts = {conflict.path: conflict.kind.value for conflict in plan.conflicts} if plan is not None else {}
        if conflicts != expect.get("conflicts", conflicts):
            yield f"conflicts: {conflicts}, expected {expect['conflicts']}"
        unresolved = sorted(conflict.path for conflict in plan.unresolved) if plan is not None else []
        if unresolved != sorted(expect.get("unresolved") or []):
            yield f"unresolved: {unresolved}, expected {expect.get('unresolved')}"
        for path in expect.get("unresolved") or ():
            for side in SIDES:
                if _below(before[side], path) != _below(after[side], path):
                    yield f"{side}: {path} waits for a decision and was touched"

    def _tree_differences(self, expect: Mapping[str, Any], trees: Dict[str, Tree]) -> Iterator[str]:
        for side in SIDES:
            wanted = expect.get(side, expect.get("both"))
            if wanted is None and "keep_both" not in expect:
                continue
            found = dict(trees[side])
            for path, contents in (expect.get("keep_both") or {}).items():
                copies = self._copies(path, found)
                if sorted(found.pop(copy) for copy in copies) != sorted(contents):
                    yield f"{side}: {path} and its copies hold {[trees[side][copy] for copy in copies]}"
            if wanted is None:
                continue
            files = {path: text for path, text in wanted.items() if not path.endswith("/")}
            if found != files:
                yield f"{side}: {found}, expected {files}"
            yield from self._directory_differences(side, {path for path in wanted if path.endswith("/")})
        for path in expect.get("keep_both") or ():
            kept = [{copy: tree[copy] for copy in self._copies(path, tree)} for tree in trees.values()]
            if kept[0] != kept[1]:
                yield f"the copies differ: {kept}"

    def _directory_differences(self, side: str, wanted: Any) -> Iterator[str]:
        place = self.places[side]
        found = place.empty_directories() if "dirs" in place.abilities else wanted
        if not wanted <= found or ("dirs" in self.text["requires"] and found != wanted):
            yield f"{side}: empty directories {found}, expected {wanted}"

    def _copies(self, path: str, found: Tree) -> List[str]:
        folder, _, name = path.rpartition("/")
        stem = name.rpartition(".")[0] or name
        start = (f"{folder}/" if folder else "") + f"{stem}.conflict-"
        return [each for each in found if each == path or each.startswith(start)]


def _below(tree: Tree, path: str) -> Tree:
    return {each: text for each, text in tree.items() if is_within(each, path)}
