from datetime import datetime, timedelta, timezone

import pytest

from syncengine.state.trash import Kept, parse, run_id, trash_path

RUN = "20261122T135216Z-1a2b3c4d"


def test_a_run_is_named_by_its_start_in_utc_and_its_plan():
    paris = timezone(timedelta(hours=1))

    assert run_id(datetime(2026, 11, 22, 14, 52, 16, 999, tzinfo=paris), "sha256:1A2B3C4D5E6F") == RUN
    assert run_id(datetime(2026, 11, 22, 13, 52, 16, tzinfo=timezone.utc), "1a2b3c4d5e6f") == RUN


@pytest.mark.parametrize("path", ["a", "raw/x.csv", "~2/a", "a~long", "-\n\x1b", "é/\udcff", ".syncengine-trash/x"])
@pytest.mark.parametrize("copy", [1, 2, 17])
def test_a_key_of_the_trash_says_which_version_it_holds(path, copy):
    assert parse(trash_path(RUN, path, copy=copy)) == Kept(RUN, path, copy)


def test_versions_that_collide_get_different_keys_with_the_same_name():
    keys = [trash_path(RUN, "d/report.tar.gz", copy=copy) for copy in (1, 2, 3)]

    assert len(set(keys)) == 3
    assert {key.rpartition("/")[2] for key in keys} == {"report.tar.gz"}


def test_a_key_that_is_too_long_is_named_by_its_digest_and_keeps_its_extension():
    path = "é" * 500 + "/x.csv"
    key = trash_path(RUN, path, copy=2, max_key_bytes=1024)

    assert len(key.encode()) <= 1024
    assert key.endswith(".csv")
    assert key != trash_path(RUN, "è" * 500 + "/x.csv", copy=2, max_key_bytes=1024)
    assert parse(key) == Kept(RUN, None, 2)


def test_a_key_that_just_fits_is_left_alone():
    key = trash_path(RUN, "a/b")

    assert trash_path(RUN, "a/b", max_key_bytes=len(key)) == key
    assert trash_path(RUN, "a/b", max_key_bytes=len(key) - 1) != key


@pytest.mark.parametrize("path", ["d/.bashrc" + "x" * 1000, "d/noextension", "d/a." + "x" * 40])
def test_what_is_no_short_extension_is_not_kept(path):
    assert "." not in trash_path(RUN, path, max_key_bytes=60).rpartition("/")[2]


@pytest.mark.parametrize(
    "key", ["", "a/b", ".syncengine-trash", ".syncengine-trash/" + RUN, ".syncengine-trash/2026/a", RUN + "/a"]
)
def test_what_is_not_in_the_trash_is_not_taken_for_it(key):
    assert parse(key) is None
