"""The short way between two places of this machine does what the general way does, or nothing at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Optional

import pytest

from syncengine.core.entry import Stamp
from syncengine.errors import PreconditionFailed
from syncengine.storage import local_small, local_writing
from syncengine.storage.local import LocalStorageClient
from syncengine.storage.protocol import ABSENT
from syncengine.storage.routes import Transferred, transfer

LONG_AGO = 1_500_000_000_123_456_789


@pytest.fixture
def sides(tmp_path: Path) -> tuple[LocalStorageClient, LocalStorageClient]:
    (tmp_path / "s" / "deep").mkdir(parents=True)
    (tmp_path / "s" / "deep" / "file").write_bytes(b"content")
    os.utime(tmp_path / "s" / "deep" / "file", ns=(LONG_AGO, LONG_AGO))
    return LocalStorageClient(str(tmp_path / "s")), LocalStorageClient(str(tmp_path / "d"))


def stamp_at(client: LocalStorageClient, path: str) -> Stamp:
    found = client.stat(path)
    assert found is not None
    return found.stamp


def copied(
    origin: LocalStorageClient, target: LocalStorageClient, mode: Optional[int] = 0o640
) -> Optional[tuple[Stamp, Stamp]]:
    expected = stamp_at(origin, "deep/file")
    return target.copy_small(
        origin, "deep/file", "deep/file", expect_origin=expected, mtime_ns=expected.mtime_ns, mode=mode
    )


def test_the_stamps_returned_are_those_that_stand_there(sides: tuple[LocalStorageClient, LocalStorageClient]) -> None:
    assert copied(*sides) == (stamp_at(sides[0], "deep/file"), stamp_at(sides[1], "deep/file"))
    assert stamp_at(sides[1], "deep/file").mtime_ns == LONG_AGO
    assert Path(sides[1].root, "deep/file").read_bytes() == b"content"


@pytest.mark.parametrize("mode", [0o600, 0o777, 0o4755, 0o000])
def test_permissions_are_those_asked_for_whatever_the_umask(
    sides: tuple[LocalStorageClient, LocalStorageClient], mode: int
) -> None:
    before = os.umask(0o077)
    try:
        assert copied(*sides, mode=mode) is not None
    finally:
        os.umask(before)

    assert os.stat(Path(sides[1].root, "deep/file")).st_mode & 0o7777 == mode


def test_without_permissions_a_new_file_gets_what_the_umask_leaves(
    sides: tuple[LocalStorageClient, LocalStorageClient],
) -> None:
    before = os.umask(0o027)
    try:
        assert copied(*sides, mode=None) is not None
    finally:
        os.umask(before)

    assert os.stat(Path(sides[1].root, "deep/file")).st_mode & 0o7777 == 0o640


def an_edit(place: Path) -> None:
    place.write_bytes(b"edited!")


def a_replacement(place: Path) -> None:
    other = place.with_name("other")
    other.write_bytes(b"content")
    os.utime(other, ns=(LONG_AGO, LONG_AGO))
    os.replace(other, place)


def a_removal(place: Path) -> None:
    place.unlink()


def a_link(place: Path) -> None:
    place.rename(place.with_name("elsewhere"))
    place.symlink_to("elsewhere")


def a_pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


@pytest.mark.parametrize("change", [an_edit, a_replacement, a_removal, a_link, a_pipe])
def test_another_version_than_the_expected_one_is_left_to_the_general_way_which_refuses_it(
    sides: tuple[LocalStorageClient, LocalStorageClient], change: Callable[[Path], None]
) -> None:
    origin, target = sides
    expected = stamp_at(origin, "deep/file")
    change(Path(origin.root, "deep/file"))

    small = target.copy_small(origin, "deep/file", "deep/file", expect_origin=expected, mtime_ns=None, mode=None)

    assert small is None
    assert target.stat("deep/file") is None
    with pytest.raises(Exception, match="deep/file"):
        transferred(origin, target, expected)
    assert target.stat("deep/file") is None


@pytest.mark.parametrize("change", [an_edit, a_replacement, a_removal])
def test_a_version_that_changes_while_it_is_being_read_never_becomes_visible(
    sides: tuple[LocalStorageClient, LocalStorageClient],
    change: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    origin, target = sides
    write = os.write

    def written(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        change(Path(origin.root, "deep/file"))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", written)

    assert copied(origin, target) is None
    assert target.stat("deep/file") is None


def test_a_file_that_appeared_at_the_target_stays_and_the_copy_is_refused(
    sides: tuple[LocalStorageClient, LocalStorageClient],
) -> None:
    origin, target = sides
    Path(target.root, "deep").mkdir(parents=True)
    Path(target.root, "deep/file").write_bytes(b"a user's")

    assert copied(origin, target) is None
    with pytest.raises(PreconditionFailed, match="deep/file"):
        transferred(origin, target, stamp_at(origin, "deep/file"))
    assert Path(target.root, "deep/file").read_bytes() == b"a user's"


def test_nothing_is_written_through_a_link(
    sides: tuple[LocalStorageClient, LocalStorageClient], tmp_path: Path
) -> None:
    origin, target = sides
    (tmp_path / "outside").mkdir()
    Path(target.root).mkdir()
    Path(target.root, "deep").symlink_to(tmp_path / "outside")

    assert copied(origin, target) is None
    assert list((tmp_path / "outside").iterdir()) == []


def transferred(origin: LocalStorageClient, target: LocalStorageClient, expected: Stamp) -> Transferred:
    return transfer(
        origin,
        "deep/file",
        target,
        "deep/file",
        expect_origin=expected,
        expect_target=ABSENT,
        mtime_ns=expected.mtime_ns,
        mode=0o640,
    )


@pytest.mark.parametrize("size", [0, 1, local_small.SMALL_BYTES, local_small.SMALL_BYTES + 1])
@pytest.mark.parametrize("nameless", [True, False])
def test_both_ways_leave_the_same_behind(
    sides: tuple[LocalStorageClient, LocalStorageClient], size: int, nameless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, target = sides
    place = Path(origin.root, "deep/file")
    place.write_bytes(b"x" * size)
    os.utime(place, ns=(LONG_AGO, LONG_AGO))
    expected = stamp_at(origin, "deep/file")
    monkeypatch.setattr(local_writing, "CAN_BE_NAMELESS", nameless)

    done = transferred(origin, target, expected)

    assert done == Transferred(expected, stamp_at(target, "deep/file"), None, size)
    assert Path(target.root, "deep/file").read_bytes() == b"x" * size
    assert os.stat(Path(target.root, "deep/file")).st_mode & 0o7777 == 0o640
    assert os.listdir(Path(target.root, "deep")) == ["file"]


def placed(target: LocalStorageClient, path: str, content: bytes, mode: Optional[int] = None) -> object:
    asked = target.small_write(path, content, mtime_ns=LONG_AGO, mode=mode)
    if asked is None:
        return None
    (look,) = local_small.written(asked[0], [asked[1]])
    return look


@pytest.mark.parametrize("content", [b"", b"content", b"x" * (1 << 18)])
@pytest.mark.parametrize("mode", [None, 0o600, 0o4755, 0o000])
def test_content_that_is_placed_has_its_time_and_permissions(
    tmp_path: Path, content: bytes, mode: Optional[int]
) -> None:
    target = LocalStorageClient(str(tmp_path / "d"))
    before = os.umask(0o027)
    try:
        look = placed(target, "deep/er/file", content, mode)
    finally:
        os.umask(before)
    place = tmp_path / "d" / "deep" / "er" / "file"
    found = os.stat(place)

    assert look == (found.st_size, found.st_mtime_ns, str(found.st_ino)) == (len(content), LONG_AGO, str(found.st_ino))
    assert found.st_mode & 0o7777 == (0o640 if mode is None else mode)
    assert place.read_bytes() == content
    assert os.listdir(place.parent) == ["file"]


def test_content_never_takes_the_place_of_another_file(tmp_path: Path) -> None:
    target = LocalStorageClient(str(tmp_path))
    (tmp_path / "file").write_bytes(b"a user's")

    assert placed(target, "file", b"content") is None
    assert (tmp_path / "file").read_bytes() == b"a user's"


@pytest.mark.parametrize("path", ["../file", "a//b", "/file", ""])
def test_content_is_not_placed_where_no_path_leads(tmp_path: Path, path: str) -> None:
    assert LocalStorageClient(str(tmp_path)).small_write(path, b"", mtime_ns=None, mode=None) is None


def test_content_is_not_placed_in_a_folder_that_another_has_replaced(tmp_path: Path) -> None:
    target = LocalStorageClient(str(tmp_path))
    asked = target.small_write("deep/file", b"content", mtime_ns=None, mode=None)
    (tmp_path / "deep").rename(tmp_path / "before")
    for change in ((tmp_path / "deep").mkdir, lambda: (tmp_path / "deep").symlink_to(tmp_path / "before")):
        change()

        assert asked is not None
        assert local_small.written(asked[0], [asked[1]] * 2) == [None, None]
        assert list((tmp_path / "deep").iterdir()) == []
        if not (tmp_path / "deep").is_symlink():
            (tmp_path / "deep").rmdir()


def test_names_are_handed_over_as_the_system_has_them(tmp_path: Path) -> None:
    asked = LocalStorageClient(str(tmp_path)).small_write("ü/\udcff", b"", mtime_ns=None, mode=None)

    assert asked is not None
    assert (asked[0][0], asked[1][0]) == (os.fsencode(tmp_path / "ü"), b"\xff")


def test_what_cannot_be_closed_stays_what_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = LocalStorageClient(str(tmp_path))
    asked = [target.small_write(name, b"content", mtime_ns=None, mode=None) for name in ("one", "two")]
    close = os.close

    def failing(descriptor: int) -> None:
        close(descriptor)
        raise OSError(5, "the disk did not take everything")

    monkeypatch.setattr(os, "close", failing)
    looks = local_small.written(asked[0][0], [each[1] for each in asked if each is not None]) if asked[0] else []
    monkeypatch.undo()

    assert [look is not None for look in looks] == [True, True]
    assert sorted(os.listdir(tmp_path)) == ["one", "two"]
