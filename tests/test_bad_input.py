"""Bad input: each is refused with a class, an exit code and a message, and neither side nor the state changes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple, Type

import fsspec
import pytest
from attrs import frozen

import syncengine
from syncengine import (
    GuardError,
    Guards,
    Plan,
    PlanFormatError,
    RecipeError,
    ScanError,
    StalePlanError,
    StateError,
    SyncEngine,
    SyncError,
)
from syncengine.recipe import load
from tests.trees import FaultyFileSystem, exactly, files, remembered, write

MIRROR = "source-to-destination"


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    """A pair that has been synced, with one change on its way."""
    source, destination = write(tmp_path / "source", {"a": "1", "b": "2"}), tmp_path / "destination"
    syncengine.sync(source, destination, mode=MIRROR)
    write(source, {"c": "3"})
    return source, destination


@pytest.fixture
def unchanged(sides: Tuple[Path, Path]) -> Iterator[None]:
    """Check at the end of the test that neither side nor the state is another than before it."""
    before = exactly(*sides), remembered(*sides)
    yield
    assert (exactly(*sides), remembered(*sides)) == before


@pytest.fixture
def faulty() -> Iterator[Type[FaultyFileSystem]]:
    FaultyFileSystem.clear()
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    yield FaultyFileSystem
    FaultyFileSystem.clear()


@frozen
class Bad:
    """Arguments that are wrong, and what is said about them."""

    says: str
    arguments: Dict[str, Any]
    raises: Type[SyncError]
    exit_code: int
    message: str


ARGUMENTS = [
    Bad("the opposite of an argument", {"exclude": "*.tmp"}, RecipeError, 2, r"'exclude'; did you mean 'ignore'\?"),
    Bad("a guard as an argument", {"max_delete": 3}, RecipeError, 2, r"did you mean guards={'max_delete': ...}\?"),
    Bad(
        "an unknown argument", {"ingore": "*.tmp"}, RecipeError, 2, r"unknown argument 'ingore'; did you mean 'ignore'"
    ),
    Bad("an unknown mode", {"mode": "sorce-backup"}, RecipeError, 2, r"mode cannot be 'sorce-backup'; did you mean"),
    Bad("a mode that is no text", {"mode": 5}, RecipeError, 2, r"mode cannot be '5'\. Valid: two-way, "),
    Bad(
        "an unknown comparison", {"compare": "sha"}, RecipeError, 2, r"compare cannot be 'sha'.*Valid: hash-then-mtime"
    ),
    Bad("an unknown conflict policy", {"conflict": "older"}, RecipeError, 2, r"conflict cannot be 'older'"),
    Bad("an unknown retention", {"retain": "some"}, RecipeError, 2, r"retain cannot be 'some'"),
    Bad("an unknown link policy", {"symlinks": "copy"}, RecipeError, 2, r"symlinks cannot be 'copy'"),
    Bad("an unknown only_if", {"only_if": "older"}, RecipeError, 2, r"only_if cannot be 'older'"),
    Bad(
        "a first-sync preference with a one-way mode",
        {"mode": MIRROR, "initial": "source-wins"},
        RecipeError,
        2,
        r"initial='source-wins' is for two-way syncs; the mode is source-to-destination",
    ),
    Bad(
        "an unknown guard", {"guards": {"max_deletes": "5"}}, RecipeError, 2, r"unknown guard 'max_deletes'.*max_delete"
    ),
    Bad(
        "a limit that is no limit",
        {"guards": {"max_delete": "half"}},
        RecipeError,
        2,
        r'a count such as "25" or a share',
    ),
    Bad("guards that are a number", {"guards": 5}, RecipeError, 2, r"guards are given as Guards\(\.\.\.\)"),
    Bad(
        "a scope that leaves the root",
        {"scope": "../other"},
        RecipeError,
        2,
        r"scope holds a path that has a '\.\.' part",
    ),
    Bad("patterns that are a number", {"ignore": 5}, RecipeError, 2, r"a text or a list of texts is expected, not 5"),
    Bad("a size that is no size", {"max_size": "big"}, RecipeError, 2, r"max_size"),
    Bad("a bandwidth that is no size", {"bandwidth": "fast"}, RecipeError, 2, r"bandwidth"),
    Bad("metadata that is not kept", {"metadata": "owner"}, RecipeError, 2, r"metadata cannot be 'owner'"),
    Bad("a path map that is a number", {"path_map": 5}, RecipeError, 2, r"path_map"),
    Bad(
        "a path map that is not one-to-one",
        {"path_map": {"a": "x", "b": "x"}},
        RecipeError,
        2,
        r"path_map is not one-to-one",
    ),
    Bad(
        "a path map that leaves the root",
        {"path_map": {"a": "../x"}},
        RecipeError,
        2,
        r"path_map holds a path that has",
    ),
    Bad(
        "options for a local path",
        {"source_options": {"key": "1"}},
        RecipeError,
        2,
        r"a local path takes no options: key",
    ),
    Bad("an unknown profile", {"source_profile": "nowhere"}, RecipeError, 2, r"nowhere"),
    Bad(
        "a state with an unknown protocol",
        {"state": "nosuch://place"},
        RecipeError,
        2,
        r"no filesystem is known for nosuch",
    ),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("bad", ARGUMENTS, ids=lambda bad: bad.says)
def test_wrong_arguments_are_refused(bad: Bad, sides: Tuple[Path, Path]) -> None:
    for call in (syncengine.plan, syncengine.sync):
        with pytest.raises(bad.raises, match=bad.message) as caught:
            call(*sides, **bad.arguments)
        assert (caught.value.exit_code, type(caught.value)) == (bad.exit_code, bad.raises)


# ---------------------------------------------------------------------------- places


@pytest.mark.usefixtures("unchanged")
def test_an_unknown_protocol_names_the_nearest(sides: Tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError, match=r"no filesystem is known for memry://; did you mean memory://\?"):
        syncengine.plan(sides[0], "memry://bucket")


def test_a_protocol_whose_package_is_missing_names_the_package(sides: Tuple[Path, Path]) -> None:
    fsspec.register_implementation(
        "absent", "absent_package.FileSystem", errtxt="Install absent-package to access it", clobber=True
    )

    with pytest.raises(
        RecipeError, match=r"absent:// needs a package that is not installed: .*absent-package"
    ) as caught:
        syncengine.plan(sides[0], "absent://bucket/prefix")
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("inner", ["source", "destination", "neither"])
def test_overlapping_and_equal_roots_are_refused(inner: str, sides: Tuple[Path, Path]) -> None:
    source, _ = sides
    pair = {
        "source": (source / "below", source),
        "destination": (source, source / "below"),
        "neither": (source, source),
    }

    with pytest.raises(RecipeError, match=r"the two sides overlap: .*Sync two separate places"):
        syncengine.sync(*pair[inner], mode=MIRROR)


def test_roots_that_are_equal_through_a_link_are_refused(sides: Tuple[Path, Path]) -> None:
    source, _ = sides
    link = source.parent / "link"
    link.symlink_to(source)

    with pytest.raises(RecipeError, match="are the same place"):
        syncengine.sync(source, link)


@pytest.mark.usefixtures("unchanged")
def test_a_destination_that_is_a_file_is_refused(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    with pytest.raises(RecipeError, match=r"destination/a is a file; a destination is a directory"):
        syncengine.sync(source, destination / "a")


@pytest.mark.usefixtures("unchanged")
def test_a_source_file_has_no_scope_and_does_not_go_where_it_is(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    with pytest.raises(RecipeError, match="is one file, which has no scope inside"):
        syncengine.sync(source / "a", destination, scope="x")
    with pytest.raises(RecipeError, match="the two sides overlap"):
        syncengine.sync(source / "a", source)


@pytest.mark.parametrize("value", [5, None, object(), ("memory", "x", "y"), ""], ids=lambda value: type(value).__name__)
def test_what_is_no_place_is_refused(value: Any, sides: Tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError):
        syncengine.plan(sides[0], value)


@pytest.mark.usefixtures("unchanged")
def test_a_trash_that_would_be_synced_is_refused(sides: Tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError, match="Choose a place outside both sides"):
        syncengine.sync(*sides, trash=sides[1] / "bin")


def test_a_missing_source_is_an_error_with_the_place_and_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=rf"the source file://{tmp_path}/nowhere does not exist\. Check") as caught:
        syncengine.sync(tmp_path / "nowhere", tmp_path / "d")
    assert (caught.value.exit_code, caught.value.reason) == (7, "root_missing")
    assert list(tmp_path.iterdir()) == []


def test_a_destination_that_was_there_must_be_there_again(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    destination.rename(destination.with_name("unmounted"))
    with pytest.raises(ScanError, match=r"It was there in an earlier sync.*--allow-emptied"):
        syncengine.sync(source, destination, mode=MIRROR)
    assert not destination.exists()
    assert syncengine.sync(source, destination, mode=MIRROR, allow_emptied=True).ok
    assert files(destination) == files(source)


def test_a_name_too_long_for_the_system_is_a_problem_and_not_an_absence(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1"})
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/" + "x" * 300, b"1")
    memory.pipe_file("/bucket/a", b"1")

    report = syncengine.sync("memory://bucket", source, mode=MIRROR, guards=Guards.off())

    assert report.exit_code == 7
    assert "longer than the 255 bytes" in report.plan.problems[0].message


def test_a_directory_that_became_a_loop_of_links_is_not_taken_for_empty(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1", "d/b": "2"})
    destination = tmp_path / "d"
    syncengine.sync(source, destination, mode=MIRROR, symlinks="follow")
    (source / "d" / "b").unlink()
    (source / "d").rmdir()
    (source / "d").symlink_to(source / "d")

    report = syncengine.sync(source, destination, mode=MIRROR, symlinks="follow", guards=Guards.off())

    assert [problem.path for problem in report.plan.problems] == ["d"]
    assert files(destination) == {"a": "1", "d/b": "2"}


def test_an_unreadable_subtree_is_reported_with_place_and_reason(
    faulty: Type[FaultyFileSystem], tmp_path: Path
) -> None:
    faulty.put("root/sub/a", b"1")
    destination = write(tmp_path / "d", {"sub/b": "2"})
    faulty.hook = staticmethod(_denied)

    report = syncengine.sync("faulty://root", destination, mode=MIRROR, guards=Guards.off())

    problem = report.plan.problems[0]
    assert (problem.kind.value, problem.path, problem.side) == ("denied", "sub", syncengine.Side.SOURCE)
    assert (report.exit_code, files(destination)) == (7, {"sub/b": "2"})


def _denied(call: str, path: str) -> None:
    if (call, path) == ("ls", "root/sub"):
        raise PermissionError(13, "denied")


@pytest.mark.parametrize("name", ["../x", "/absolute", "a\0b", "", "C:x", "a//b", ".", "a/../../x"], ids=repr)
def test_a_hostile_name_from_a_client_of_ones_own_is_refused(name: str, tmp_path: Path) -> None:
    from tests.storage.plain_client import PlainClient

    client = PlainClient({"good": b"1"})
    client._files[name] = (b"evil", 0)
    destination = tmp_path / "in" / "d"

    report = syncengine.sync(client, destination)

    assert files(tmp_path) == {"in/d/good": "1"}
    assert report.exit_code == 7
    assert [problem.kind.value for problem in report.plan.problems] == ["bad_name"]


# ----------------------------------------------------------------------- saved plans


def _truncated(text: str) -> str:
    return text[: len(text) // 2]


def _edited(text: str) -> str:
    return text.replace('"path": "c"', '"path": "d"')


def _next_major(text: str) -> str:
    return text.replace('"format_version": "1.', '"format_version": "2.')


def _escaping(text: str) -> str:
    return text.replace('"path": "c"', '"path": "../c"')


def _another_document(text: str) -> str:
    return json.dumps({"format": "something else"})


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_truncated, r"probably cut off"),
        (_edited, r"(?i)digest|changed"),
        (_next_major, r"2\."),
        (_escaping, r"path|digest"),
        (_another_document, r"plan"),
        (lambda text: "", r"plan|JSON"),
        (lambda text: "[]", r"plan|JSON"),
        (lambda text: "\x00\x01binary", r"plan|JSON"),
    ],
    ids=["truncated", "edited", "newer", "escaping", "another document", "empty", "a list", "binary"],
)
@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_a_spoiled_plan_is_refused(
    spoil: Callable[[str], str], message: str, suffix: str, sides: Tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / f"plan{suffix}"
    spoiled = spoil(syncengine.plan(*sides, mode=MIRROR).to_json())
    path.write_bytes(gzip.compress(spoiled.encode()) if suffix.endswith("gz") else spoiled.encode())

    with pytest.raises(PlanFormatError, match=message) as caught:
        syncengine.apply(path)
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("unchanged")
def test_a_plan_file_that_is_not_there_is_said_so(sides: Tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(syncengine.NotFound, match=r"nowhere\.json"):
        syncengine.apply(tmp_path / "nowhere.json")


@pytest.mark.usefixtures("unchanged")
def test_a_plan_with_another_digest_than_the_approved_is_refused(sides: Tuple[Path, Path]) -> None:
    plan = syncengine.plan(*sides, mode=MIRROR)
    with pytest.raises(PlanFormatError, match=f"{plan.digest}, not the expected sha256:00") as caught:
        syncengine.apply(plan, expect_digest="sha256:00")
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("unchanged")
def test_a_plan_is_not_applied_to_another_place_of_the_same_url(sides: Tuple[Path, Path], tmp_path: Path) -> None:
    source, destination = sides
    plan = syncengine.plan(source, destination, mode=MIRROR)
    moved = destination.rename(tmp_path / "moved")
    other = write(tmp_path / "other", {"precious": "1"})
    destination.symlink_to(other)

    with pytest.raises(StalePlanError, match="is another place than the one the plan was made for") as caught:
        syncengine.apply(Plan.from_json(plan.to_json()))

    assert (caught.value.exit_code, files(other)) == (5, {"precious": "1"})
    destination.unlink()
    moved.rename(destination)


@pytest.mark.usefixtures("unchanged")
def test_apply_takes_no_argument_that_decides(sides: Tuple[Path, Path]) -> None:
    plan = syncengine.plan(*sides, mode=MIRROR)
    with pytest.raises(RecipeError, match="apply has no argument 'mode'"):
        syncengine.apply(plan, mode="source-backup")
    with pytest.raises(RecipeError, match="on_stale cannot be 'ignore'"):
        syncengine.apply(plan, on_stale="ignore")


@pytest.mark.usefixtures("unchanged")
def test_a_guard_violation_names_numbers_and_cure(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    with pytest.raises(GuardError, match=r"(?s)would transfer 1 byte; the limit is 0.*raise guards") as caught:
        syncengine.sync(source, destination, mode=MIRROR, guards=Guards(max_transfer_bytes=0))
    assert (caught.value.exit_code, len(caught.value.blockers)) == (6, 1)


# ------------------------------------------------------------------------------ recipes


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('mode = "source-backups"', r"mode.*source-backup"),
        ("ignore = 5", r"ignore"),
        ('ingore = ["*.tmp"]', r"ingore.*ignore"),
        ("force = 3", r"force"),
        ('workers = "many"', r"workers"),
        ("= 5", r"recipe"),
    ],
)
def test_a_wrong_recipe_names_the_key_and_the_nearest(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(f'format = "syncengine.recipe/1"\nsource = "s"\ndestination = "d"\n{line}\n')

    with pytest.raises(RecipeError, match=message) as caught:
        load(path)
    assert caught.value.exit_code == 2


# -------------------------------------------------------------------------------- state


def _database(home: Path) -> Path:
    return next(home.rglob("state.sqlite"))


@pytest.mark.parametrize("spoil", [b"this is no database " * 1000, b""], ids=["overwritten", "emptied"])
def test_a_corrupt_state_stops_the_run_and_touches_no_side(
    spoil: bytes, sides: Tuple[Path, Path], isolated_user: Path
) -> None:
    database = _database(isolated_user)
    for path in database.parent.glob("state.sqlite*"):
        path.unlink()
    database.write_bytes(spoil)
    before = exactly(*sides)

    with pytest.raises(StateError) as caught:
        syncengine.sync(*sides, mode=MIRROR)

    assert caught.value.exit_code == 1
    assert exactly(*sides) == before


def test_a_state_in_a_place_that_cannot_be_written_stops_the_run_before_the_first_change(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1"})
    occupied = write(tmp_path, {"file": "x"}) / "file"

    with pytest.raises((StateError, RecipeError), match="file"):
        syncengine.sync(source, tmp_path / "d", state=occupied / "below")
    assert not (tmp_path / "d").exists()


def test_a_state_that_a_living_run_holds_stops_the_second_run(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    with SyncEngine(source, destination, mode=MIRROR) as engine:
        state = engine.job().state
        assert state is not None
        state.acquire()
        before = exactly(source, destination)

        with pytest.raises(StateError):
            syncengine.sync(source, destination, mode=MIRROR)
        assert exactly(source, destination) == before
    assert syncengine.sync(source, destination, mode=MIRROR).ok


def test_every_exit_code_of_an_error_is_the_documented_one() -> None:
    codes = {
        "SyncError": 1,
        "RecipeError": 2,
        "ScanError": 7,
        "PlanError": 1,
        "PlanFormatError": 2,
        "StalePlanError": 5,
        "UnresolvedConflictsError": 4,
        "GuardError": 6,
        "PartialApplyError": 3,
        "SyncInterrupted": 130,
        "StateError": 1,
        "StorageError": 1,
    }
    assert {name: getattr(syncengine, name).exit_code for name in codes} == codes
    named: List[Any] = [getattr(syncengine, name) for name in syncengine.__all__]
    errors = [value for value in named if isinstance(value, type) and issubclass(value, Exception)]
    assert all(issubclass(error, SyncError) for error in errors)
