"""Whole syncs in processes that have no obstore: to S3, from S3 and within it, changes and deletions included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest
from attrs import frozen
from object_servers import S3Server

from tests.trees import files, write

LARGE = "x" * (11 << 20)  # two parts
CONTENTS = {"a": "1", "d/b ü": "22", "d/empty": "", "tab\there": "333", "large": LARGE}
_RUN = """
import json, sys
if sys.argv[2:] == ["hidden"]:
    sys.modules["obstore"] = None
import syncengine
clients = [syncengine.locate(place, options=options).open() for place, options in json.loads(sys.argv[1])]
reports = [syncengine.sync(*clients, mode="source-to-destination").raise_for_status() for _ in range(2)]
print(json.dumps({
    "done": [len(report.outcomes) for report in reports],
    "why": [client.why for client in clients if hasattr(client, "why")],
}))
"""


@frozen
class Place:
    """A folder or a bucket."""

    root: Any
    server: Any = None

    @property
    def address(self) -> Any:
        return [f"s3://{self.root}/r", self.server.options] if self.server else [str(self.root), None]

    def put(self, contents: Dict[str, str]) -> None:
        if self.server:
            self.server.fill(self.root, {f"r/{key}": content.encode() for key, content in contents.items()})
        else:
            write(self.root, contents)

    def remove(self, key: str) -> None:
        if self.server:
            self.server.filesystem().call_s3("delete_object", Bucket=self.root, Key=f"r/{key}")
        else:
            (self.root / key).unlink()

    def files(self) -> Dict[str, str]:
        if not self.server:
            return files(self.root)
        keys = [key[2:] for key in self.server.keys(self.root)]
        return {key: self.server.content(self.root, f"r/{key}").decode() for key in keys}


def _synced(source: Place, destination: Place) -> Any:
    """Sync twice in a process of its own; return how much each run did, and who served what buckets there were."""
    places = json.dumps([source.address, destination.address])
    command = [sys.executable, "-W", "error", "-c", _RUN, places, "hidden"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["why"]
    assert all("through s3fs.core.S3FileSystem alone: obstore is not installed" in why for why in said["why"])
    return said["done"]


@pytest.mark.parametrize("route", ["to S3", "from S3", "within S3"])
def test_all_is_done_without_obstore(route: str, moto: S3Server, tmp_path: Path) -> None:
    sides = [Place(moto.bucket(), moto), Place(moto.bucket(), moto)]
    if route != "within S3":
        sides[["to S3", "from S3"].index(route)] = Place(write(tmp_path / "files", {}))
    source, destination = sides
    source.put(CONTENTS)

    assert _synced(source, destination) == [5, 0]
    assert destination.files() == CONTENTS

    source.put({"a": "other"})
    source.remove("d/empty")
    assert _synced(source, destination) == [2, 0]
    expected = {**CONTENTS, "a": "other"}
    del expected["d/empty"]
    assert destination.files() == expected


def test_an_obstore_that_cannot_be_imported_is_done_without(moto: S3Server, tmp_path: Path) -> None:
    broken = write(tmp_path / "broken", {"obstore/__init__.py": "raise ImportError('built for another system')"})
    source, destination = Place(moto.bucket(), moto), Place(write(tmp_path / "files", {}))
    source.put(CONTENTS)
    places = json.dumps([source.address, destination.address])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(broken), os.environ.get("PYTHONPATH", "")])}

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _RUN, places],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"] == [5, 0]
    assert destination.files() == CONTENTS
