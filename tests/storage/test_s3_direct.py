"""S3 without its filesystem: what is signed and listed by plain requests, and when the filesystem is made after all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import permutations
from queue import Queue
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple
from unittest.mock import patch

import botocore.auth
import pytest
import s3fs
from attrs import evolve
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from object_servers import KEY, SECRET, S3Server

from syncengine.core.entry import Stamp
from syncengine.errors import NotFound, PreconditionFailed, StorageError
from syncengine.storage.conformance import Bytes
from syncengine.storage.location import locate
from syncengine.storage.objects import s3_direct
from syncengine.storage.objects.conversation import ask
from syncengine.storage.objects.exchange import Answer
from syncengine.storage.objects.obstore_options import StoreOptions
from syncengine.storage.objects.obstore_s3 import s3_options
from syncengine.storage.objects.s3_direct import BrokenOff, DirectS3, Unclear, _Ahead, direct_to
from syncengine.storage.objects.s3_listing import objects_in
from syncengine.storage.objects.s3_small import SmallObjects
from syncengine.storage.objects.s3_unmade import plain_options
from syncengine.storage.objects.service import ObjectInfo
from syncengine.storage.objects.signing import Credentials, digest_of_body, encoded_path, encoded_query, signed
from syncengine.storage.protocol import ABSENT, ANYTHING, exactly

NOW = datetime(2026, 11, 22, 20, 30, 5, tzinfo=timezone.utc)
HERE = {"key": KEY, "secret": SECRET, "endpoint_url": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "token"),
    [
        ("GET", "/bucket", {"list-type": "2", "prefix": "a/b c+d~e", "max-keys": "1000"}, {}, None),
        ("GET", "/", {"continuation-token": "1ueG/=+x", "start-after": "ü\U0010ffff\n"}, {}, "a+token/="),
        ("DELETE", "/bucket/../a//b/./ü%20 ~", {}, {"If-Match": '"0123"'}, None),
        ("DELETE", "/k", {}, {"X-Amz-Request-Payer": "requester"}, "t"),
    ],
)
def test_requests_are_signed_as_botocore_signs_them(
    method: str, path: str, query: Dict[str, str], headers: Dict[str, str], token: Optional[str]
) -> None:
    place, text = encoded_path(path), encoded_query(query)
    given = {"Host": "store.example:444", **headers}
    url = f"http://store.example:444{place}?{text}" if text else f"http://store.example:444{place}"
    request = AWSRequest(method=method, url=url, headers=headers)
    with patch("botocore.auth.get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        botocore.auth.S3SigV4Auth(BotocoreCredentials(KEY, SECRET, token), "s3", "eu-west-1").add_auth(request)

    ours = signed(method, place, text, given, credentials=Credentials(KEY, SECRET, token), region="eu-west-1", now=NOW)

    assert ours["Authorization"] == request.headers["Authorization"]


def test_a_request_with_content_is_signed_as_botocore_signs_it() -> None:
    url, headers = "http://store.example/bucket/k", {"Content-Type": "text/plain", "x-amz-meta-mtime": "1.5"}
    request = AWSRequest(method="PUT", url=url, headers=headers, data=b"content")
    with patch("botocore.auth.get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        botocore.auth.S3SigV4Auth(BotocoreCredentials(KEY, SECRET), "s3", "eu-west-1").add_auth(request)

    ours = signed(
        "PUT",
        "/bucket/k",
        "",
        {"Host": "store.example", **headers},
        credentials=Credentials(KEY, SECRET),
        region="eu-west-1",
        now=NOW,
        payload=digest_of_body(b"content"),
    )

    assert ours["Authorization"] == request.headers["Authorization"]


def test_nothing_shows_who_signs() -> None:
    assert SECRET not in repr(Credentials(KEY, SECRET, "t"))
    options = plain_options(HERE, "bucket", {})
    assert isinstance(options, StoreOptions)
    assert SECRET not in repr(DirectS3("http://h/b", options))


# What is known without the filesystem


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (HERE, {}),
        ({**HERE, "token": "t"}, {}),
        ({"anon": True, "endpoint_url": "http://127.0.0.1:9"}, {}),
        ({**HERE, "requester_pays": True}, {"AWS_DEFAULT_REGION": "eu-west-3"}),
        ({"endpoint_url": "http://127.0.0.1:9"}, {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}),
        (
            {"client_kwargs": {"endpoint_url": "http://h:1/x", "region_name": "eu-west-1"}, "key": "k", "secret": "s"},
            {"AWS_ACCESS_KEY_ID": "not this", "AWS_SECRET_ACCESS_KEY": "one", "AWS_SESSION_TOKEN": "either"},
        ),
        ({"key": "k", "secret": "s"}, {"AWS_ENDPOINT_URL": "http://h:1", "AWS_ENDPOINT_URL_S3": "http://h:2"}),
        ({"key": "k", "secret": "s"}, {"AWS_ENDPOINT_URL": "http://h:1", "AWS_DEFAULT_REGION": "us-west-2"}),
        ({"key": "k", "secret": "s"}, {"AWS_DEFAULT_REGION": "eu-central-1"}),
        ({**HERE, "config_kwargs": {"s3": {"addressing_style": "virtual"}, "read_timeout": 7}}, {}),
        ({**HERE, "config_kwargs": {"s3": {"addressing_style": "path"}, "connect_timeout": 7}}, {}),
    ],
)
def test_what_is_plain_is_read_as_the_filesystem_reads_it(
    options: Dict[str, Any], environment: Dict[str, str], usual_environment: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        usual_environment.setenv(name, value)

    read = plain_options(options, "bucket", os.environ)

    asked = s3_options(s3fs.S3FileSystem(**options, skip_instance_cache=True), "bucket")
    assert isinstance(read, StoreOptions)
    assert isinstance(asked, StoreOptions)
    assert (dict(read.config), dict(read.client)) == (asked.config, asked.client)


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        ({"endpoint_url": "http://h:1"}, {}),
        ({"endpoint_url": "http://h:1", "key": "k"}, {}),
        ({"key": "k", "secret": "s"}, {}),
        (HERE, {"AWS_USE_FIPS_ENDPOINT": "true"}),
        (HERE, {"AWS_PROFILE": "other"}),
        (HERE, {"https_proxy": "http://proxy:1"}),
        ({"key": "k", "secret": "s"}, {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_CA_BUNDLE": "/etc/own.pem"}),
        ({**HERE, "profile": "other"}, {}),
        ({**HERE, "use_ssl": False}, {}),
        ({**HERE, "s3_additional_kwargs": {"ServerSideEncryption": "aws:kms"}}, {}),
        ({**HERE, "client_kwargs": {"endpoint_url": "http://h:2"}}, {}),
        ({**HERE, "client_kwargs": {"aws_access_key_id": "other"}}, {}),
        ({**HERE, "client_kwargs": {"verify": False}}, {}),
        ({**HERE, "config_kwargs": {"region_name": "eu-west-1"}}, {}),
        ({**HERE, "config_kwargs": {"proxies": {}}}, {}),
        ({**HERE, "whatever": 1}, {}),
    ],
)
def test_what_is_not_plain_is_left_to_the_filesystem(options: Dict[str, Any], environment: Dict[str, str]) -> None:
    assert plain_options(options, "bucket", environment) is None


def test_a_configuration_of_the_aws_is_left_to_the_filesystem(tmp_path: Any) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n  use_accelerate_endpoint = true\n", "utf-8")

    assert plain_options(HERE, "bucket", {"AWS_CONFIG_FILE": str(config)}) is None


@pytest.fixture
def usual_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.upper().startswith("AWS_") or name == "REQUESTS_CA_BUNDLE":
            monkeypatch.delenv(name)
    return monkeypatch


_SCAN = """
import sys, syncengine
found = sorted(entry.path for entry in syncengine.scan(sys.argv[1]).entries)
heavy = ("s3fs", "botocore", "fsspec", "obstore", "asyncio", "concurrent", "logging", "html")
print(len(found), *(name for name in heavy if name in sys.modules))
"""


@pytest.mark.usefixtures("with_obstore")
def test_a_listing_needs_neither_s3fs_nor_what_that_needs(moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.fill(bucket, {"a": b"1", "b/c": b"2", "marker/": b"", "odd//key": b"3"})
    environment = {**os.environ, "FSSPEC_S3": json.dumps({"key": KEY, "secret": SECRET, "endpoint_url": moto.url})}

    said = subprocess.run(
        [sys.executable, "-c", _SCAN, f"s3://{bucket}"], env=environment, capture_output=True, text=True, check=True
    )

    assert said.stdout.split() == ["2"]


# Pages


@contextmanager
def answering(*answers: Any) -> Iterator[List[str]]:
    """Answer each request with the next (status, body), the last one for ever; yield the URL, then what was asked."""
    asked: List[str] = []
    waiting = list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            asked.append(f"{self.command} {self.path}")
            status, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_DELETE = answer

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as above
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    asked.append(f"http://127.0.0.1:{server.server_address[1]}")
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def direct(url: str) -> DirectS3:
    options = plain_options({**HERE, "endpoint_url": url}, "bucket", {})
    assert options is not None
    found = direct_to(options)
    assert found is not None
    return found


def page(*keys: str, token: str = "") -> bytes:
    objects = "".join(
        f'<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"{"0" * 32}"</ETag>'
        "<Size>1</Size></Contents>"
        for key in keys
    )
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    state = f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>"
    return f"<ListBucketResult>{state}{more}{objects}</ListBucketResult>".encode()


def test_pages_follow_each_other_by_their_tokens() -> None:
    with answering((200, page("a", "b", token="one")), (200, page("c"))) as asked:
        client = direct(asked[0])

        found = [[info.key for info in each] for each in client.pages("", start_after="", page_size=1000)]

        client.close()
    assert found == [["a", "b"], ["c"]]
    assert len(asked) == 3
    assert "continuation-token=one" in asked[2]


def test_one_page_is_asked_for_ahead_and_no_more_than_that() -> None:
    answers = [(200, page(key, token=key)) for key in "abc"] + [(200, page("d"))]
    with answering(*answers) as asked:
        client = direct(asked[0])

        pages = client.pages("", start_after="", page_size=1000)
        assert [info.key for info in next(pages)] == ["a"]
        pages.close()

        client.close()
    assert 2 <= len(asked) <= 3, "the URL, the first page, and the second, if it was begun"


def test_a_failure_ahead_leaves_what_came_before_it() -> None:
    with answering((200, page("a", token="one")), (200, page("b", token="two")), (503, b"")) as asked:
        client = direct(asked[0])
        pages = client.pages("", start_after="", page_size=1000)

        assert [[info.key for info in next(pages)] for _ in "ab"] == [["a"], ["b"]]
        with pytest.raises(BrokenOff, match="503") as caught:
            next(pages)

        client.close()
    assert caught.value.token == "two"
    assert [thread.name for thread in threading.enumerate() if thread.name == "syncengine-listing"] == []


def test_a_listing_may_be_ended_in_the_thread_that_fetches_it() -> None:
    made: Queue[_Ahead] = Queue()
    asked: List[Optional[str]] = []

    def fetch(token: Optional[str]) -> bytes:
        asked.append(token)
        ahead = made.get(timeout=20)
        ahead.end()
        return page("a", token="one")

    ahead = _Ahead(fetch)
    made.put(ahead)

    assert ahead.take() == (page("a", token="one"), "one")
    ahead.end()
    assert (asked, ahead.is_alive()) == ([None], False)


@pytest.mark.usefixtures("with_obstore")
def test_a_process_that_leaves_a_listing_unread_ends() -> None:
    script = "import sys, syncengine\nleft = syncengine.scan(sys.argv[1]).entries\nprint(next(left).path)"
    with answering((200, page("a", token="another"))) as asked:
        environment = {**os.environ, "FSSPEC_S3": json.dumps({**HERE, "endpoint_url": asked[0]})}
        command = [sys.executable, "-W", "error", "-c", script, "s3://bucket"]

        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)

    assert (said.stdout, said.stderr) == ("a\n", "")


def test_quotes_that_are_spelled_by_their_numbers_are_quotes() -> None:
    written = (
        page("it&#39;s", "&#34;quoted&#34;").replace(b'<ETag>"', b"<ETag>&#34;").replace(b'"</ETag>', b"&#34;</ETag>")
    )
    with answering((200, written)) as asked:
        client = direct(asked[0])

        (found,) = client.pages("", start_after="", page_size=1000)

        client.close()
    assert [(info.key, info.stamp.etag) for info in found] == [("it's", "0" * 32), ('"quoted"', "0" * 32)]


def test_an_object_may_be_told_of_in_any_order() -> None:
    told = (
        "<Key>a</Key>",
        '<ETag>"x-1"</ETag>',
        "<Size>7</Size>",
        "<LastModified>2026-01-01T00:00:01.5Z</LastModified>",
    )
    pages = ["".join(("<Contents>", *order, "<Owner><ID>o</ID></Owner></Contents>")) for order in permutations(told)]
    pages += [
        "".join(("<Contents>", *("<A>1</A>" + part for part in order), "</Contents>")) for order in permutations(told)
    ]

    found = [objects_in(page.encode()) for page in pages]

    stamp = Stamp(size=7, mtime_ns=1_767_225_601_500_000_000, etag="x-1")
    assert found == [[ObjectInfo("a", stamp)]] * 48


def test_objects_of_one_page_are_told_of_in_one_order() -> None:
    assert objects_in(page("a", "b")) != []
    mixed = page("a", "b").replace(b"<Size>1</Size></Contents>", b"</Contents>", 1)
    assert objects_in(mixed.replace(b"<Contents>", b"<Contents><Size>1</Size>", 1)) == []


HEX, PARTS = "0123456789abcdef" * 2, "0123456789abcdef" * 2 + "-12"


@pytest.mark.parametrize(
    ("written", "etag", "digests"),
    [
        (f'"{HEX}"', HEX, (f"etag:{HEX}",)),
        (f"&quot;{PARTS}&quot;", PARTS, (f"etag:{PARTS}",)),
        (f"&#34;{PARTS}&#34;", PARTS, (f"etag:{PARTS}",)),
        (HEX, HEX, (f"etag:{HEX}",)),
        (f"&quot;{HEX.upper()}&quot;", HEX.upper(), ()),
        (f"&quot;{HEX}-&quot;", f"{HEX}-", ()),
        ('"opaque"', "opaque", ()),
        ("&quot;&quot;", None, ()),
        ("", None, ()),
    ],
)
def test_an_etag_is_a_digest_where_it_is_one_whatever_is_beside_it(
    written: str, etag: Optional[str], digests: Tuple[str, ...]
) -> None:
    alone = page("a").decode().replace(f'"{"0" * 32}"', written)
    beside = page("a", "b").decode().replace(f'"{"0" * 32}"', written, 1)
    among = page("a", "b").decode().replace(f'"{"0" * 32}"', written)

    stamp = Stamp(size=1, mtime_ns=1_767_225_600_000_000_000, etag=etag, digests=digests)
    plain = Stamp(size=1, mtime_ns=1_767_225_600_000_000_000, etag="0" * 32, digests=(f"etag:{'0' * 32}",))
    assert objects_in(alone.encode()) == [ObjectInfo("a", stamp)]
    assert objects_in(beside.encode()) == [ObjectInfo("a", stamp), ObjectInfo("b", plain)]
    assert objects_in(among.encode()) == [ObjectInfo("a", stamp), ObjectInfo("b", stamp)]


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        ("2026-01-01T00:00:01Z", 1_000_000_000),
        ("2026-01-01T00:00:01.000Z", 1_000_000_000),
        ("2026-01-01T00:00:01.5Z", 1_500_000_000),
        ("2026-01-01T00:01:00.012Z", 60_012_000_000),
        ("2026-01-01T00:00:00.123456789Z", 123_456_789),
    ],
)
def test_a_time_is_read_to_the_nanosecond(written: str, nanoseconds: int) -> None:
    told = page("a").decode().replace("2026-01-01T00:00:00.000Z", written)

    assert objects_in(told.encode())[0].stamp.mtime_ns == 1_767_225_600_000_000_000 + nanoseconds


@pytest.mark.parametrize(
    ("written", "in_url", "key"),
    [
        ("a+b%20c", True, "a b c"),
        ("a+b%20c", False, "a+b%20c"),
        ("a&amp;b", False, "a&b"),
        ("%C3%BC&amp;%26amp;", True, "ü&&amp;"),
        ("100%25", True, "100%"),
        ("plain/ü", True, "plain/ü"),
    ],
)
def test_a_key_is_read_as_it_is_written(written: str, in_url: bool, key: str) -> None:
    encoding = b"<EncodingType>url</EncodingType></ListBucketResult>" if in_url else b"</ListBucketResult>"
    beside = page(written, "beside").replace(b"</ListBucketResult>", encoding)

    assert [info.key for info in objects_in(beside)] == [key, "beside"]


@pytest.mark.parametrize(
    "odd",
    [
        b"<Contents><Key>c</Key></Contents>",
        b'<Contents kind="x"><Key>c</Key></Contents>',
        b"<Contents></Contents>",
        b"<Contents>",
    ],
)
def test_no_object_of_a_page_is_passed_over(odd: bytes) -> None:
    whole = page("a", "b")
    for place in (whole.index(b"<Contents>"), whole.index(b"</ListBucketResult>")):
        assert objects_in(whole[:place] + odd + whole[place:]) == []


@pytest.mark.parametrize(
    "answer",
    [
        (403, b""),
        (301, page("a")),
        (503, b"<Error><Code>SlowDown</Code></Error>"),
        (200, b""),
        (200, b"<html>a proxy's greeting</html>"),
        (200, page("a")[:-20]),
        (200, page("a").replace(b"<IsTruncated>false</IsTruncated>", b"")),
        (200, page("a").replace(b"false", b"true")),
        (200, page("a").replace(b"<Size>", b"<Length>")),
        (200, page("a&#10;b")),
        (200, page("a", "b").replace(b'"0', b"&#48;", 1)),
        (200, page("a").replace(b"</Size>", b"</Size><Key>b</Key>")),
        (200, page("a").replace(b"<Size>1</Size>", b"<Size>1</Size><Size>2</Size>")),
        (200, page("a", "b").replace(b"<Key>b</Key>", b"").replace(b"</Contents>", b"<Key>b</Key></Contents>", 1)),
    ],
)
def test_what_is_not_a_plain_page_is_not_interpreted(answer: Any) -> None:
    with answering(answer) as asked:
        client = direct(asked[0])

        with pytest.raises(Unclear):
            list(client.pages("", start_after="", page_size=1000))

        client.close()


@pytest.mark.usefixtures("with_obstore")
def test_a_listing_that_becomes_unclear_is_finished_by_the_filesystem(moto: S3Server) -> None:
    bucket = moto.bucket()
    moto.fill(bucket, dict.fromkeys("abcdef", b"1"))
    client = moto.client(bucket)
    direct = client.service._base._direct
    really = direct._page
    asked: List[Mapping[str, str]] = []

    def breaks(query: Mapping[str, str]) -> bytes:
        asked.append(query)
        if len(asked) > 1:
            raise Unclear("it broke")
        return really({**query, "max-keys": "2"})

    with patch.object(type(direct), "_page", side_effect=breaks):
        assert [entry.path for entry in client.list()] == list("abcdef")
    assert [sorted(query.keys() & {"start-after", "continuation-token"}) for query in asked] == [
        [],
        ["continuation-token"],
    ]


def test_who_asks_for_one_key_asks_once(moto: S3Server) -> None:
    with answering((200, page("a", token="more"))) as asked:
        client = direct(asked[0])

        assert next(client.pages("", start_after="", page_size=1))[0].key == "a"

        client.close()
        assert len(asked) == 2


def test_a_missing_bucket_and_a_refused_login_are_told_as_ever(moto: S3Server) -> None:
    options = {"key": KEY, "secret": SECRET, "endpoint_url": moto.url}
    with pytest.raises(NotFound):
        list(locate("s3://nobody-made-this-bucket", options=options).open().list())
    with pytest.raises(StorageError):
        list(locate("s3://bucket", options={**options, "endpoint_url": "http://127.0.0.1:1"}).open().list())


# Ranges


@pytest.mark.usefixtures("with_obstore")
def test_a_large_object_of_a_server_that_does_not_mark_ranges_needs_no_filesystem(rclone: S3Server) -> None:
    bucket = rclone.bucket()
    content = os.urandom(13 << 20)
    rclone.fill(bucket, {"large": content})
    client = rclone.client(bucket)
    base = client.service._base

    asked = patch.object(base, "_got", side_effect=AssertionError("the filesystem was asked"))
    with asked, client.read("large") as source:
        assert source.read() == content


@pytest.mark.parametrize("answer", [(206, b"12"), (200, b"the whole object"), (412, b""), (503, b"123")])
def test_an_answer_that_is_not_just_the_range_is_not_interpreted(answer: Any) -> None:
    with answering(answer) as asked:
        client = direct(asked[0])

        with pytest.raises(Unclear):
            client.range("k", 0, 3, '"0"')

        client.close()


@pytest.mark.parametrize(
    ("status", "told", "is_ours"),
    [
        (206, "bytes 4-6/9", True),
        (206, "bytes 4-6/*", True),
        (200, "bytes 4-6/9", True),
        (200, None, True),
        (206, None, False),
        (206, "bytes 0-2/9", False),
        (206, "bytes 4-7/9", False),
        (200, "bytes 0-2/9", False),
        (404, "bytes 4-6/9", False),
    ],
)
@pytest.mark.parametrize("etag", ['"x"', '"another"'])
def test_an_answer_is_taken_only_for_the_range_that_it_says_it_is(
    status: int, told: Optional[str], is_ours: bool, etag: str
) -> None:
    headers = {"etag": etag, **({} if told is None else {"content-range": told})}

    assert s3_direct._holds_range(Answer(status, headers), 4, 7, '"x"') is (is_ours and etag == '"x"')


# Writes


@pytest.mark.usefixtures("with_obstore")
@pytest.mark.parametrize("kind", ["seaweedfs", "rclone"])
def test_content_that_changes_on_its_way_is_refused_by_the_server(kind: str, request: pytest.FixtureRequest) -> None:
    server: S3Server = request.getfixturevalue(kind)
    bucket = server.bucket()
    client = server.client(bucket)
    assert isinstance(client.service, SmallObjects)
    said = client.service._direct.asked("PUT", "k", {}, content=b"content")

    answer = ask(evolve(said, content=b"c0ntent"))

    assert (answer.status, client.stat("k")) == (400, None)
    assert ask(said).status == 200


# Deletions


def test_a_deletion_names_its_version(moto: S3Server) -> None:
    client = moto.client(moto.bucket())
    old = client.write("a b", Bytes(b"1"), expect=ABSENT)
    new = client.write("a b", Bytes(b"22"), expect=exactly(old))

    with pytest.raises(PreconditionFailed):
        client.delete("a b", expect=exactly(old))
    client.delete("a b", expect=exactly(new))
    with pytest.raises(PreconditionFailed):
        client.delete("a b", expect=exactly(new))
    client.delete("a b", expect=ANYTHING)

    assert client.stat("a b") is None


@pytest.mark.usefixtures("with_obstore")
def test_a_deletion_whose_answer_was_lost_is_asked_for_again_and_done(moto: S3Server) -> None:
    client = moto.client(moto.bucket())
    stamp = client.write("a", Bytes(b"1"), expect=ABSENT)
    base = client.service._base
    really = base._direct.delete

    def lost(key: str, etag: Optional[str]) -> Optional[int]:
        really(key, etag)
        return None

    with patch.object(base, "_direct", wraps=base._direct) as half:
        half.delete = lost
        client.delete("a", expect=exactly(stamp))

    assert client.stat("a") is None
