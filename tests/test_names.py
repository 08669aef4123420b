"""Sides that take several spellings for one name: one file, one key, and each side's own spelling."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Tuple
from unicodedata import normalize

import pytest

import syncengine
from syncengine import Action
from syncengine.core.entry import Base, Entry, Extent, Kind, Problem, Seen, Side, Stamp
from syncengine.core.folding import Folding, folded
from syncengine.storage import conformance
from syncengine.storage.local import LocalStorageClient
from tests.storage.folding import DecomposingClient, FoldingClient, MacClient
from tests.trees import aged, files, write

TWO_WAY: Dict[str, Any] = {"mode": "two-way", "progress": False}
Pair = Tuple[LocalStorageClient, FoldingClient]
COMPOSED, DECOMPOSED = normalize("NFC", "é"), normalize("NFD", "é")


@pytest.fixture
def insensitive(tmp_path: Path) -> Pair:
    return LocalStorageClient(str(write(tmp_path / "plain", {}))), FoldingClient(str(write(tmp_path / "folding", {})))


@pytest.fixture
def decomposing(tmp_path: Path) -> Pair:
    return (
        LocalStorageClient(str(write(tmp_path / "plain", {}))),
        DecomposingClient(str(write(tmp_path / "folding", {}))),
    )


def place(client: LocalStorageClient) -> Path:
    return Path(client.root)


def actions(plan: syncengine.Plan) -> List[Tuple[str, str, str]]:
    return sorted((each.action.value, each.target.value, each.path) for each in plan)


def settled(*pair: LocalStorageClient) -> bool:
    return syncengine.plan(*pair, **TWO_WAY).empty


@pytest.mark.parametrize("kind", [FoldingClient, DecomposingClient])
@pytest.mark.parametrize("one", conformance.CHECKS, ids=conformance.name_of)
def test_the_folding_file_systems_of_these_tests_pass_the_suite(kind: Any, one: Any, tmp_path: Path) -> None:
    def make(held: Any) -> conformance.Subject:
        root = write(tmp_path / "root", held)
        return conformance.Subject(kind(str(root)), lambda: kind(str(root)))

    one(make)


def test_both_sides_meet_under_one_key_and_directories_keep_their_spelling(insensitive: Pair) -> None:
    write(place(insensitive[0]), {"Docs/Readme.md": "1", "both": "same"})
    write(place(insensitive[1]), {"DOCS/other": "2", "both": "same"})
    syncengine.sync(*insensitive, **TWO_WAY)

    assert files(place(insensitive[0])) == {"Docs/Readme.md": "1", "Docs/other": "2", "both": "same"}
    assert {path.casefold() for path in files(place(insensitive[1]))} == {"docs/readme.md", "docs/other", "both"}
    assert {path.parts[0] for path in map(Path, files(place(insensitive[1])))} >= {"DOCS"}
    assert settled(*insensitive)


def test_composed_and_decomposed_names_are_one_path_and_no_rename(decomposing: Pair) -> None:
    write(place(decomposing[0]), {f"caf{COMPOSED}/r{COMPOSED}sum{COMPOSED}": "1"})
    syncengine.sync(*decomposing, **TWO_WAY)
    (stored,) = files(place(decomposing[1]))

    assert stored == f"caf{DECOMPOSED}/r{DECOMPOSED}sum{DECOMPOSED}"
    assert settled(*decomposing)

    write(place(decomposing[1]), {stored: "edited there"})
    report = syncengine.sync(*decomposing, **TWO_WAY)

    assert actions(report.plan) == [("update", "source", f"caf{COMPOSED}/r{COMPOSED}sum{COMPOSED}")]
    assert list(files(place(decomposing[0])).values()) == ["edited there"]
    assert settled(*decomposing)


def test_a_removal_reaches_the_file_under_the_spelling_of_its_side(insensitive: Pair) -> None:
    write(place(insensitive[0]), {"a": "1", "k": "1"})
    write(place(insensitive[1]), {"A": "1"})
    aged(place(insensitive[0]), place(insensitive[1]))
    syncengine.sync(*insensitive, **TWO_WAY)
    (place(insensitive[0]) / "a").unlink()
    syncengine.sync(*insensitive, **TWO_WAY)

    assert set(files(place(insensitive[1]))) == {"k"}
    assert settled(*insensitive)


@pytest.mark.parametrize("mode", ["two-way", "source-to-destination"])
def test_a_name_that_changes_only_its_case_is_one_rename(insensitive: Pair, mode: str) -> None:
    source, destination = insensitive
    write(place(source), {"Readme": "text", "k": "1"})
    aged(place(source))
    syncengine.sync(*insensitive, **TWO_WAY)
    os.rename(place(source) / "Readme", place(source) / "README")
    plan = syncengine.plan(*insensitive, mode=mode)
    report = syncengine.apply(plan)

    assert report.ok, report
    assert [(each.action, each.path, each.moved_from) for each in plan] == [(Action.MOVE, "README", "Readme")]
    assert (plan.totals.transfer_bytes, plan.totals.removed_bytes, plan.totals.overwritten_bytes) == (0, 0, 0)
    assert files(place(destination)) == {"README": "text", "k": "1"}
    assert settled(*insensitive)


def test_two_names_that_are_one_elsewhere_are_left_alone_and_reported_by_name(insensitive: Pair) -> None:
    write(place(insensitive[0]), {"Data.txt": "one", "data.txt": "second", "other": "oo"})
    report = syncengine.sync(*insensitive, **TWO_WAY)

    assert set(files(place(insensitive[1]))) == {"other"}
    assert set(files(place(insensitive[0]))) == {"Data.txt", "data.txt", "other"}
    (problem,) = report.plan.problems
    assert "Data.txt and data.txt are one name at the destination" in problem.message
    assert report.exit_code == 7


def test_the_one_that_was_agreed_on_goes_on_syncing(insensitive: Pair) -> None:
    source, destination = (place(each) for each in insensitive)
    write(source, {"Data.txt": "one"})
    aged(source)
    syncengine.sync(*insensitive, **TWO_WAY)
    write(source, {"data.txt": "a newcomer"})
    write(destination, {"Data.txt": "edited there"})
    report = syncengine.sync(*insensitive, **TWO_WAY)

    assert files(source) == {"Data.txt": "edited there", "data.txt": "a newcomer"}
    assert files(destination) == {"Data.txt": "edited there"}
    assert [problem.path for problem in report.plan.problems] == ["data.txt"]


@pytest.mark.parametrize("policy", ["source", "destination", "keep-both"])
def test_a_conflict_is_decided_under_the_spelling_of_each_side(insensitive: Pair, policy: str) -> None:
    source, destination = (place(each) for each in insensitive)
    write(source, {"File": "ours"})
    write(destination, {"FILE": "theirs!"})
    report = syncengine.sync(*insensitive, conflict=policy, **TWO_WAY)

    assert report.ok, report
    assert sorted(files(source).values()) == sorted(files(destination).values())
    assert {"File", "FILE"} <= {*files(source), *files(destination)}
    # The side that tells spellings apart has chosen one; the other takes it over.
    assert {each.chosen_by for each in syncengine.sync(*insensitive, **TWO_WAY).plan} <= {"rule:N2"}
    assert settled(*insensitive)


STAMP, OTHER = Stamp(size=1, mtime_ns=1), Stamp(size=2, mtime_ns=2)


@pytest.mark.parametrize(
    ("says", "base", "kept"),
    [
        ("nothing was agreed on", None, []),
        ("one of them was", Base("a", Kind.FILE, STAMP, STAMP), ["A"]),
        ("what was agreed on is neither", Base("a", Kind.FILE, Stamp(size=9), STAMP), []),
    ],
)
def test_names_that_share_a_key_are_judged_together(says: str, base: Any, kept: List[str]) -> None:
    entries: List[Seen] = [Entry("A", Kind.FILE, STAMP), Entry("a", Kind.FILE, OTHER), Entry("b", Kind.FILE, STAMP)]
    found = list(folded(entries, Folding(case=True), Side.SOURCE, lambda _: base))
    problems = [item for item in found if isinstance(item, Problem)]

    assert [item.own_path for item in found if isinstance(item, Entry)] == [*kept, "b"]
    assert [(each.path, each.extent) for each in problems] == [("a", Extent.NOTHING if kept else Extent.PATH)]


# ------------------------------------------------------------------------ renames


RENAMES = {
    "to another name": {"Docs/Letter": "Docs/Answer"},
    "into another directory": {"Docs/Letter": "Other/Letter"},
    "of a whole directory": {"Docs": "Papers"},
    "and in another case at once": {"Docs/Letter": "DOCS new/LETTER"},
    "with accents": {"Docs/Letter": f"Docs/caf{COMPOSED}"},
}


@pytest.mark.parametrize("leads", [0, 1])
@pytest.mark.parametrize(
    ("says", "kind", "mode"),
    [
        *((says, kind, "two-way") for says in RENAMES for kind in (FoldingClient, DecomposingClient, MacClient)),
        *(("of a whole directory", MacClient, mode) for mode in ("mirror", "backup")),
    ],
)
def test_renames_are_followed_where_a_side_folds_names(
    says: str, kind: Any, mode: str, leads: int, tmp_path: Path
) -> None:
    pair = (LocalStorageClient(str(write(tmp_path / "plain", {}))), kind(str(write(tmp_path / "folding", {}))))
    first, second = (pair[0], pair[1]) if leads == 0 else (pair[1], pair[0])
    write(place(first), {"Docs/Letter": "a letter", "Docs/sub/Note": "a note", "k": "1"})
    aged(place(first))
    options = {"mode": {"mirror": "source-to-destination", "backup": "source-backup"}.get(mode, mode)}
    syncengine.sync(first, second, **options)
    for old, new in RENAMES[says].items():
        target = place(first) / (first.stored(new) if isinstance(first, FoldingClient) else new)
        target.parent.mkdir(exist_ok=True)
        os.rename(place(first) / old, target)
    report = syncengine.sync(first, second, **options)

    assert report.ok, report
    assert {each.action for each in report.plan if each.kind is Kind.FILE} == {
        Action.COPY if mode == "backup" else Action.MOVE
    }
    assert [outcome.bytes for outcome in report.outcomes] == [0] * len(report.outcomes)
    wanted = {MacClient.key(path): text for path, text in files(place(first)).items()}
    found = {MacClient.key(path): text for path, text in files(place(second)).items()}
    assert found.items() >= wanted.items()
    assert mode == "backup" or found == wanted
    assert syncengine.plan(first, second, **options).empty


def test_a_rename_is_spelled_as_it_was_chosen_in_the_directory_as_its_side_spells_it(insensitive: Pair) -> None:
    write(place(insensitive[0]), {"Docs/Letter": "a letter", "k": "1"})
    write(place(insensitive[1]), {"DOCS/other": "o"})
    aged(*map(place, insensitive))
    syncengine.sync(*insensitive, **TWO_WAY)
    os.rename(place(insensitive[0]) / "Docs/Letter", place(insensitive[0]) / "Docs/Answer")
    report = syncengine.sync(*insensitive, **TWO_WAY)

    assert actions(report.plan) == [("move", "destination", "DOCS/Answer")]
    assert files(place(insensitive[1])) == {"DOCS/Answer": "a letter", "DOCS/other": "o", "k": "1"}
    assert settled(*insensitive)


def test_an_edit_follows_a_rename_to_the_side_that_folds(insensitive: Pair) -> None:
    source, destination = (place(each) for each in insensitive)
    write(source, {"Letter": "a letter", "k": "1"})
    aged(source)
    syncengine.sync(*insensitive, **TWO_WAY)
    os.rename(source / "Letter", source / "Answer")
    write(destination, {"Letter": "edited there"})
    report = syncengine.sync(*insensitive, **TWO_WAY)

    assert report.plan.conflicts == ()
    assert files(source) == files(destination) == {"Answer": "edited there", "k": "1"}
    assert settled(*insensitive)
    (destination / "Answer").unlink()
    assert actions(syncengine.plan(*insensitive, **TWO_WAY)) == [("delete", "source", "Answer")]


def test_a_new_name_that_is_another_file_s_where_names_are_folded_is_left_alone(insensitive: Pair) -> None:
    source, destination = (place(each) for each in insensitive)
    write(source, {"Letter": "a letter", "note": "a note"})
    aged(source)
    syncengine.sync(*insensitive, **TWO_WAY)
    os.rename(source / "Letter", source / "NOTE")
    report = syncengine.sync(*insensitive, **TWO_WAY)

    assert files(source) == {"NOTE": "a letter", "note": "a note"}
    assert files(destination)["note"] == "a note"
    assert [problem.path for problem in report.plan.problems] == ["NOTE"]


def test_a_followed_rename_that_was_killed_before_it_was_recorded_is_taken_up(
    insensitive: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    source, destination = (place(each) for each in insensitive)
    write(source, {"Letter": "a letter", "k": "1"})
    aged(source)
    syncengine.sync(*insensitive, **TWO_WAY)
    os.rename(source / "Letter", source / "Answer")
    move = FoldingClient.move

    def killed(self: Any, *arguments: Any, **options: Any) -> None:
        move(self, *arguments, **options)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(FoldingClient, "move", killed)
        with pytest.raises(Killed):
            syncengine.sync(*insensitive, **TWO_WAY)
    write(destination, {"Answer": "edited there"})
    report = syncengine.sync(*insensitive, **TWO_WAY)

    assert report.plan.conflicts == ()
    assert files(source) == files(destination) == {"Answer": "edited there", "k": "1"}
    assert settled(*insensitive)


@pytest.mark.parametrize("policy", ["newest", "keep-both", "source"])
def test_a_file_that_faces_a_directory_stays_where_a_side_folds_names_and_the_plan_says_so(
    policy: str, insensitive: Pair
) -> None:
    """What lies in the directory has two spellings, and nothing of it is moved on the guess of one of them."""
    source, destination = (place(each) for each in insensitive)
    write(source, {"Thing": "a file", "k": "1"})
    write(destination, {"THING/Inside": "i", "k": "1"})
    report = syncengine.sync(*insensitive, conflict=policy, **TWO_WAY)

    assert files(source) == {"Thing": "a file", "k": "1"}
    assert files(destination) == {"THING/Inside": "i", "k": "1"}
    assert [each.open for each in report.plan.conflicts] == [True]
    (problem,) = report.plan.problems
    assert "names are folded" in problem.message
    assert "rename one of them" in problem.message
