"""Whether a disk takes both forms of an accent for one name: found out by looking, and never by writing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Optional
from unicodedata import normalize

import pytest

import syncengine
from syncengine.storage import local_unicode
from syncengine.storage.local import LocalStorageClient
from syncengine.storage.local_unicode import unicode_form_of
from tests.trees import files, write

COMPOSED, DECOMPOSED = normalize("NFC", "café"), normalize("NFD", "café")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def taking_both_forms_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system find a file under either form of its name, whichever the disk lists."""
    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, _finding_both(getattr(os, name)))


def _finding_both(call: Any) -> Any:
    def found(path: Any, **options: Any) -> Any:
        above, name = os.path.split(os.fspath(path))
        same = (each for each in os.listdir(above) if normalize("NFC", each) == normalize("NFC", name))
        return call(os.path.join(above, next(same, name)), **options)

    return found


@pytest.mark.skipif(sys.platform == "darwin", reason="a disk of a Mac takes both forms for one")
@pytest.mark.parametrize("names", [(), ("plain",), (COMPOSED,), (DECOMPOSED,), (COMPOSED, DECOMPOSED)])
def test_a_disk_that_tells_both_forms_apart_folds_nothing(names: Any, root: Path) -> None:
    for name in names:
        (root / name).write_text(name)

    assert unicode_form_of(str(root)) is None
    assert LocalStorageClient(str(root)).capabilities.unicode_form is None


@pytest.mark.parametrize(("name", "form"), [(COMPOSED, "NFC"), (DECOMPOSED, "NFD")])
@pytest.mark.usefixtures("taking_both_forms_for_one")
def test_a_name_that_is_found_in_its_other_form_tells_the_form_that_is_stored(name: str, form: str, root: Path) -> None:
    (root / "plain").write_text("1")
    (root / name).write_text("2")

    assert LocalStorageClient(str(root)).capabilities.unicode_form == form


@pytest.mark.skipif(sys.platform == "darwin", reason="a disk of a Mac takes both forms for one")
def test_two_links_to_one_file_in_both_forms_are_two_names(root: Path) -> None:
    (root / COMPOSED).write_text("1")
    os.link(root / COMPOSED, root / DECOMPOSED)

    assert unicode_form_of(str(root)) is None


@pytest.mark.parametrize(("kind", "form"), [("hfsplus", "NFD"), ("ext4", None), ("vfat", None), (None, None)])
@pytest.mark.parametrize("place", ["root", "root/missing/below"])
def test_without_such_a_name_the_kind_of_the_file_system_tells(
    place: str, kind: Optional[str], form: Optional[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(local_unicode, "kind_of_file_system", lambda path: (asked.append(path), kind)[1])
    monkeypatch.setattr(sys, "platform", "linux")

    assert unicode_form_of(str(root.parent / place)) == form
    assert asked == [str(root)]


def test_a_mac_takes_both_forms_for_one_whatever_its_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert unicode_form_of(str(root)) == "NFD"


def test_nothing_is_written_to_find_out(root: Path) -> None:
    before = root.stat().st_mtime_ns
    unicode_form_of(str(root))

    assert (list(root.iterdir()), root.stat().st_mtime_ns) == ([], before)


@pytest.mark.usefixtures("taking_both_forms_for_one")
def test_both_forms_of_a_name_are_one_path_where_a_side_takes_them_for_one(tmp_path: Path) -> None:
    here, there = write(tmp_path / "here", {COMPOSED: "same"}), write(tmp_path / "there", {DECOMPOSED: "same"})

    report = syncengine.sync(here, there, mode="two-way")

    assert report.plan.empty
    assert (files(here), files(there)) == ({COMPOSED: "same"}, {DECOMPOSED: "same"})
