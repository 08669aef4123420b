"""Promises 23 to 30: what is said is so, and what must not be said is not."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import fsspec
import pytest

import syncengine
from syncengine import Action, FileComparator, Finding, Guards, Report, Status
from syncengine.core.comparator import Equality
from syncengine.core.modes import ComparisonMode
from tests.servers import ftp_server, webdav_server
from tests.trees import FaultyFileSystem, everything, exactly, write

MIRROR = "source-to-destination"


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    return write(tmp_path / "source", {}), write(tmp_path / "destination", {})


# --------------------------------------------------------------------- 23: the plan is the run


@pytest.mark.parametrize("mode", [MIRROR, "source-backup", "destination-to-source", "destination-backup"])
def test_promise_23_the_run_does_what_the_plan_says_and_nothing_else(mode: str, tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"new": "1", "d/changed": "2, new", "same": "3", "p/in": "4", "e": None})
    destination = write(tmp_path / "d", {"d/changed": "2", "same": "3", "gone": "5", "q/in": "6"})
    options: Any = {"mode": mode, "guards": Guards.off()}
    before = exactly(source, destination)
    plan = syncengine.plan(source, destination, **options)
    assert exactly(source, destination) == before

    report = syncengine.sync(source, destination, **options)

    assert [outcome.operation for outcome in report.outcomes] == list(plan)
    target = destination if mode in (MIRROR, "source-backup") else source
    announced = {operation.path for operation in plan}
    touched = _changed(dict(before), dict(exactly(source, destination)), target)
    assert touched <= announced | {parent for path in announced for parent in _above(path)}
    assert announced <= touched


def _changed(before: Dict[str, Any], after: Dict[str, Any], target: Path) -> set[str]:
    changed = {path for path in {*before, *after} if _version(before.get(path)) != _version(after.get(path))}
    assert all(path.startswith(str(target)) for path in changed)
    keys = {os.path.relpath(path, target) for path in changed}
    return {key for key in keys if not key.startswith(".syncengine-")}


def _version(seen: Any) -> Any:
    # A directory's own time changes with its contents; a file's does not.
    return (seen[0], seen[3]) if seen is not None else None


def _above(path: str) -> List[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


# ------------------------------------------------------- 24, 25: equal, different, or not known


@pytest.mark.parametrize(
    ("compare", "content", "age", "transferred"),
    [
        ("size-only", "two", 60, False),
        ("size-only", "longer", 0, True),
        ("mtime-only", "longer", 0, False),
        ("mtime-only", "one", 60, True),
        ("size-and-mtime", "two", 0, False),
        ("size-and-mtime", "one", 60, True),
        ("hash-only", "two", 0, True),
        ("hash-only", "one", 60, False),
        ("hash-then-mtime", "two", 60, True),
        ("hash-then-mtime", "one", 60, False),
    ],
)
def test_promise_24_a_comparison_mode_is_applied_as_it_is_asked_for(
    compare: str, content: str, age: int, transferred: bool, sides: Tuple[Path, Path]
) -> None:
    source, destination = sides
    write(source, {"f": "one"})
    write(destination, {"f": content})
    os.utime(source / "f", (1_700_000_000, 1_700_000_000))
    os.utime(destination / "f", (1_700_000_000 - age, 1_700_000_000 - age))

    plan = syncengine.plan(source, destination, compare=compare)

    assert [operation.path for operation in plan] == (["f"] if transferred else [])


@pytest.mark.parametrize("compare", list(ComparisonMode))
def test_promise_24_what_cannot_be_compared_is_unknown_and_never_equal(compare: ComparisonMode) -> None:
    nothing_known = syncengine.Stamp()
    source = syncengine.Entry("f", syncengine.Kind.FILE, nothing_known)
    destination = syncengine.Entry("f", syncengine.Kind.FILE, nothing_known)

    assert FileComparator(compare)(None, source, destination).equality is Equality.UNKNOWN


def test_promise_24_an_unknown_equality_is_transferred_and_the_old_version_kept(tmp_path: Path) -> None:
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    FaultyFileSystem.clear()
    FaultyFileSystem.put("root/f", b"two")
    source = write(tmp_path / "s", {"f": "one"})

    plan = syncengine.plan(source, "faulty://root", mode=MIRROR)

    assert [(each.action, each.reason.value, each.retain) for each in plan] == [(Action.UPDATE, "cannot_compare", True)]
    syncengine.apply(plan).raise_for_status()
    assert FaultyFileSystem.store["root/f"][0] == b"one"
    kept = [content for path, (content, _) in FaultyFileSystem.store.items() if ".syncengine-trash" in path]
    assert kept == [b"two"]
    FaultyFileSystem.clear()


def test_promise_25_a_check_without_a_common_digest_says_unverified(tmp_path: Path) -> None:
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    FaultyFileSystem.clear()
    for name, content in (("same size", b"two"), ("equal", b"1"), ("longer", b"longer"), ("there", b"x")):
        FaultyFileSystem.put(f"root/{name}", content)
    source = write(tmp_path / "s", {"same size": "one", "equal": "1", "longer": "l", "here": "y"})

    result = syncengine.check(source, "faulty://root")
    assert dict(result.findings) == {
        "same size": Finding.UNVERIFIED,
        "equal": Finding.UNVERIFIED,
        "longer": Finding.DIFFERENT,
        "here": Finding.ONLY_AT_SOURCE,
        "there": Finding.ONLY_AT_DESTINATION,
    }
    assert (result.ok, bool(result), result.exit_code, result.equal) == (False, False, 10, 0)

    read = syncengine.check(source, "faulty://root", download=True)
    assert dict(read.findings)["same size"] is Finding.DIFFERENT
    assert "equal" not in dict(read.findings)
    assert read.equal == 1
    FaultyFileSystem.clear()


def test_promise_25_equal_times_do_not_make_a_check_say_equal(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    for folder, content in ((source, "one"), (destination, "two")):
        write(folder, {"f": content, "g": "equal"})
        for name in ("f", "g"):
            os.utime(folder / name, (1_700_000_000, 1_700_000_000))

    result = syncengine.check(source, destination)

    assert (result.findings, result.equal, result.exit_code) == ((("f", Finding.DIFFERENT),), 1, 10)


def test_promise_25_exit_codes_tell_equal_different_and_unverified_apart(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/f", b"one")
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    FaultyFileSystem.clear()
    FaultyFileSystem.put("root/f", b"one")
    source = write(tmp_path / "s", {"f": "one"})

    assert syncengine.check(source, "memory://bucket").exit_code == 0
    assert syncengine.check(source, "faulty://root").exit_code == 11
    FaultyFileSystem.clear()


# ---------------------------------------------------------------------------- 30: no secrets

SECRET = "planted-secret-4711"


def _all_views(plan: syncengine.Plan, report: Report) -> str:
    texts = [repr(plan), str(plan), plan.to_json(), plan.to_markdown(), plan._repr_html_(), repr(plan.to_records())]
    texts += [repr(plan.source), repr(plan.destination), repr(plan.live_clients), repr(plan.totals)]
    texts += [repr(report), str(report), report.to_json(), report._repr_html_(), repr(report.to_records())]
    texts += ["\n".join(plan.itemize()), *(plan.explain(operation.path) for operation in plan)]
    return "\n".join(texts)


@pytest.mark.parametrize("kind", ["ftp", "webdav"])
def test_promise_30_a_planted_secret_is_in_no_plan_report_log_or_state(
    kind: str, tmp_path: Path, isolated_user: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source = write(tmp_path / "s", {"a": "1", "d/b": "2"})
    served = write(tmp_path / "served", {"data": None})
    server = ftp_server if kind == "ftp" else webdav_server
    with server(served, user="someone", password=SECRET) as url:
        place = f"{url}/data"
        options: Optional[Dict[str, Any]] = None
        if kind == "webdav":
            place, options = "webdav://data", {"base_url": url, "auth": ("someone", SECRET)}
        with syncengine.SyncEngine(source, place, mode=MIRROR, destination_options=options) as engine:
            plan = engine.plan()
            report = engine.apply(plan)
            said = _all_views(plan, report) + repr(engine) + engine.explain("a")
        assert report.ok
        plan.save(tmp_path / "plan.json")
        report.save(tmp_path / "report.json")

    assert SECRET not in said
    assert SECRET not in caplog.text
    written = everything(isolated_user) | everything(tmp_path)
    assert not [path for path, content in written.items() if SECRET in f"{path} {content}"]


def test_promise_30_a_secret_that_a_library_puts_into_its_message_is_taken_out(tmp_path: Path) -> None:
    served = write(tmp_path / "served", {"data": None})
    source = write(tmp_path / "s", {"a": "1"})
    with ftp_server(served, password="another") as url, pytest.raises(syncengine.SyncError) as caught:
        syncengine.sync(source, url.replace("another", SECRET) + "/data")
    assert SECRET not in f"{caught.value} {caught.value!r}"


def test_promise_30_options_are_named_and_their_values_are_not(tmp_path: Path) -> None:
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    FaultyFileSystem.clear()
    FaultyFileSystem.hook = staticmethod(_leaking)
    source = write(tmp_path / "s", {"a": "1"})

    options = {"token": SECRET, "key": "public"}
    plan = syncengine.plan(source, "faulty://root", destination_options=options)
    report = syncengine.apply(plan, retries=0)

    assert plan.destination.options == ("key", "token")
    assert report.outcomes[0].status is Status.FAILED
    assert SECRET not in _all_views(plan, report)
    FaultyFileSystem.clear()


def _leaking(call: str, path: str) -> None:
    if call == "write":
        raise ConnectionError(f"cannot send to https://x/?token={SECRET} with {SECRET}")
