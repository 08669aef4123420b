"""Promises 1 to 22: accidents in which users of other tools lost data."""

from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import fsspec
import pytest

import syncengine
from syncengine import GuardError, Guards, ScanError, Status, SyncEngine
from syncengine.core.paths import TEMPORARY_PREFIX
from syncengine.storage.temporary import host_mark
from tests.servers import ftp_server, http_server
from tests.trees import (
    FaultyFileSystem,
    HaltingSource,
    LocalWithHook,
    aged,
    everything,
    exactly,
    files,
    python,
    remembered,
    trash,
    write,
)

MIRROR = "source-to-destination"
MODES = ("source-to-destination", "source-backup", "destination-to-source", "destination-backup")


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    return write(tmp_path / "source", {}), write(tmp_path / "destination", {})


@pytest.fixture
def faulty() -> Iterator[FaultyFileSystem]:
    FaultyFileSystem.clear()
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    yield FaultyFileSystem()
    FaultyFileSystem.clear()


def refusing(call: str, path: str, error: BaseException) -> Callable[[str, str], None]:
    def hook(called: str, at: str) -> None:
        if (called, at) == (call, path):
            raise error

    return staticmethod(hook)  # type: ignore[return-value]


def statuses(report: syncengine.Report) -> Dict[str, Status]:
    return {outcome.operation.path: outcome.status for outcome in report.outcomes}


# --------------------------------------------------------------- 1: a root that is not there


@pytest.mark.parametrize("gone", ["source", "destination"])
@pytest.mark.parametrize("mode", MODES)
def test_promise_01_an_unmounted_side_is_an_error_and_never_an_empty_side(
    mode: str, gone: str, sides: Tuple[Path, Path]
) -> None:
    source, destination = sides
    write(source, {"a": "1", "b": "2"})
    syncengine.sync(source, destination)
    before_state = remembered(source, destination)
    side = source if gone == "source" else destination
    side.rename(side.with_name("unmounted"))
    before = exactly(source, destination, side.with_name("unmounted"))

    with pytest.raises(ScanError, match="does not exist") as caught:
        syncengine.sync(source, destination, mode=mode)

    assert (caught.value.side, caught.value.reason, caught.value.exit_code) == (gone, "root_missing", 7)
    assert exactly(source, destination, side.with_name("unmounted")) == before
    side.with_name("unmounted").rename(side)
    assert remembered(source, destination) == before_state


@pytest.mark.parametrize("mode", ["source-to-destination", "source-backup"])
def test_promise_01_a_mistyped_source_is_an_error(mode: str, tmp_path: Path) -> None:
    destination = write(tmp_path / "d", {"a": "1"})
    with pytest.raises(ScanError, match="mounted and spelled right"):
        syncengine.sync(tmp_path / "typo", destination, mode=mode)
    assert files(destination) == {"a": "1"}


@pytest.mark.parametrize("answer", [401, 403, 500, 503])
def test_promise_01_one_look_that_is_answered_with_an_error_empties_nothing(answer: int, tmp_path: Path) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(answer)

        do_HEAD = do_GET

        def log_message(self, *arguments: Any) -> None:
            pass

    destination = write(tmp_path / "d", {"a": "1", "b": "2"})
    with http_server(tmp_path, Refusing) as url, pytest.raises(ScanError) as caught:
        syncengine.sync(f"{url}/data", destination, mode=MIRROR, guards=Guards.off())

    assert caught.value.side == "source"
    assert files(destination) == {"a": "1", "b": "2"}


def test_promise_01_a_root_whose_listing_fails_is_an_error(faulty: FaultyFileSystem, tmp_path: Path) -> None:
    faulty.put("root/a", b"1")
    destination = write(tmp_path / "d", {"a": "1", "b": "2"})
    FaultyFileSystem.hook = refusing("ls", "root", ConnectionError("the line dropped"))

    with pytest.raises(ScanError, match="nothing can be said"):
        syncengine.sync("faulty://root", destination, mode=MIRROR, guards=Guards.off())
    assert files(destination) == {"a": "1", "b": "2"}


# ----------------------------------------------------------- 2: a directory that cannot be read


@pytest.mark.parametrize(
    "error", [PermissionError(13, "denied"), ConnectionError("dropped"), RuntimeError("odd")], ids=lambda e: str(e)
)
def test_promise_02_an_unreadable_subtree_is_untouched_and_reported(
    error: Exception, faulty: FaultyFileSystem, tmp_path: Path
) -> None:
    for path in ("root/a", "root/sub/b", "root/sub/deep/c", "root/z"):
        faulty.put(path, b"1")
    destination = tmp_path / "d"
    syncengine.sync("faulty://root", destination, mode=MIRROR).raise_for_status()
    write(destination, {"sub/only here": "2", "extra": "3"})
    faulty.put("root/new", b"1")
    FaultyFileSystem.hook = refusing("ls", "root/sub", error)

    report = syncengine.sync("faulty://root", destination, mode=MIRROR, guards=Guards.off())

    assert report.exit_code == 7
    assert [problem.path for problem in report.plan.problems] == ["sub"]
    assert not report.plan.complete
    assert files(destination) == {
        "a": "1",
        "new": "1",
        "sub/b": "1",
        "sub/deep/c": "1",
        "sub/only here": "2",
        "z": "1",
    }
    FaultyFileSystem.hook = staticmethod(lambda call, path: None)
    assert (
        syncengine.plan("faulty://root", destination, mode=MIRROR, guards=Guards.off())
        .where(lambda operation: operation.path != "sub/only here")
        .empty
    )


def test_promise_02_nothing_is_written_into_a_subtree_that_the_destination_cannot_list(
    faulty: FaultyFileSystem, tmp_path: Path
) -> None:
    source = write(tmp_path / "s", {"sub/a": "new content", "b": "1"})
    faulty.put("root/sub/a", b"old")
    FaultyFileSystem.hook = refusing("ls", "root/sub", PermissionError(13, "denied"))

    report = syncengine.sync(source, "faulty://root", mode=MIRROR)

    assert (report.exit_code, statuses(report)) == (7, {"b": Status.DONE})
    assert faulty.store["root/sub/a"][0] == b"old"


def test_promise_02_with_require_complete_nothing_at_all_is_done(faulty: FaultyFileSystem, tmp_path: Path) -> None:
    faulty.put("root/sub/a", b"1")
    faulty.put("root/b", b"1")
    FaultyFileSystem.hook = refusing("ls", "root/sub", PermissionError(13, "denied"))

    with pytest.raises(GuardError, match="could not be seen"):
        syncengine.sync("faulty://root", tmp_path / "d", require_complete=True)
    assert not (tmp_path / "d").exists()


# ---------------------------------------------------------------------------- 3, 4: guards


@pytest.mark.parametrize("with_state", [True, False])
@pytest.mark.parametrize("count", [1, 30])
def test_promise_03_an_empty_source_does_not_wipe_the_destination(
    count: int, with_state: bool, sides: Tuple[Path, Path]
) -> None:
    source, destination = sides
    content = {f"d/{number}": "1" for number in range(count)}
    if with_state:
        write(source, content)
        syncengine.sync(source, destination, mode=MIRROR)
        for path in source.glob("d/*"):
            path.unlink()
    else:
        write(destination, content)
    before = exactly(source, destination)

    with pytest.raises(GuardError, match="--allow-emptied") as caught:
        syncengine.sync(source, destination, mode=MIRROR)

    assert caught.value.exit_code == 6
    assert exactly(source, destination) == before
    assert syncengine.sync(source, destination, mode=MIRROR, allow_emptied=True, allow_mass_delete=True).ok
    assert files(destination) == {}


def test_promise_04_a_limit_on_deletions_stops_before_the_first_and_names_all_reasons(
    sides: Tuple[Path, Path],
) -> None:
    source, destination = sides
    write(source, {f"new {number}": "1" for number in range(4)})
    write(destination, {f"old {number}": "1" for number in range(4)})
    before = exactly(source, destination)

    with pytest.raises(GuardError, match=r"(?s)would delete 4 of 4.*would transfer 4 bytes") as caught:
        syncengine.sync(source, destination, mode=MIRROR, guards={"max_delete": "3", "max_transfer_bytes": 3})

    assert len(caught.value.blockers) == 2
    assert exactly(source, destination) == before


# ------------------------------------------------------------------ 5, 6: killed in mid-transfer

KILLED = """
import sys, syncengine
from tests.trees import HaltingSource

def halt():
    print("half", flush=True)
    sys.stdin.readline()

syncengine.sync(HaltingSource(sys.argv[1], halt), sys.argv[2], mode="source-to-destination")
"""


def killed_in_the_middle(source: Path, destination: object) -> None:
    with python(KILLED, source, destination) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.kill()
        process.communicate(timeout=60)


@pytest.mark.parametrize("existing", [None, "the original of three gigabytes" * 100])
def test_promise_05_a_run_killed_in_mid_transfer_leaves_the_old_file_and_the_next_completes(
    existing: Any, sides: Tuple[Path, Path]
) -> None:
    source, destination = sides
    write(source, {"big": "new content " * 1000})
    if existing is not None:
        write(destination, {"big": existing})
    aged(source)

    killed_in_the_middle(source, destination)

    assert files(destination) == ({} if existing is None else {"big": existing})
    whole = HaltingSource(source, lambda: None)
    plan = syncengine.plan(whole, destination, mode=MIRROR)
    assert [(operation.action.value, operation.path) for operation in plan] == [
        ("create" if existing is None else "update", "big")
    ]
    assert syncengine.apply(plan).ok
    assert files(destination) == files(source)
    assert trash(destination) == ({} if existing is None else {"big": existing})


def test_promise_05_a_run_killed_over_ftp_leaves_the_old_file_and_the_next_completes(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"big": "new content " * 1000})
    served = write(tmp_path / "served", {"data/big": "the original"})
    with ftp_server(served) as url:
        killed_in_the_middle(source, f"{url}/data")
        assert files(served / "data") == {"big": "the original"}

        assert syncengine.sync(HaltingSource(source, lambda: None), f"{url}/data", mode=MIRROR).ok
    assert files(served / "data") == files(source)
    assert trash(served / "data") == {"big": "the original"}


def test_promise_06_what_a_killed_run_left_is_swept_and_its_lock_locks_nobody_out(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"big": "new content " * 1000})
    write(destination, {"big": "old"})
    aged(source)
    killed_in_the_middle(source, destination)
    litter = [path for path in everything(destination) if TEMPORARY_PREFIX in path]
    assert len(litter) == 1
    before = remembered(source, destination)

    # The litter is no user's file: it does not come back to the source, and does not go anywhere else.
    back = syncengine.plan(source, destination, mode="destination-to-source")
    assert {operation.path for operation in back} == {"big"}
    assert remembered(source, destination) == before
    assert syncengine.sync(HaltingSource(source, lambda: None), destination, mode=MIRROR).ok

    assert not [path for path in everything(destination) if TEMPORARY_PREFIX in path]
    assert files(destination) == files(source)


def test_promise_06_a_temporary_file_of_a_living_process_is_left_alone(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    living = f"{TEMPORARY_PREFIX}{os.getppid()}-{host_mark()}-0123456789abcdef"
    write(source, {"a": "1"})
    write(destination, {living: "being written"})

    syncengine.sync(source, destination, mode=MIRROR).raise_for_status()

    assert everything(destination) == {"a": "1", living: "being written"}


# ----------------------------------------------------------------------------- 7: cancelling


def test_promise_07_a_cancelled_mirror_has_deleted_nothing_and_remembers_only_what_it_did(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {name: name for name in "abc"})
    folder = write(tmp_path / "d", {"old": "1", "older": "2"})

    def before(call: str, path: str) -> None:
        if path == "b":
            raise KeyboardInterrupt

    hooked = LocalWithHook(folder, before)
    with pytest.raises(syncengine.SyncInterrupted) as caught:
        syncengine.sync(source, hooked, mode=MIRROR, guards=Guards.off())

    assert statuses(caught.value.report) == {
        "a": Status.DONE,
        **dict.fromkeys(("b", "c", "old", "older"), Status.CANCELLED),
    }
    assert files(folder) == {"a": "a", "old": "1", "older": "2"}
    with SyncEngine(source, hooked) as engine:
        state = engine.job().state
        assert state is not None
        assert [row.path for row in state.rows()] == ["a"]


def test_promise_07_an_interrupt_while_scanning_leaves_everything_as_it_was(
    faulty: FaultyFileSystem, tmp_path: Path
) -> None:
    faulty.put("root/a", b"1")
    faulty.put("root/sub/b", b"1")
    destination = write(tmp_path / "d", {"old": "1"})
    FaultyFileSystem.hook = refusing("ls", "root/sub", KeyboardInterrupt())
    before = exactly(destination)

    with pytest.raises((KeyboardInterrupt, syncengine.SyncInterrupted)):
        syncengine.sync("faulty://root", destination, mode=MIRROR, guards=Guards.off())
    assert exactly(destination) == before


# --------------------------------------------------------------------- 12, 13: filters, state


@pytest.mark.parametrize("mode", MODES)
def test_promise_12_a_new_ignore_pattern_deletes_nothing_on_either_side(mode: str, sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a": "1", "b.log": "2", "d/c.log": "3"})
    syncengine.sync(source, destination)
    before = exactly(source, destination)

    for ignore in (["*.log"], ["*.log", "d/"]):
        report = syncengine.sync(source, destination, mode=mode, ignore=ignore)
        assert report.outcomes == ()
    write(source, {".syncignore": "a\n"})
    assert set(statuses(syncengine.sync(source, destination, mode="source-backup"))) == {".syncignore"}
    assert syncengine.sync(source, destination, mode=mode).outcomes == ()

    now = [seen for seen in exactly(source, destination) if ".syncignore" not in seen[0] and seen[1][3] is not None]
    assert now == [seen for seen in before if seen[1][3] is not None]


def test_promise_13_pairs_whose_names_look_alike_have_states_of_their_own(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1", "b": "2"})
    names = ("d", "d ", " d", "D", "d\u00e9", "de\u0301")
    for name in names:
        (tmp_path / name).mkdir()
    with_state = SyncEngine(source, tmp_path / "d")
    with with_state:
        with_state.sync()

    for name in names[1:]:
        assert remembered(source, tmp_path / name) == (0, [], [])
        report = syncengine.sync(source, tmp_path / name, mode=MIRROR)
        assert files(tmp_path / name) == {"a": "1", "b": "2"}
        assert len(report.outcomes) == 2


def test_promise_13_two_accounts_of_one_server_are_two_places() -> None:
    one = syncengine.locate("ftp://alice:x@127.0.0.1:2121/data")
    other = syncengine.locate("ftp://bob:x@127.0.0.1:2121/data")
    again = syncengine.locate("ftp://alice:another password@127.0.0.1:2121/data")

    assert one.identity != other.identity
    assert one.identity == again.identity


# ---------------------------------------------------------------------------- 15: literal names

STRANGE = (
    "a[1].txt",
    "a1.txt",
    "*",
    "?",
    "{a,b}",
    "~",
    "$HOME",
    "a b",
    "-rf",
    "#x",
    "%41",
    "\\x",
    "ü",
    "xx::y",
    "[!a]",
)


@pytest.mark.parametrize("destination", ["local", "memory", "faulty"])
def test_promise_15_names_are_literal_everywhere(destination: str, faulty: FaultyFileSystem, tmp_path: Path) -> None:
    source = write(tmp_path / "s", {name: name for name in STRANGE})
    place = {"local": str(tmp_path / "d"), "memory": "memory://bucket", "faulty": "faulty://bucket"}[destination]
    syncengine.sync(source, place, mode=MIRROR).raise_for_status()
    kept = [name for name in STRANGE if name not in ("a[1].txt", "*", "?", "{a,b}", "[!a]")]
    for name in set(STRANGE) - set(kept):
        (source / name).unlink()

    report = syncengine.sync(source, place, mode=MIRROR, guards=Guards.off())

    assert sorted(statuses(report)) == sorted(set(STRANGE) - set(kept))
    assert sorted(entry.path for entry in syncengine.scan(place).entries) == sorted(kept)


# ------------------------------------------------------------------- 16, 17, 18: whole files only


@pytest.mark.parametrize("existing", [None, b"the good old file"])
@pytest.mark.parametrize("call", ["write", "read"])
def test_promise_16_a_fault_while_writing_commits_all_or_nothing(
    call: str, existing: Any, faulty: FaultyFileSystem, tmp_path: Path
) -> None:
    source = write(tmp_path / "s", {"f": "x" * 10_000})
    if existing is not None:
        faulty.put("root/f", existing)
    if call == "write":
        place: Any = source
        FaultyFileSystem.hook = staticmethod(_failing_write)
    else:
        place = HaltingSource(source, _fail)

    report = syncengine.sync(place, "faulty://root", mode=MIRROR, retries=0)

    assert statuses(report) == {"f": Status.FAILED}
    stored = {path: content for path, (content, _) in faulty.store.items() if "/.syncengine-" not in path}
    assert stored == ({} if existing is None else {"root/f": existing})


def _failing_write(call: str, path: str) -> None:
    if call == "write":
        raise ConnectionResetError("in the middle of writing")


def _fail() -> None:
    raise OSError(5, "in the middle of reading")


def test_promise_16_memory_too_holds_the_old_or_the_new(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/f", b"the good old file")
    source = write(tmp_path / "s", {"f": "x" * 10_000})

    report = syncengine.sync(HaltingSource(source, _fail), "memory://bucket", mode=MIRROR, retries=0)

    assert statuses(report) == {"f": Status.FAILED}
    assert memory.cat_file("/bucket/f") == b"the good old file"
    assert memory.find("/bucket") == ["/bucket/f"]


def test_promise_17_a_download_that_fails_leaves_the_good_local_file(faulty: FaultyFileSystem, tmp_path: Path) -> None:
    faulty.put("root/f", b"n" * 10_000)
    destination = write(tmp_path / "d", {"f": "the good old file"})
    before = exactly(destination)[1:]
    FaultyFileSystem.hook = refusing("read", "root/f", ConnectionResetError("dropped"))

    report = syncengine.sync("faulty://root", destination, mode=MIRROR, retries=0)

    assert statuses(report) == {"f": Status.FAILED}
    assert exactly(destination)[1:] == before


def test_promise_17_a_download_that_ends_early_is_no_download(tmp_path: Path) -> None:
    class Truncating(BaseHTTPRequestHandler):
        def _head(self) -> None:
            if self.path.endswith("/"):
                page = b'<a href="f">f</a>'
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(page)
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", "1000")
            self.send_header("ETag", '"one"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(b"only a part")
                self.close_connection = True

        do_GET = do_HEAD = _head

        def log_message(self, *arguments: Any) -> None:
            pass

    destination = write(tmp_path / "d", {"f": "the good old file"})
    with http_server(tmp_path, Truncating) as url:
        report = syncengine.sync(f"{url}/", destination, mode=MIRROR, retries=0)

    assert set(statuses(report)) == {"f"}
    assert not report.ok
    assert files(destination) == {"f": "the good old file"}


def test_promise_18_an_object_replaced_while_it_is_downloaded_is_discarded(
    faulty: FaultyFileSystem, tmp_path: Path
) -> None:
    faulty.put("root/f", b"1" * 3_000_000)
    destination = write(tmp_path / "d", {"f": "the old file"})
    reads: List[str] = []

    def replacing(call: str, path: str) -> None:
        if call == "read":
            reads.append(path)
            if len(reads) == 2:
                FaultyFileSystem.put("root/f", b"2" * 3_000_000)

    FaultyFileSystem.hook = staticmethod(replacing)

    report = syncengine.sync("faulty://root", destination, mode=MIRROR)

    assert statuses(report) == {"f": Status.STALE}
    assert files(destination) == {"f": "the old file"}
    FaultyFileSystem.hook = staticmethod(lambda call, path: None)
    assert syncengine.sync("faulty://root", destination, mode=MIRROR).ok
    assert set(files(destination)["f"]) == {"2"}


# ------------------------------------------------------------- 20, 21, 22: outcomes and names


def test_promise_20_a_deletion_that_is_not_allowed_is_reported_and_the_others_are_done(
    faulty: FaultyFileSystem, tmp_path: Path
) -> None:
    source = write(tmp_path / "s", {"kept": "1"})
    for name in ("kept", "a", "b", "c"):
        faulty.put(f"root/{name}", b"1")
    FaultyFileSystem.hook = refusing("rm_file", "root/b", PermissionError(13, "not yours"))

    report = syncengine.sync(source, "faulty://root", mode=MIRROR, retain="none", guards=Guards.off())

    deletions = {path: status for path, status in statuses(report).items() if path != "kept"}
    assert deletions == {"a": Status.DONE, "b": Status.FAILED, "c": Status.DONE}
    assert (report.exit_code, report.reasons) == (3, {"denied": 1})
    assert sorted(faulty.store) == ["root/b", "root/kept"]


def test_promise_21_a_report_counts_what_was_done_and_not_what_was_meant(
    faulty: FaultyFileSystem, tmp_path: Path
) -> None:
    source = write(tmp_path / "s", {"a": "12345", "b": "123", "c": "1"})
    FaultyFileSystem.hook = staticmethod(_failing_write)

    report = syncengine.sync(source, "faulty://root", retries=0)

    assert (report.ok, bool(report), report.exit_code) == (False, False, 3)
    assert report.reasons == {"timeout": 3}
    assert (report.totals.transfer_bytes, dict(report.totals.counts), report.recorded) == (0, {}, 0)
    assert faulty.store == {}
    assert "3 failed" in str(report)
    with pytest.raises(syncengine.PartialApplyError, match="3"):
        report.raise_for_status()


HOSTILE = ("../outside", "/etc/absolute", "a/../../b", "nul\0name", "C:evil", "x//y", "./z")


@pytest.mark.parametrize("name", HOSTILE)
def test_promise_22_hostile_names_from_a_listing_are_refused_at_the_scan(
    name: str, faulty: FaultyFileSystem, tmp_path: Path
) -> None:
    faulty.put("root/good", b"1")

    class Hostile(FaultyFileSystem):
        protocol = "hostile"

        def ls(self, path: str, detail: bool = True, **kwargs: Any) -> List[Any]:
            found = super().ls(path, detail, **kwargs)
            if path.strip("/") == "root":
                found.append({"name": f"root/{name}", "type": "file", "size": 1})
            return found

    fsspec.register_implementation("hostile", Hostile, clobber=True)
    destination = tmp_path / "in" / "d"

    report = syncengine.sync("hostile://root", destination)

    assert files(tmp_path) == {"in/d/good": "1"}
    assert len(report.plan.problems) == 1
    assert report.exit_code == 7


def test_promise_22_nothing_is_written_through_a_link_that_leaves_the_root(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"precious": "1"})
    source = write(tmp_path / "s", {"link/precious": "evil", "link/new": "evil", "file": "evil"})
    destination = write(tmp_path / "d", {})
    (destination / "link").symlink_to(outside)
    (destination / "file").symlink_to(outside / "precious")

    for policy in ("skip", "preserve"):
        syncengine.sync(source, destination, mode=MIRROR, symlinks=policy, guards=Guards.off())
        assert files(outside) == {"precious": "1"}


def test_promise_22_a_link_put_there_between_plan_and_apply_is_not_followed(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"f": "precious"})
    source = write(tmp_path / "s", {"d/f": "new", "g": "1"})
    destination = write(tmp_path / "d", {"d/other": "1"})
    plan = syncengine.plan(source, destination)
    (destination / "d" / "other").unlink()
    (destination / "d").rmdir()
    (destination / "d").symlink_to(outside)

    report = syncengine.apply(plan, on_stale="skip")

    assert statuses(report)["g"] is Status.DONE
    assert statuses(report)["d/f"] is not Status.DONE
    assert files(outside) == {"f": "precious"}
