"""With retain="all" every version that a run replaces or deletes is kept, in every mode, and history shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

import syncengine
from syncengine import SyncMode
from syncengine.errors import RecipeError
from tests.trees import trash, write

Sides = Tuple[Path, Path]


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    source = write(tmp_path / "source", {"f": "one", "gone": "gone at the source", "same": "="})
    return source, write(tmp_path / "destination", {})


def edited_on_both(sides: Sides) -> None:
    write(sides[0], {"f": "two two"})
    (sides[0] / "gone").unlink()
    write(sides[1], {"same": "edited there"})


def both(sides: Sides) -> List[Dict[str, str]]:
    return [trash(side) for side in sides]


@pytest.mark.parametrize(
    ("mode", "kept"),
    [
        (SyncMode.TWO_WAY, [{"same": "="}, {"f": "one", "gone": "gone at the source"}]),
        (
            SyncMode.SOURCE_TO_DESTINATION,
            [{}, {"f": "one", "gone": "gone at the source", "same": "edited there"}],
        ),
        (SyncMode.SOURCE_BACKUP, [{}, {"f": "one", "same": "edited there"}]),
        (SyncMode.DESTINATION_TO_SOURCE, [{"f": "two two", "same": "="}, {}]),
        (SyncMode.DESTINATION_BACKUP, [{"f": "two two", "same": "="}, {}]),
    ],
    ids=lambda value: value.value if isinstance(value, SyncMode) else "",
)
def test_every_replaced_or_deleted_version_is_kept(sides: Sides, mode: SyncMode, kept: List[Dict[str, str]]) -> None:
    syncengine.sync(*sides, retain="all")
    edited_on_both(sides)

    report = syncengine.sync(*sides, mode=mode, retain="all")

    assert both(sides) == kept
    shown = {version.path: version for version in syncengine.history(*sides, "f").versions if version.number}
    assert {version.run_id for version in shown.values()} <= {report.run_id}
    assert ("f" in shown) == any("f" in each for each in kept)
    for version in shown.values():
        folder = sides[0] if version.side.value == "source" else sides[1]
        assert (folder / str(version.kept_at)).stat().st_size == version.stamp.size


def test_a_deletion_in_the_other_direction_is_kept_too(sides: Sides) -> None:
    syncengine.sync(*sides, retain="all")
    (sides[1] / "gone").unlink()

    syncengine.sync(*sides, mode="destination-to-source", retain="all")

    assert both(sides) == [{"gone": "gone at the source"}, {}]


def test_a_resolved_conflict_keeps_the_loser(sides: Sides) -> None:
    syncengine.sync(*sides, mode="two-way", retain="all")
    write(sides[0], {"f": "here"})
    write(sides[1], {"f": "there!"})

    syncengine.sync(*sides, mode="two-way", retain="all", conflict="source")

    assert both(sides) == [{}, {"f": "there!"}]


def test_without_a_path_history_is_the_runs_newest_first(sides: Sides) -> None:
    first = syncengine.sync(*sides, retain="all")
    write(sides[0], {"f": "two two"})
    second = syncengine.sync(*sides, retain="all")

    history = syncengine.history(*sides)

    assert [run.run_id for run in history] == [second.run_id, first.run_id]
    assert len(history) == 2
    assert str(history).splitlines()[0].startswith(second.run_id)
    assert [record["done"] for record in history.to_records()] == [1, 3]
    assert repr(history) == "<History: 2 runs>"


def test_history_of_a_path_is_a_table_and_a_frame(sides: Sides) -> None:
    syncengine.sync(*sides, retain="all")
    write(sides[0], {"f": "two two"})
    run = syncengine.sync(*sides, retain="all")

    history = syncengine.history(*sides, "f")

    assert [version.current for version in history] == [True, False, True]
    kept = history.to_records()[1]
    assert (kept["number"], kept["size"], kept["run_id"], kept["replaced_by"]) == (1, 3, run.run_id, "update")
    assert "until" in history._repr_html_()
    frame = history.to_pandas()
    assert list(frame["number"].dropna()) == [1]
    assert history.to_polars().shape == (3, 13)
    assert history.to_arrow().num_rows == 3


def test_a_hostile_name_breaks_no_view(sides: Sides) -> None:
    name = "<script>\x1b[31m"
    write(sides[0], {name: "one"})
    syncengine.sync(*sides, retain="all")

    history = syncengine.history(*sides, name)

    assert "<script>" not in history._repr_html_()
    assert "\x1b" not in str(history) + history._repr_html_()


def test_a_pair_that_was_never_synced_has_no_history(sides: Sides) -> None:
    assert len(syncengine.history(*sides)) == 0
    assert str(syncengine.history(*sides)) == "no run is on record"
    assert [version.current for version in syncengine.history(*sides, "f")] == [True]
    assert "no version" in str(syncengine.history(*sides, "nothing"))


@pytest.mark.parametrize("path", ["", "../f", "a//b"])
def test_what_cannot_be_a_path_is_refused(sides: Sides, path: str) -> None:
    with pytest.raises(RecipeError, match="a path below the roots"):
        syncengine.history(*sides, path)


def test_what_both_users_did_alike_ends_a_version_too(sides: Sides) -> None:
    options: Dict[str, Any] = {"mode": "two-way", "retain": "all"}
    first = syncengine.sync(*sides, **options)
    for side in sides:
        (side / "gone").unlink()
        write(side, {"f": "alike"})
    second = syncengine.sync(*sides, **options)
    write(sides[0], {"f": "two two", "gone": "here again"})
    syncengine.sync(*sides, **options)

    then = syncengine.restore(*sides, run=second.run_id, delete=True, **options)
    assert [(each.action.value, each.path) for each in then] == [("update", "f"), ("delete", "gone")]
    assert not then.problems

    lost = syncengine.restore(*sides, run=first.run_id, **options)
    assert [problem.path for problem in lost.problems] == ["f", "gone"]


def test_a_journal_of_an_earlier_release_is_read(sides: Sides, tmp_path: Path) -> None:
    state = tmp_path / "state"
    run = syncengine.sync(*sides, retain="all", state=str(state))
    (journal,) = state.glob("*/runs/*.jsonl")
    first, *rest = journal.read_text().splitlines()
    head, _, _ = first.partition(',"source"')
    journal.write_text("\n".join([head + "}", *rest]) + "\n")

    plan = syncengine.undo(run.run_id, *sides, state=str(state))

    assert [(each.action.value, each.path) for each in plan] == [
        ("delete", "f"),
        ("delete", "gone"),
        ("delete", "same"),
    ]


def test_a_trash_named_by_the_last_sync_is_found_without_being_named_again(tmp_path: Path) -> None:
    source, vault = tmp_path / "source", tmp_path / "vault"
    source.mkdir()
    for text in ("one", "two, longer"):
        (source / "a").write_text(text)
        report = syncengine.sync(source, vault, retain="all", trash=tmp_path / "kept")

    assert f"kept in {tmp_path}/kept/" in str(report)
    kept = [version for version in syncengine.history(source, vault, "a") if version.kept_at is not None]
    assert len(kept) == 1
    syncengine.apply(syncengine.restore(source, vault, "a", to=tmp_path / "again")).raise_for_status()
    assert (tmp_path / "again/a").read_text() == "one"


def test_a_file_without_kept_versions_is_not_called_a_folder(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a").write_text("one")
    syncengine.sync(tmp_path / "source", tmp_path / "vault")

    with pytest.raises(syncengine.RecipeError, match="no version of a") as caught:
        syncengine.restore(tmp_path / "source", tmp_path / "vault", "a", to=tmp_path / "again")
    assert "folder" not in str(caught.value)
