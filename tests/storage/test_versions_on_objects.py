"""A versioned backup in a bucket: the trash below the root, or at another URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest
from fsspec.config import conf
from object_servers import S3Server

import syncengine

MIRROR: Dict[str, Any] = {"mode": "source-to-destination", "retain": "all"}


@pytest.mark.parametrize("elsewhere", [False, True], ids=["trash below the root", "trash at another URL"])
def test_a_bucket_keeps_gives_back_undoes_and_prunes(
    moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    bucket, filesystem = moto.bucket(), moto.filesystem()
    monkeypatch.setitem(conf, "s3", moto.options)
    source, url = tmp_path / "source", f"s3://{bucket}/backup"
    options = {**MIRROR, "trash": f"s3://{bucket}/kept"} if elsewhere else MIRROR
    (source / "d").mkdir(parents=True)
    (source / "f").write_text("one")
    (source / "d" / "x").write_text("x")

    first = syncengine.sync(source, url, **options)
    (source / "f").write_text("two two")
    (source / "d" / "x").unlink()
    second = syncengine.sync(source, url, **options)

    plan = syncengine.restore(source, url, run=first.run_id, delete=True, **options)
    assert not plan.problems
    syncengine.apply(plan).raise_for_status()
    assert filesystem.cat_file(f"{bucket}/backup/f") == b"one"
    assert filesystem.cat_file(f"{bucket}/backup/d/x") == b"x"
    assert syncengine.restore(source, url, run=first.run_id, delete=True, **options).empty

    there = syncengine.restore(source, url, "d", run=first.run_id, to=tmp_path / "there", **options)
    syncengine.apply(there).raise_for_status()
    assert (tmp_path / "there" / "d" / "x").read_text() == "x"

    (run, *_) = syncengine.history(source, url, **options).runs
    syncengine.apply(syncengine.undo(run.run_id, source, url, **options)).raise_for_status()
    assert filesystem.cat_file(f"{bucket}/backup/f") == b"two two"
    assert not filesystem.exists(f"{bucket}/backup/d/x")

    again = syncengine.undo(second.run_id, source, url, **options)
    assert not again.problems

    versions = [version for version in syncengine.history(source, url, "f", **options) if version.number]
    assert len(versions) == 3
    syncengine.apply(syncengine.prune(source, url, keep_last=1, **options)).raise_for_status()
    left = [version for version in syncengine.history(source, url, "f", **options) if version.number]
    assert [version.kept_at for version in left] == [versions[0].kept_at]
