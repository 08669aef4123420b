"""A bucket whose keys a key service keeps: its ETags look like digests of the content, and prove nothing different."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Optional

import pytest
import s3fs
from object_servers import S3Server

import syncengine
from syncengine.core.check import Finding

KMS = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "key"}}]}
SERVICES_OWN = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}


@pytest.fixture(params=[True, False], ids=["obstore", "filesystem"])
def server(request: pytest.FixtureRequest, moto: S3Server) -> S3Server:
    return S3Server(moto.url, fast=request.param)


def _encrypted(server: S3Server, rules: Optional[object]) -> str:
    bucket = server.bucket()
    if rules is not None:
        server.filesystem().call_s3("put_bucket_encryption", Bucket=bucket, ServerSideEncryptionConfiguration=rules)
    return bucket


def _fill(server: S3Server, bucket: str, files: Mapping[str, bytes], *, checksums: bool = False) -> None:
    """Put objects there, with or without the checksums that botocore adds and that settle what ETags leave open."""
    config = {"request_checksum_calculation": "when_supported" if checksums else "when_required"}
    filesystem = s3fs.S3FileSystem(**S3Server(server.url).options, config_kwargs=config)
    for key, content in files.items():
        filesystem.call_s3("put_object", Bucket=bucket, Key=key, Body=content)


@pytest.mark.parametrize(
    ("rules", "checksums", "expected"),
    [
        (None, False, Finding.DIFFERENT),
        (SERVICES_OWN, False, Finding.DIFFERENT),
        (KMS, False, Finding.UNVERIFIED),
        (KMS, True, Finding.DIFFERENT),
    ],
    ids=["none", "the service's own key", "a key service", "a key service, and a checksum"],
)
def test_an_etag_proves_other_content_only_where_no_key_service_made_it(
    rules: Optional[object], checksums: bool, expected: Finding, server: S3Server, tmp_path: Path
) -> None:
    bucket = _encrypted(server, rules)
    _fill(server, bucket, {"same": b"content", "other": b"content"}, checksums=checksums)
    (tmp_path / "same").write_bytes(b"content")
    (tmp_path / "other").write_bytes(b"CONTENT")

    result = syncengine.check(tmp_path, server.client(bucket))

    assert (result.equal, result.findings) == (1, (("other", expected),))


def test_two_buckets_of_which_a_key_service_encrypts_one_are_compared_the_same_way(server: S3Server) -> None:
    first, second = _encrypted(server, None), _encrypted(server, KMS)
    _fill(server, first, {"same": b"content", "other": b"content"})
    _fill(server, second, {"same": b"content", "other": b"CONTENT"})

    result = syncengine.check(server.client(first), server.client(second))

    assert (result.equal, result.findings) == (1, (("other", Finding.UNVERIFIED),))


def test_what_was_uploaded_is_at_rest_under_a_key_service(server: S3Server, tmp_path: Path) -> None:
    bucket = _encrypted(server, KMS)
    (tmp_path / "f").write_bytes(b"content")
    client = server.client(bucket)
    state = tmp_path.parent / "state"

    first = syncengine.sync(tmp_path, client, mode="source-to-destination", state=state)
    second = syncengine.sync(tmp_path, client, mode="source-to-destination", state=state)

    assert (len(first.outcomes), len(second.outcomes)) == (1, 0)
