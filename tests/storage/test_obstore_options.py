"""What obstore is made with, what it could not honour, and that credentials which expire are asked for again."""

from __future__ import annotations

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict, List

import pytest
import s3fs
from fsspec.config import conf
from object_servers import KEY, SECRET, S3Server, rclone_with

import syncengine
from syncengine.cli.__main__ import commands
from syncengine.core.entry import Entry
from syncengine.storage.conformance import Bytes
from syncengine.storage.location import locate
from syncengine.storage.objects.obstore_options import Store, StoreOptions
from syncengine.storage.objects.obstore_s3 import s3_options
from syncengine.storage.objects.opening import reason_against
from syncengine.storage.protocol import ABSENT

pytestmark = pytest.mark.usefixtures("usual_authorities")
TIME_NS = 1_600_000_000_123_456_789


@pytest.fixture
def usual_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"s3_additional_kwargs": {"ServerSideEncryption": "aws:kms"}}, "s3_additional_kwargs: ServerSideEncryption"),
        ({"client_kwargs": {"verify": False}}, "client_kwargs['verify']"),
        ({"client_kwargs": {"verify": "/etc/authority.pem"}}, "client_kwargs['verify']"),
        ({"client_kwargs": {"something": 1}}, "client_kwargs: something"),
        ({"config_kwargs": {"proxies": {"https": "http://proxy"}}}, "config_kwargs: proxies"),
        ({"config_kwargs": {"client_cert": "mine.pem"}}, "config_kwargs: client_cert"),
        ({"config_kwargs": {"s3": {"use_accelerate_endpoint": True}}}, "use_accelerate_endpoint"),
        ({"config_kwargs": {"signature_version": "s3"}}, "signature_version"),
        ({"session": object()}, "session of its own"),
        ({"asynchronous": True}, "asynchronous"),
    ],
)
def test_what_obstore_could_not_honour_keeps_it_out(options: Dict[str, Any], said: str) -> None:
    filesystem = s3fs.S3FileSystem(**options, skip_instance_cache=True)

    assert said in str(reason_against(filesystem))


def test_a_class_of_ones_own_is_served_by_itself() -> None:
    class Own(s3fs.S3FileSystem):
        pass

    assert "this is a Own" in str(reason_against(Own(skip_instance_cache=True)))


def test_authorities_of_the_environment_keep_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/authority.pem")
    given = {"key": KEY, "secret": SECRET, "client_kwargs": {"region_name": "eu-west-1"}}

    assert "REQUESTS_CA_BUNDLE" in str(s3_options(s3fs.S3FileSystem(**given, skip_instance_cache=True), "bucket"))


def test_a_proxy_of_the_configuration_keeps_it_out(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem = moto.filesystem()
    filesystem.connect()
    monkeypatch.setattr(filesystem._s3.meta.config, "proxies", {"http": "http://127.0.0.1:1"}, raising=False)

    assert "proxies" in str(s3_options(filesystem, "bucket"))


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ({}, {"virtual_hosted_style_request": True}),
        ({"config_kwargs": {"s3": {"addressing_style": "path"}}}, {"virtual_hosted_style_request": False}),
        (
            {"endpoint_url": "https://store.example"},
            {"endpoint": "https://store.example", "virtual_hosted_style_request": False},
        ),
        (
            {
                "client_kwargs": {"endpoint_url": "https://store.example:444"},
                "config_kwargs": {"s3": {"addressing_style": "virtual"}},
            },
            {"endpoint": "https://bucket.store.example:444", "virtual_hosted_style_request": True},
        ),
        ({"requester_pays": True}, {"request_payer": True}),
        ({"anon": True}, {"skip_signature": True}),
        ({"token": "temporary"}, {"session_token": "temporary", "access_key_id": KEY, "secret_access_key": SECRET}),
    ],
)
def test_the_options_of_the_filesystem_are_the_stores(options: Dict[str, Any], config: Dict[str, Any]) -> None:
    keys = {} if options.get("anon") else {"key": KEY, "secret": SECRET}
    given = {"client_kwargs": {"region_name": "eu-west-1"}, **keys, **options}
    filesystem = s3fs.S3FileSystem(**given, skip_instance_cache=True)

    found = s3_options(filesystem, "bucket")

    assert isinstance(found, StoreOptions)
    assert {name: found.config.get(name) for name in config} == config
    assert KEY not in repr(found)


def test_without_obstore_the_filesystem_serves_alone(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    client = moto.client(moto.bucket())

    client.write("a", Bytes(b"1"), expect=ABSENT)

    assert "obstore is not installed" in client.why


def test_a_store_is_made_when_it_is_asked_for_and_once_whoever_asks() -> None:
    made: List[object] = []
    began = threading.Barrier(8)

    def make() -> object:
        made.append(object())
        return made[-1]

    store = Store(make)
    assert not made

    def ask(_: int) -> object:
        began.wait(20)
        return store()

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(ask, range(8)))

    assert found == set(made)
    assert len(made) == 1


def test_a_store_that_cannot_be_made_is_tried_again() -> None:
    answers: List[Any] = [ValueError("no such region"), "store"]

    def make() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    store = Store(make)
    with pytest.raises(ValueError, match="region"):
        store()

    assert (store(), store()) == ("store", "store")


def test_nobody_is_told_to_install_what_would_not_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)

    assert "asynchronous" in str(reason_against(s3fs.S3FileSystem(asynchronous=True, skip_instance_cache=True)))
    assert "not installed" in str(reason_against(s3fs.S3FileSystem(skip_instance_cache=True)))


@pytest.mark.usefixtures("with_obstore")
def test_credentials_that_expire_are_asked_of_the_session_again(
    moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = tmp_path / "asked"
    soon = (datetime.now(timezone.utc) + timedelta(seconds=30)).isoformat()
    answer = {"Version": 1, "AccessKeyId": KEY, "SecretAccessKey": SECRET, "SessionToken": "t", "Expiration": soon}
    script = tmp_path / "credentials.py"
    script.write_text(f"open({str(noted)!r}, 'a').write('.')\nprint({json.dumps(answer)!r})\n", "utf-8")
    config = tmp_path / "config"
    config.write_text(f"[profile expiring]\ncredential_process = {sys.executable} {script}\n", "utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    options = {"profile": "expiring", "endpoint_url": moto.url, "client_kwargs": {"region_name": "us-east-1"}}
    filesystem = s3fs.S3FileSystem(**options, skip_instance_cache=True)

    found = s3_options(filesystem, "bucket")

    assert isinstance(found, StoreOptions)
    assert found.credentials is not None
    before = len(noted.read_text("utf-8"))
    provided = found.credentials()
    assert (provided["access_key_id"], provided["token"]) == (KEY, "t")
    assert provided["expires_at"] > datetime.now(timezone.utc)
    assert len(noted.read_text("utf-8")) == before + 1, "what is about to expire is refreshed"
    client = locate(f"s3://{moto.bucket()}", options=options).open()
    assert client.why.startswith("obstore")
    client.write("a", Bytes(b"1"), expect=ABSENT)


@pytest.mark.usefixtures("with_obstore")
def test_doctor_says_who_serves_a_bucket_and_why(
    moto: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = moto.bucket()
    monkeypatch.setitem(conf, "s3", moto.options)

    with pytest.raises(SystemExit) as ended:
        commands.main(["doctor", f"s3://{bucket}"], prog_name="syncengine")

    said = capsys.readouterr().out
    assert ended.value.code in (0, None)
    assert "why: obstore reads and writes, and s3fs does what obstore cannot" in said
    assert "create_if_absent: no" in said
    assert "not known before the first write" in said
    assert moto.keys(bucket) == ()


def test_the_state_of_a_pair_lives_in_a_bucket(moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(conf, "s3", moto.options)
    source, destination = tmp_path / "source", tmp_path / "destination"
    source.mkdir()
    destination.mkdir()
    (source / "a").write_bytes(b"1")
    state = f"s3://{moto.bucket()}/state"

    first = syncengine.sync(str(source), str(destination), mode="two-way", state=state)
    second = syncengine.sync(str(source), str(destination), mode="two-way", state=state)

    assert (len(first.outcomes), len(second.outcomes)) == (1, 0)


# Together with rclone


def test_rclone_reads_what_was_written_here_with_its_times(moto: S3Server, tmp_path: Path) -> None:
    bucket = moto.bucket()
    source = tmp_path / "source"
    source.mkdir()
    for name, content in {"small": b"1", "large": os.urandom(9 << 20)}.items():
        (source / name).write_bytes(content)
        os.utime(source / name, ns=(TIME_NS, TIME_NS))

    syncengine.sync(str(source), f"s3://{bucket}/r", mode="source-to-destination", destination_options=moto.options)

    rclone_with(moto, "check", "--download", str(source), f"there:{bucket}/r")
    listed = json.loads(rclone_with(moto, "lsjson", f"there:{bucket}/r"))
    assert {each["Path"]: each["ModTime"][:29] for each in listed} == {
        "large": "2020-09-13T12:26:40.123456789",
        "small": "2020-09-13T12:26:40.123456789",
    }


def test_what_rclone_wrote_is_read_here_with_its_times(moto: S3Server, tmp_path: Path) -> None:
    bucket = moto.bucket()
    source, destination = tmp_path / "source", tmp_path / "destination"
    source.mkdir()
    contents = {"small": b"1", "parts": os.urandom(11 << 20)}
    for name, content in contents.items():
        (source / name).write_bytes(content)
        os.utime(source / name, ns=(TIME_NS, TIME_NS))
    rclone_with(moto, "copy", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", str(source), f"there:{bucket}")
    entries = {item.path: item for item in moto.client(bucket).list() if isinstance(item, Entry)}
    assert str(entries["parts"].stamp.etag).endswith("-3")

    syncengine.sync(f"s3://{bucket}", str(destination), mode="source-to-destination", source_options=moto.options)

    for name, content in contents.items():
        assert (destination / name).read_bytes() == content
        assert (destination / name).stat().st_mtime_ns == TIME_NS
