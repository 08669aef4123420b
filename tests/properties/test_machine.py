"""Users, syncs, crashes and faults in any order, and the reference model says what each of them must leave behind.

After every run: nothing that nobody chose to lose is lost (I1), a second run has nothing to do (I3), both sides agree
(I4), the state is true (I5), only the sides of the mode were written (I7), backups only grow (I8), mirrors are exact
(I9), what could not be seen is untouched (I14), a plan changes nothing (I17), no file is ever half written (I23), no
path is ever both a file and a directory (I29), and modes may follow each other in any order (I30).
"""

from __future__ import annotations

import shutil
import tempfile
from itertools import chain, combinations, count
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Iterator, List, Optional, Set, Tuple

import pytest
from attrs import frozen
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from syncengine import Side
from syncengine.core.paths import parents

from .reference_model import MODES, POLICIES, Rules, World, clashes, matchings, sync, unsynced, within
from .worlds import Pair, Tape, failing, right_before

NAMES = ("a", "b", "a.b", "d", "d/x", "d/y", "d/e", "d/e/z", "e/a")
CONTENTS = ("", "one", "two", "ONE", "longer")
HIDDEN = ("e", "*.b")

names = st.sampled_from(NAMES)
sides = st.sampled_from(list(Side))
contents = st.one_of(st.none(), st.sampled_from(CONTENTS))
"""None: content that was never written before."""


@frozen
class Way:
    """How one run is asked for: *narrowed* is a scope, an ignored pattern, or a folder that a side cannot list."""

    mode: str
    policy: str
    renames: bool
    narrowed: Tuple[str, str] = ("", "")

    def arguments(self) -> Dict[str, Any]:
        how, what = self.narrowed
        given: Dict[str, Any] = {"mode": self.mode, "conflict": self.policy, "renames": self.renames}
        if how == "scope":
            given["scope"] = what
        elif how == "ignore":
            given["ignore"] = [what if "*" in what else f"/{what}"]
        return given

    def hides(self, path: str) -> bool:
        how, what = self.narrowed
        if how == "scope":
            return not within(path, what)
        return how in ("source", "destination") and within(path, what)

    def excludes(self, path: str) -> bool:
        how, what = self.narrowed
        parts = (*parents(path), path)
        if how != "ignore":
            return False
        return any(part.endswith(what[1:]) for part in parts) if "*" in what else within(path, what)


narrowed = st.one_of(
    st.just(("", "")),
    st.just(("", "")),
    st.tuples(st.just("scope"), st.sampled_from(["d", "e"])),
    st.tuples(st.just("ignore"), st.sampled_from(HIDDEN)),
    st.tuples(st.sampled_from([side.value for side in Side]), st.just("e")),
)
modes = st.one_of(st.just("two-way"), st.sampled_from(MODES))
ways = st.builds(Way, modes, st.sampled_from(POLICIES), st.booleans(), narrowed)
plain_ways = st.builds(Way, modes, st.sampled_from(POLICIES), st.booleans())


class SyncMachine(RuleBasedStateMachine):
    """Two places of one kind each, and what the model expects of them."""

    kinds: ClassVar[str] = "memory-memory"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="syncengine-machine-"))
        # Equal times of equally long files prove nothing to this comparison, so that they may be made to meet.
        self.pair = Pair(self.kinds, self.folder, compare="hash-only")
        self.numbers = count(1)
        self.fresh = True
        self.newer: Dict[str, Optional[str]] = {}
        self.doubtful: Set[Tuple[str, str]] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------------ users

    @initialize(tree=st.dictionaries(names, contents, max_size=6), agreed=st.booleans())
    def begin(self, tree: Dict[str, Optional[str]], agreed: bool) -> None:
        for name in tree:
            if not any(within(other, name) and other != name for other in tree):
                self.write(Side.SOURCE, name, tree[name], same_time=False)
        if agreed:
            self.pair.run(mode="source-to-destination")
            self.fresh = False

    @rule(side=sides, name=names, content=contents, same_time=st.booleans())
    def write(self, side: Side, name: str, content: Optional[str], same_time: bool) -> None:
        text = f"v{next(self.numbers):04}" if content is None else content
        self.pair.write(side, name, text, at=5000 if same_time else None)

    @rule(side=sides, name=names)
    def delete(self, side: Side, name: str) -> None:
        self.pair.edit(side, {name: None})

    @rule(side=sides, old=names, new=names)
    def rename(self, side: Side, old: str, new: str) -> None:
        tree = self.pair.tree(side)
        taken = any(within(path, new) or within(new, path) for path in tree)
        if old in tree and not taken:
            self.pair.places[side].rename(old, new)

    @rule(side=sides, name=names)
    def touch(self, side: Side, name: str) -> None:
        content = self.pair.tree(side).get(name)
        if content is not None:
            self.pair.write(side, name, content)

    @rule(side=sides, name=st.sampled_from(["made", "made/made-too"]))
    def make_directory(self, side: Side, name: str) -> None:
        tree = self.pair.tree(side)
        if not any(within(name, path) for path in tree) and not self._has_directory(side, name):
            self.pair.places[side].make_directory(name)

    def _has_directory(self, side: Side, name: str) -> bool:
        if self.kinds.split("-")[list(Side).index(side)] == "memory":
            place = self.pair.places[side]
            return bool(place.filesystem.isdir(f"{place.root}/{name}"))
        return bool((self.pair.places[side].path / name).is_dir())

    # ------------------------------------------------------------------- runs

    @rule(way=ways)
    def run(self, way: Way) -> None:
        before = self.world()
        tape = self.tape(way)
        plan, report = self.pair.run(tape, **way.arguments())
        assert report.ok or plan.problems, str(report)
        self.check_written(way, tape)
        self.check(before, way, {conflict.path: conflict.kind.value for conflict in plan.conflicts})

    @precondition(lambda self: self.fresh)
    @rule(preference=st.sampled_from(["merge", "source-wins", "destination-wins"]), policy=st.sampled_from(POLICIES))
    def first_run(self, preference: str, policy: str) -> None:
        way, before = Way("two-way", policy, True), self.world()
        plan, _ = self.pair.run(**way.arguments(), initial=preference)
        self.check(before, way, {each.path: each.kind.value for each in plan.conflicts}, preference=preference)

    @rule(way=plain_ways, at=st.integers(1, 9))
    def crash_then_run(self, way: Way, at: int) -> None:
        before = self.world()
        self.pair.killed(at, **way.arguments())
        self.pair.run(self.tape(way), **way.arguments())
        self.check(before, way)

    @rule(way=plain_ways, at=st.integers(1, 9))
    def fail_then_run(self, way: Way, at: int) -> None:
        before = self.world()
        tape = Tape(failing(at))
        _, report = self.pair.run(tape, **way.arguments())
        assert len(tape.calls) >= at or report.ok
        self.pair.run(self.tape(way), **way.arguments())
        self.check(before, way)

    @rule(way=plain_ways, side=sides, name=names, at=st.integers(0, 6))
    def run_with_concurrent_edit(self, way: Way, side: Side, name: str, at: int) -> None:
        """Edit between plan and apply (0), or right before a call; the edit survives, and the next run is its own."""
        before = self.world()
        text = f"v{next(self.numbers):04}"
        written: List[str] = []

        def edit() -> None:
            if not written:
                written.append(text)
                self.pair.write(side, name, text)

        mine = before.tree(side.value)
        superseded = {mine[path] for path in mine if within(path, name) or within(name, path)}
        with self.pair.engine(Tape(right_before(at, edit)), **way.arguments()) as engine:
            plan = engine.plan()
            if at == 0:
                edit()
            engine.apply(plan)
        self.pair.observe()
        self.fresh = False
        lost = (self.unsynced(before, way) - superseded | set(written)) - self.pair.contents()
        assert not lost, f"lost by an edit during the run: {lost}"
        self.pair.remembered()

    @rule(way=ways)
    def plan_only(self, way: Way) -> None:
        everything = [place.everything() for place in self.pair.places.values()]
        state = self.pair.state_bytes()
        tape = self.tape(way)
        with self.pair.engine(tape, **way.arguments()) as engine:
            first, second = engine.plan(), engine.plan()
        assert first.operations == second.operations
        assert first.conflicts == second.conflicts
        assert tape.calls == []
        assert [place.everything() for place in self.pair.places.values()] == everything
        assert self.pair.state_bytes() == state

    @rule()
    def lose_state(self) -> None:
        self.pair.lose_state()
        self.fresh = True

    # -------------------------------------------------------------- judgement

    def world(self) -> World:
        """Return what the run will find; directories that nobody made go, the model has none."""
        for side in Side:
            self.pair.places[side].tidy()
        world = World(*self.pair.trees(), self.pair.remembered())
        self.newer = {path: self.pair.newer(path) for path in {*world.source} & {*world.destination}}
        self.doubtful = self.pair.rewritten()
        return world

    def tape(self, way: Way) -> Tape:
        how, what = way.narrowed
        # A folder that is not there fails no listing.
        blind = {
            side: what
            for side in Side
            if side.value == how and any(within(path, what) for path in self.pair.tree(side))
        }
        written = set(chain.from_iterable(known.values() for known in self.pair.known.values()))

        def whole(*_: Any) -> None:
            for side in Side:
                tree = self.pair.tree(side)
                assert set(tree.values()) <= written, f"a half written file: {tree}"
                assert not list(clashes(tree)), f"both a file and a directory: {tree}"

        return Tape(whole, blind=blind)

    def unsynced(self, world: World, way: Way) -> Set[str]:
        return unsynced(world, renames=way.renames and way.mode == "two-way")

    def check_written(self, way: Way, tape: Tape) -> None:
        if way.mode != "two-way":
            written = Side.DESTINATION if way.mode.startswith("source") else Side.SOURCE
            assert tape.sides() <= {written}, tape.calls

    def check(
        self, before: World, way: Way, conflicts: Optional[Dict[str, str]] = None, preference: Optional[str] = None
    ) -> None:
        self.fresh = False
        found, rows = self.pair.trees(), self.pair.remembered()
        lost = self.unsynced(before, way) - self.pair.contents()
        assert not lost, f"lost: {lost}"
        expected = list(self.expected(before, way, preference))
        same = [each for each in expected if (each.source, each.destination) == found and each.base == rows]
        assert same, f"{way}\nfound    {found}\n         {rows}\nexpected {expected[0]}\nbefore   {before}"
        if conflicts is not None:
            told = [each.conflicts for each in same]
            assert conflicts in told, f"{way}\nconflicts {conflicts}, expected {told}\nbefore {before}"
        again = self.pair.engine(self.tape(way), **way.arguments())
        with again:
            plan = again.plan()
        assert plan.operations == (), f"{way}\na second run is not empty: {plan}\nbefore {before}"
        assert {conflict.path for conflict in plan.unresolved} in [each.unresolved for each in same]

    def expected(self, before: World, way: Way, preference: Optional[str]) -> Iterator[World]:
        """Yield every outcome that the rules allow: they differ in what could be recognised without reading."""
        hides = self._effective(before, way)
        choices = matchings(before, lambda path: not (hides(path) or way.excludes(path)))
        renamed = list(choices) if way.renames and way.mode == "two-way" else [[]]
        doubtful = sorted(self.doubtful)
        for rewritten in chain.from_iterable(combinations(doubtful, size) for size in range(len(doubtful) + 1)):
            rules = Rules(
                way.mode,
                way.policy,
                preference,
                hidden=hides,
                excluded=way.excludes,
                newer=self.newer.get,
                rewritten=frozenset(rewritten),
            )
            for pairs in renamed:
                yield sync(before, rules, pairs)

    def _effective(self, before: World, way: Way) -> Callable[[str], bool]:
        how, what = way.narrowed
        fails = how in ("source", "destination") and any(within(path, what) for path in before.tree(how))
        return way.hides if how == "scope" or fails else lambda path: False


QUICK = settings(
    max_examples=15,
    stateful_step_count=14,
    deadline=None,
    print_blob=True,
    derandomize=True,
    # Shrinking a history takes minutes, and its steps are few: add Phase.shrink to look into one.
    phases=[Phase.explicit, Phase.generate],
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
THOROUGH = settings(QUICK, max_examples=300, derandomize=False)


def machine(kinds: str, chosen: settings) -> Any:
    """Return the test case of the machine over *kinds*."""
    made = type("Machine", (SyncMachine,), {"kinds": kinds}).TestCase  # type: ignore[attr-defined]
    made.settings = chosen
    return made


class TestMemory(machine("memory-memory", QUICK)):  # type: ignore[misc]
    """Two folders of memory."""


class TestLocal(machine("local-local", QUICK)):  # type: ignore[misc]
    """Two folders on disk."""


@pytest.mark.thorough
class TestMemoryThoroughly(machine("memory-memory", THOROUGH)):  # type: ignore[misc]
    """Two folders of memory, for longer."""


@pytest.mark.thorough
class TestLocalThoroughly(machine("local-local", THOROUGH)):  # type: ignore[misc]
    """Two folders on disk, for longer."""


@pytest.mark.thorough
class TestLocalAndMemoryThoroughly(machine("local-memory", THOROUGH)):  # type: ignore[misc]
    """A folder on disk and one of memory, for longer."""
