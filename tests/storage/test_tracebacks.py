"""What nobody catches is printed with all its causes; none of the messages holds a secret, whatever the protocol."""

from __future__ import annotations

import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, Dict, NoReturn, Optional, Tuple

import fsspec
import pytest
from object_servers import import_gcsfs

import syncengine
from syncengine.errors import RecipeError, ScanError, SyncError
from syncengine.storage.causes import shown_cause
from tests.trees import FaultyFileSystem

SECRET = "planted-4711-secret"

# What is asked for, with which options, and the call of its library that fails with a message that tells the secret.
PLACES = {
    "ftp": (f"ftp://someone:{SECRET}@127.0.0.1:9/x", None, "ftplib.FTP.connect"),
    "http": (f"http://someone:{SECRET}@127.0.0.1:9/x", None, "aiohttp.ClientSession._request"),
    "webdav": ("webdav://x", {"base_url": "http://127.0.0.1:9", "auth": ("me", SECRET)}, "httpx.Client.send"),
    "sftp": (f"sftp://someone:{SECRET}@127.0.0.1:9/x", None, "asyncssh.connect"),
    "s3": (
        "s3://bucket/x",
        {"key": "someone", "secret": SECRET, "endpoint_url": "http://127.0.0.1:9"},
        "aiobotocore.client.AioBaseClient._make_api_call",
    ),
    "gcs": (
        "gs://bucket/x",
        {"token": "anon", "endpoint_url": "http://127.0.0.1:9", "session_kwargs": {"headers": {"Own": SECRET}}},
        "aiohttp.ClientSession._request",
    ),
    "azure": (
        "az://container/x",
        {"connection_string": f"AccountName=a;AccountKey={SECRET}"},
        "adlfs.AzureBlobFileSystem.do_connect",
    ),
    "zip in ftp": (f"zip::ftp://someone:{SECRET}@127.0.0.1:9/x.zip", None, "ftplib.FTP.connect"),
}


def _fail(*_: Any, **__: Any) -> NoReturn:
    raise ConnectionError(f"cannot send {SECRET}") from ValueError(f"no header may hold {SECRET}")


def _printed(place: str, options: Optional[Dict[str, Any]], tmp_path: Path, kind: type = SyncError) -> str:
    try:
        syncengine.plan(tmp_path, place, destination_options=options, retries=0)
    except kind:
        return traceback.format_exc()
    raise AssertionError("nothing failed")


@pytest.mark.parametrize("case", PLACES.values(), ids=PLACES)
def test_no_cause_of_an_error_shows_a_secret(
    case: Tuple[str, Optional[Dict[str, Any]], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, options, call = case
    if place.startswith("gs"):
        import_gcsfs()
    monkeypatch.setattr(call, _fail)

    printed = _printed(place, options, tmp_path, ScanError)

    assert SECRET not in printed
    assert "ConnectionError: cannot send ***" in printed
    assert "ValueError: no header may hold ***" in printed


def test_a_filesystem_that_nobody_knows_shows_none_either(tmp_path: Path) -> None:
    fsspec.register_implementation("faulty", FaultyFileSystem, clobber=True)
    FaultyFileSystem.clear()
    FaultyFileSystem.hook = staticmethod(_fail)
    try:
        printed = _printed("faulty://root", {"token": SECRET}, tmp_path)
    finally:
        FaultyFileSystem.clear()
    assert SECRET not in printed
    assert "cannot send ***" in printed


def test_a_user_and_password_taken_for_a_bucket_are_not_shown(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "syncengine", "-v", "plan", str(tmp_path), f"s3://AKIAXXXX:{SECRET}@bucket/x"]

    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert said.returncode == 7
    assert "Traceback" in said.stderr
    assert SECRET not in said.stderr + said.stdout
    assert "AKIAXXXX" not in said.stderr + said.stdout


@pytest.mark.parametrize("host", ["h:99x", "h\uff1a2"])
def test_a_url_that_is_no_address_is_refused_without_its_password(host: str, tmp_path: Path) -> None:
    printed = _printed(f"ftp://someone:{SECRET}@{host}/x", None, tmp_path, RecipeError)

    assert SECRET not in printed
    assert "check the URL" in printed


# ------------------------------------------------------------------------------- causes


class Answered(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.response = {"Error": {"Code": code}}


def test_a_cause_without_a_secret_is_kept_as_it_is() -> None:
    error = Answered(404, "nothing there")
    assert shown_cause(error, [SECRET]) is error


def test_a_cause_with_a_secret_keeps_its_class_and_what_it_carries() -> None:
    shown = shown_cause(Answered(403, f"{SECRET} is refused"), [SECRET])

    assert isinstance(shown, Answered)
    assert str(shown) == "403: *** is refused"
    assert SECRET not in repr(shown)
    assert shown.response == {"Error": {"Code": 403}}


def test_what_was_raised_while_another_error_was_handled_is_looked_at_too() -> None:
    error = OSError(5, "broken")
    error.__context__ = KeyError(SECRET)

    shown = shown_cause(error, [SECRET])

    assert SECRET not in "".join(traceback.format_exception(type(shown), shown, shown.__traceback__))
    assert isinstance(shown, OSError)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups and notes of errors came with 3.11")
def test_groups_and_notes_show_none_either() -> None:
    noted = ValueError("plain")
    noted.add_note(SECRET)  # type: ignore[attr-defined]
    group = ExceptionGroup("several", [ValueError(SECRET)])  # type: ignore[name-defined]  # noqa: F821
    for error in (noted, group):
        shown = shown_cause(error, [SECRET])
        assert SECRET not in "".join(traceback.format_exception(type(shown), shown, shown.__traceback__))
