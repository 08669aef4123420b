"""What journals and trash prove: which version a side held after a run, and where its content is now."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest

from syncengine.core.bringing_back import BringingBack, Move, Wanted
from syncengine.core.entry import Entry, Kind, Side, Stamp
from syncengine.core.journal_events import Place, events_of
from syncengine.core.plan_parts import Action, Operation, Purpose, Reason
from syncengine.core.report import Outcome, Status
from syncengine.core.undoing import Undoing
from syncengine.core.versions import Evidence, Retained

S, D = Side.SOURCE, Side.DESTINATION
V1, V2, V3 = (Stamp(size=number, mtime_ns=number) for number in (1, 2, 3))
"""Three versions at the destination; at the source the same content has the stamps below."""
S1, S2, S3 = (Stamp(size=number, mtime_ns=10 * number) for number in (1, 2, 3))
RUNS = ("run0", "run1", "run2")


def outcome(action: Action, path: str = "f", **fields: Any) -> Outcome:
    """Return a done operation on the destination; ``after``, ``read`` and ``kept`` are what its outcome adds."""
    extra = {"after": fields.pop("after", None), "origin": fields.pop("read", None)}
    kept = fields.pop("kept", None)
    origin = fields.pop("origin", (S, path) if action in (Action.CREATE, Action.UPDATE) else None)
    kind, target = fields.pop("kind", Kind.FILE), fields.pop("target", D)
    operation = Operation(action, kind, target, path, origin=origin, **fields)
    return Outcome(operation, Status.DONE, retained_at=kept, **extra)


def create(after: Stamp, read: Stamp, **fields: Any) -> Outcome:
    return outcome(Action.CREATE, after=after, read=read, **fields)


def update(before: Stamp, after: Stamp, read: Stamp, **fields: Any) -> Outcome:
    return outcome(Action.UPDATE, expect_target=before, after=after, read=read, **fields)


def delete(before: Stamp, **fields: Any) -> Outcome:
    return outcome(Action.DELETE, expect_target=before, **fields)


def entry(path: str, stamp: Stamp, kind: Kind = Kind.FILE) -> Entry:
    return Entry(path, kind, stamp)


def evidence(
    runs: Sequence[Sequence[Outcome]],
    *,
    kept: Sequence[Tuple[Side, str, str, Stamp]] = (),
    standing: Optional[Dict[Place, Stamp]] = None,
) -> Evidence:
    """Return what *runs* prove; *kept* are side, run, path and stamp of what lies in the trash."""
    events = [event for number, done in enumerate(runs) for each in done for event in events_of(number, each)]
    retained = [
        Retained(side, f".syncengine-trash/{run}/{path}", run, path, entry(f".syncengine-trash/{run}/{path}", stamp))
        for side, run, path, stamp in kept
    ]
    found = Evidence.of(RUNS, events, retained)
    return Evidence(
        found.runs,
        found.events,
        found.retained,
        {place: entry(place[1], stamp) for place, stamp in (standing or {}).items()},
    )


def place(run: str, path: str = "f") -> str:
    return f".syncengine-trash/{run}/{path}"


UPDATED = [[create(V1, S1)], [update(V1, V2, S2, kept=place("run1"))], [delete(V2, kept=place("run2"))]]
KEPT = [(D, "run1", "f", V1), (D, "run2", "f", V2)]


@pytest.mark.parametrize(
    ("run", "where"), [(-1, None), (0, place("run1")), (1, place("run2")), (2, None)], ids=["before", "0", "1", "2"]
)
def test_after_each_run_the_side_held_what_the_next_one_kept(run: int, where: Optional[str]) -> None:
    held = evidence(UPDATED, kept=KEPT).held(D, "f", run)

    assert held is not None
    assert held.absent == (where is None)
    assert (held.kept[0] if held.kept else None) == (None if where is None else (D, where))


def test_a_version_that_still_stands_is_found_in_its_place() -> None:
    held = evidence(UPDATED[:2], kept=KEPT[:1], standing={(D, "f"): V2}).held(D, "f", 1)

    assert held is not None
    assert held.kept == ((D, "f"), entry("f", V2))


@pytest.mark.parametrize(
    ("runs", "kept", "standing"),
    [
        ([[create(V1, S1)], [update(V1, V2, S2)]], [], {}),
        (UPDATED[:2], [], {}),
        ([[create(V1, S1)], [update(V3, V2, S2, kept=place("run1"))]], [(D, "run1", "f", V3)], {}),
        ([[create(V1, S1)]], [], {(D, "f"): V3}),
    ],
    ids=["not kept", "pruned since", "replaced by somebody before the run", "replaced by somebody since"],
)
def test_a_version_that_is_nowhere_is_said_to_be_lost(runs: Any, kept: Any, standing: Any) -> None:
    held = evidence(runs, kept=kept, standing=standing).held(D, "f", 0)

    assert held is not None
    assert (held.stamp, held.kept) == (V1, None)


def test_the_side_it_was_read_from_gives_what_this_side_lost() -> None:
    held = evidence([[create(V1, S1)]], standing={(D, "f"): V3, (S, "f"): S1}).held(D, "f", 0)

    assert held is not None
    assert held.kept == ((S, "f"), entry("f", S1))


def test_the_other_sides_trash_gives_what_this_sides_user_replaced() -> None:
    back = update(S1, S2, V2, target=S, origin=(D, "f"), kept=place("run1"))
    held = evidence([[create(V1, S1)], [back]], kept=[(S, "run1", "f", S1)]).held(D, "f", 0)

    assert held is not None
    assert held.kept is not None
    assert held.kept[0] == (S, place("run1"))


def test_what_a_side_held_before_it_was_first_written_is_what_that_write_replaced() -> None:
    found = evidence([[], [update(V1, V2, S2, kept=place("run1"))]], kept=KEPT[:1])

    held = found.held(D, "f", 0)
    assert held is not None
    assert held.kept is not None
    assert held.kept[0] == (D, place("run1"))
    assert found.held(D, "g", 0) is None


def test_a_side_that_is_only_read_held_what_the_other_one_shows() -> None:
    found = evidence(UPDATED, kept=KEPT)
    before, then = found.held(S, "f", -1), found.held(S, "f", 1)

    assert before is not None
    assert before.absent
    assert then is not None
    assert then.stamp == S2
    assert then.kept is not None
    assert then.kept[0] == (D, place("run2"))


def test_a_moved_file_is_followed_to_its_new_name() -> None:
    moved = outcome(
        Action.MOVE,
        "g",
        origin=(D, "f"),
        after=V1,
        expect_origin=V1,
        counterpart=S1,
        reason=Reason.RENAMED_AT_SOURCE,
    )
    found = evidence([[create(V1, S1)], [moved]], standing={(D, "g"): V1, (S, "g"): S1})

    held = found.held(D, "f", 0)
    assert held is not None
    assert held.kept is not None
    assert held.kept[0] == (D, "g")
    at_source = [found.held(S, path, 1) for path in ("f", "g")]
    assert [None if each is None else each.stamp for each in at_source] == [None, S1]


def test_what_only_the_trash_tells_is_a_version_of_unknown_end() -> None:
    found = evidence([], kept=KEPT, standing={(D, "f"): V3})

    first, second, third = (found.held(D, "f", run) for run in (0, 1, 2))
    assert first is not None
    assert first.stamp == V1
    assert second is not None
    assert second.stamp == V2
    assert third is None
    assert [version.stamp for version in found.versions(D, "f", {})] == [V3, V2, V1]


def test_versions_say_who_wrote_and_who_ended_them() -> None:
    newest, oldest = evidence(UPDATED, kept=KEPT).versions(D, "f", {})

    assert (newest.written_by, newest.run_id, newest.replaced_by, newest.number) == ("run1", "run2", Action.DELETE, 1)
    assert (oldest.written_by, oldest.run_id, oldest.replaced_by, oldest.number) == ("run0", "run1", Action.UPDATE, 2)


def test_a_version_that_was_not_kept_is_listed_without_a_number() -> None:
    newest, oldest = evidence(UPDATED, kept=KEPT[1:]).versions(D, "f", {})

    assert (newest.number, newest.kept_at) == (1, place("run2"))
    assert (oldest.number, oldest.kept_at) == (None, None)


# ------------------------------------------------------------------------------------------------------------- undoing


UNDOING: Dict[str, Any] = {
    "a creation that stands": (create(V1, S1), {(D, "f"): V1}, [], ["f: nothing"], []),
    "a creation that was edited": (create(V1, S1), {(D, "f"): V3}, [], [], ["changed"]),
    "a creation that is gone": (create(V1, S1), {}, [], [], ["changed"]),
    "an update that stands": (
        update(V1, V2, S2, kept=place("run0")),
        {(D, "f"): V2},
        [(D, "run0", "f", V1)],
        [f"f: {place('run0')}"],
        [],
    ),
    "an update whose version is lost": (update(V1, V2, S2), {(D, "f"): V2}, [], [], ["missing"]),
    "a deletion": (
        delete(V1, kept=place("run0")),
        {},
        [(D, "run0", "f", V1)],
        [f"f: {place('run0')}"],
        [],
    ),
    "a deletion that somebody undid": (
        delete(V1, kept=place("run0")),
        {(D, "f"): V3},
        [(D, "run0", "f", V1)],
        [],
        ["changed"],
    ),
    "a move": (
        outcome(Action.MOVE, "g", origin=(D, "f"), after=V1, expect_origin=V1),
        {(D, "g"): V1},
        [],
        ["g back to f"],
        [],
    ),
    "a move whose old name is taken": (
        outcome(Action.MOVE, "g", origin=(D, "f"), after=V1, expect_origin=V1),
        {(D, "g"): V1, (D, "f"): V3},
        [],
        [],
        ["collision"],
    ),
    "new permission bits": (
        outcome(Action.TOUCH, expect_target=V1, after=V1, mode=0o600),
        {(D, "f"): V1},
        [],
        [],
        ["unsupported"],
    ),
}


@pytest.mark.parametrize(("done", "standing", "kept", "wanted", "problems"), UNDOING.values(), ids=UNDOING)
def test_only_what_stands_as_the_run_left_it_is_undone(
    done: Outcome, standing: Any, kept: Any, wanted: List[str], problems: List[str]
) -> None:
    undoing = Undoing(evidence([[done]], kept=kept, standing=standing), 0)
    undoing.take([done])

    target = undoing.target(D).items()
    said = [f"{path}: {'nothing' if want is None else want.origin[1]}" for path, want in target]  # type: ignore[index]
    said += [f"{move.new} back to {move.old}" for move in undoing.moves[D]]
    assert said == wanted
    assert [problem.kind.value for problem in undoing.problems] == problems


# ------------------------------------------------------------------------------------------------------- bringing back


FILE = Wanted(Kind.FILE, (D, place("run0")), entry(place("run0"), V1))
FOLDER = Wanted(Kind.DIRECTORY)
DIRECTORY = Stamp()

BRINGING: Dict[str, Any] = {
    "a free path": ({"f": FILE}, {}, {}, ["create f"], []),
    "a file in the way is retained": ({"f": FILE}, {"f": V2}, {}, ["update f ʳ"], []),
    "a file that goes is retained": ({"f": None}, {"f": V2}, {}, ["delete f ʳ"], []),
    "what is gone already": ({"f": None}, {}, {}, [], []),
    "a folder for its own sake": ({"d": FOLDER}, {}, {}, ["create d/"], []),
    "a folder that a file implies": ({"d": FOLDER, "d/f": FILE}, {}, {}, ["create d/f"], []),
    "a folder that becomes empty goes": (
        {"d/f": None},
        {"d/f": V1, "d": DIRECTORY},
        {"d": ["d/f"]},
        ["delete d/", "delete d/f ʳ"],
        [],
    ),
    "a folder that holds more stays": ({"d/f": None}, {"d/f": V1}, {"d": ["d/f", "d/g"]}, ["delete d/f ʳ"], []),
    "a file for a folder with all that is in it": (
        {"d": FILE, "d/f": None},
        {"d": DIRECTORY, "d/f": V1},
        {"d": ["d/f"]},
        ["update d", "delete d/f ʳ"],
        [],
    ),
    "a file for a folder that holds more": (
        {"d": FILE, "d/f": None},
        {"d": DIRECTORY, "d/f": V1},
        {"d": ["d/f", "d/g"]},
        ["delete d/f ʳ"],
        ["collision"],
    ),
    "a folder for a file": (
        {"d": FOLDER, "d/f": FILE},
        {"d": V2},
        {},
        ["update d/ ʳ", "create d/f"],
        [],
    ),
    "a file below a stranger's file": ({"d/f": FILE}, {"d": V2}, {}, [], ["collision"]),
}


@pytest.mark.parametrize(("wanted", "standing", "contents", "does", "problems"), BRINGING.values(), ids=BRINGING)
def test_what_is_wanted_and_what_stands_become_operations(
    wanted: Any, standing: Dict[str, Stamp], contents: Any, does: List[str], problems: List[str]
) -> None:
    here = {path: entry(path, stamp, _kind(stamp)) for path, stamp in standing.items()}
    bringing = BringingBack(D, wanted, here, Purpose.UNDO, "run0")

    made = sorted(bringing.operations(contents), key=lambda operation: operation.path)

    assert [_said(operation) for operation in made] == does
    assert [problem.kind.value for problem in bringing.problems] == problems


@pytest.mark.parametrize(
    ("taken_by", "inside", "does", "problems"),
    [
        ({}, {}, ["move f", "delete new/"], []),
        ({"f": DIRECTORY}, {"f": []}, ["update f", "delete new/", "delete new/g ʳ"], []),
        ({"f": DIRECTORY, "f/x": V2}, {"f": ["f/x"]}, [], ["collision"]),
    ],
    ids=["a free name", "a directory of which nothing is left", "a directory that is used"],
)
def test_a_file_moves_back_where_its_old_name_is_free_or_becomes_so(
    taken_by: Dict[str, Stamp], inside: Any, does: List[str], problems: List[str]
) -> None:
    here = {path: entry(path, stamp, _kind(stamp)) for path, stamp in taken_by.items()}
    moved = entry("new/g", V1)
    here.update({"new": entry("new", DIRECTORY, Kind.DIRECTORY), "new/g": moved})
    bringing = BringingBack(D, {}, here, Purpose.UNDO, "run0", (Move("f", "new/g", moved),))

    made = sorted(bringing.operations({**inside, "new": ["new/g"]}), key=lambda operation: operation.path)

    assert sorted(_said(operation) for operation in made) == sorted(does)
    assert [problem.kind.value for problem in bringing.problems] == problems


def _kind(stamp: Stamp) -> Kind:
    return Kind.DIRECTORY if stamp == DIRECTORY else Kind.FILE


def _said(operation: Operation) -> str:
    slash = "/" if operation.kind is Kind.DIRECTORY else ""
    return f"{operation.action.value} {operation.path}{slash}{' ʳ' if operation.retain else ''}"
