"""What opens a side besides its URL: options of one command, secrets by variables of the environment, profiles."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import pytest
from fsspec.config import conf

from syncengine.cli.storage_options import asked_again

from ..servers import ftp_server
from ..trees import files
from .conftest import Run

SECRET = "planted-ftp-secret"
OPTIONS = ("--destination-option", "username=someone", "--destination-option", "password=${FTP_PASSWORD}")


@pytest.fixture
def ftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tuple[str, Path]]:
    """The URL of a server, with user name and password, and the folder that it serves."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "d").mkdir()
    with ftp_server(folder) as url:
        yield url, folder


def test_a_plan_whose_user_was_in_the_url_says_what_apply_needs_and_takes_it(
    ftp: Tuple[str, Path], run: Run, sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = ftp
    planned = run("plan", "a", f"{url}/d", "-o", "p.json")
    assert SECRET not in (sides / "p.json").read_text() + planned.stdout + planned.stderr
    refused = run("apply", "p.json")
    assert refused.code == 5
    assert "It was reached with password, username, which no plan holds." in refused.stderr
    assert "--destination-option NAME=VALUE or --destination-profile NAME" in refused.stderr
    assert "relocate=" not in refused.stderr

    said = next(line for line in planned.stderr.splitlines() if "syncengine apply" in line)
    monkeypatch.setenv("PASSWORD", SECRET)
    words = [word.replace("=USERNAME", "=someone") for word in shlex.split(said)[1:]]
    applied = run(*words)
    assert applied.code == 0, applied.stderr
    assert set(files(folder / "d")) == {"x.txt", "sub/y.txt"}
    assert SECRET not in applied.stdout + applied.stderr


def test_options_of_one_command_open_a_side_and_are_not_saved(
    ftp: Tuple[str, Path], run: Run, sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = re.sub(r"//.*@", "//", ftp[0]) + "/d"
    monkeypatch.setenv("FTP_PASSWORD", SECRET)
    ended = run("plan", "a", place, *OPTIONS, "-o", "p.json")
    assert ended.code == 0, ended.stderr
    saved = json.loads((sides / "p.json").read_text())["destination"]
    assert saved["options"] == ["password", "username"]
    assert not [secret for secret in ("someone", SECRET) if secret in str(saved)]
    assert run("doctor", place, "--option", "username=someone", "--option", "password=${FTP_PASSWORD}").code == 0


def test_a_profile_opens_a_side_and_may_say_a_protocol(
    ftp: Tuple[str, Path], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = re.sub(r"//.*@", "//", ftp[0]) + "/d"
    monkeypatch.setitem(conf, "nas", {"protocol": "ftp", "username": "someone", "password": SECRET})
    ended = run("sync", "a", place, "--destination-profile", "nas", "--yes")
    assert ended.code == 0, ended.stderr


REFUSED: Dict[str, str] = {
    f"password={SECRET}": "'password' looks like a secret",
    '{"a": 1}': "an option is NAME=VALUE",
    SECRET: "an option is NAME=VALUE",
    f'client_kwargs={{"aws_secret_access_key": "{SECRET}"}}': "'aws_secret_access_key' looks like a secret",
    "password=${NOT_SET}": "the environment variable NOT_SET is not set",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_a_secret_in_a_command_line_is_refused_and_not_repeated(setting: str, run: Run) -> None:
    ended = run("plan", "a", "s3://b/x", "--destination-option", setting)
    assert ended.code == 2
    assert REFUSED[setting] in ended.stderr
    assert SECRET not in ended.stderr


def test_values_are_json_where_they_are_any_and_flags_win_over_the_recipe(
    run: Run, sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from syncengine.cli import options

    seen: Dict[str, Any] = {}
    monkeypatch.setattr(options.Request, "engine", lambda self, *_, **__: seen.update(self.arguments) or _refuse())
    head = 'format = "syncengine.recipe/1"\nsource = "a"\ndestination = "s3://b"\n'
    (sides / "pair.toml").write_text(head + "[destination_options]\nport = 1\nanon = true\n")
    flags = ["port=2222", "endpoint_url=http://h/?a=b", "username=0123", 'client_kwargs={"region_name": "x"}']
    run("plan", "pair.toml", *[word for flag in flags for word in ("--destination-option", flag)])
    assert seen["destination_options"] == {
        "port": 2222,
        "anon": True,
        "endpoint_url": "http://h/?a=b",
        "username": "0123",
        "client_kwargs": {"region_name": "x"},
    }


def _refuse() -> Any:
    raise SystemExit(2)


def test_what_apply_is_asked_for_again_names_secrets_by_variables() -> None:
    assert list(asked_again("source", ("password", "username"))) == [
        "--source-option",
        "password=${PASSWORD}",
        "--source-option",
        "username=USERNAME",
    ]
