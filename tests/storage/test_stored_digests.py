"""A check between a disk and a bucket reads the disk, asks the bucket, and downloads nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List

import pytest
from object_servers import S3Server

import syncengine
from syncengine.core.check import Finding

MEGABYTE = 1 << 20
CONTENT = bytes(range(256)) * (11 * MEGABYTE // 256) + b"end"


@pytest.fixture(params=[True, False], ids=["obstore", "filesystem"])
def server(request: pytest.FixtureRequest, moto: S3Server) -> S3Server:
    return S3Server(moto.url, fast=request.param)


class Watched:
    """A client that downloads nothing and counts what is asked of single objects."""

    def __init__(self, client: Any) -> None:
        self.asked: List[str] = []
        self._stored = client.stored_digests
        client.stored_digests = self._count
        client.read = self._refuse
        client.digest = self._refuse

    def _count(self, path: str, **arguments: Any) -> Any:
        self.asked.append(path)
        return self._stored(path, **arguments)

    def _refuse(self, path: str, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"{path} was downloaded")


def uploaded_in_parts(server: S3Server, bucket: str, key: str, content: bytes, part_bytes: int) -> None:
    call = server.filesystem().call_s3
    upload = call("create_multipart_upload", Bucket=bucket, Key=key)["UploadId"]
    parts = []
    for number, start in enumerate(range(0, len(content), part_bytes), 1):
        body = content[start : start + part_bytes]
        answer = call("upload_part", Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    call("complete_multipart_upload", Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})


@pytest.mark.parametrize("part_megabytes", [5, 6, 7])
def test_an_upload_in_parts_of_any_size_is_proved_from_the_local_file(
    part_megabytes: int, server: S3Server, tmp_path: Path
) -> None:
    bucket = server.bucket()
    uploaded_in_parts(server, bucket, "large", CONTENT, part_megabytes * MEGABYTE)
    server.fill(bucket, {"small": b"content"})
    (tmp_path / "large").write_bytes(CONTENT)
    (tmp_path / "small").write_bytes(b"content")
    client = server.client(bucket)
    watched = Watched(client)

    result = syncengine.check(tmp_path, client)

    assert (result.equal, result.findings) == (2, ())
    assert watched.asked == ["large"]


def test_other_content_in_parts_is_never_called_equal(server: S3Server, tmp_path: Path) -> None:
    bucket = server.bucket()
    uploaded_in_parts(server, bucket, "large", CONTENT, 5 * MEGABYTE)
    (tmp_path / "large").write_bytes(CONTENT[:-1] + b"!")
    client = server.client(bucket)
    Watched(client)

    result = syncengine.check(tmp_path, client)

    assert result.findings == (("large", Finding.UNVERIFIED),)


def test_two_uploads_in_the_same_parts_are_equal_by_their_etags(server: S3Server) -> None:
    first, second = server.bucket(), server.bucket()
    for bucket in (first, second):
        uploaded_in_parts(server, bucket, "large", CONTENT, 5 * MEGABYTE)
    clients = [server.client(bucket) for bucket in (first, second)]
    watched = [Watched(client) for client in clients]

    result = syncengine.check(*clients)

    assert (result.equal, result.findings) == (1, ())
    assert [each.asked for each in watched] == [[], []]


def test_a_plan_made_from_stored_digests_records_only_what_listings_tell(server: S3Server, tmp_path: Path) -> None:
    bucket = server.bucket()
    uploaded_in_parts(server, bucket, "large", CONTENT, 5 * MEGABYTE)
    (tmp_path / "large").write_bytes(CONTENT)
    # What was written within the last ticks of the clock is looked at once more, as it should be.
    os.utime(tmp_path / "large", ns=(1, 1))
    client = server.client(bucket)
    watched = Watched(client)

    first = syncengine.sync(tmp_path, client, mode="source-to-destination", state=tmp_path.parent / "state")
    second = syncengine.sync(tmp_path, client, mode="source-to-destination", state=tmp_path.parent / "state")

    assert (len(first.plan), first.plan.unchanged) == (0, 1)
    assert (len(second.plan), second.plan.unchanged, len(second.plan.agreements)) == (0, 1, 0)
    assert watched.asked == ["large"]
