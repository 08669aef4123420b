"""What fsspec would say is said without importing it, and is what it says; where only it can tell, it is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict, Mapping

import pytest
import s3fs

from syncengine.storage.objects.s3_unmade import S3Address

_OTHER = """
from fsspec import AbstractFileSystem
class Other(AbstractFileSystem):
    protocol = ("s3", "s3a")
"""


def said(script: str, environment: Mapping[str, str], *arguments: str) -> Any:
    """Return what *script* prints, as JSON, in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", "import json, sys\n" + script, *arguments]
    given = {**os.environ, **environment}
    return json.loads(subprocess.run(command, env=given, capture_output=True, text=True, check=True).stdout)


def searched(*places: Path) -> Dict[str, str]:
    """Return an environment in which modules and distributions are also looked for in *places*."""
    return {"PYTHONPATH": os.pathsep.join([*map(str, places), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"FSSPEC_S3": '{"key": "k", "anon": false}', "FSSPEC_S3A": '{"secret": "s"}'},
        {"FSSPEC_S3_ENDPOINT_URL": "http://h:1", "FSSPEC_S3": '{"endpoint_url": "http://h:2", "key": "k"}'},
        {"FSSPEC_S3": "no mapping", "FSSPEC": "x", "FSSPEC__X": "y"},
    ],
)
def test_the_configuration_is_the_one_that_fsspec_reads(environment: Dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('{"s3": {"token": "t", "key": "of a file"}}', "utf-8")
    (tmp_path / "two.ini").write_text("[s3]\ntoken = u\n[memory]\nx = 1\n", "utf-8")
    script = (
        "from syncengine.storage.fsspec_facts import configuration\n"
        "from syncengine.storage.links import configured_options\n"
        "from syncengine.storage.objects.s3_unmade import S3Address\n"
        "found = configured_options(S3Address, 's3', {'given': 1})\n"
        "alone, untouched = dict(configuration().conf), 'fsspec' not in sys.modules\n"
        "import fsspec.config\n"
        "assert configuration() is fsspec.config\n"
        "again = configured_options(S3Address, 's3', {'given': 1})\n"
        "print(json.dumps([untouched, alone, fsspec.config.conf, found, again]))"
    )

    untouched, alone, theirs, found, again = said(script, {"FSSPEC_CONFIG_DIR": str(tmp_path), **environment})

    assert untouched
    assert alone == theirs != {}
    assert found == again != {"given": 1}


def test_the_class_of_every_protocol_is_the_one_that_fsspec_has() -> None:
    script = (
        "from syncengine.storage.fsspec_facts import class_name\n"
        "before, untouched = {name: class_name(name) for name in sys.argv[1:]}, 'fsspec' not in sys.modules\n"
        "from fsspec.registry import known_implementations as known\n"
        "print(json.dumps([untouched, before, {name: known.get(name, {}).get('class') for name in sys.argv[1:]}]))"
    )

    untouched, before, theirs = said(script, {}, "s3", "s3a", "memory", "gs", "nobodys")
    assert untouched
    assert before == theirs
    assert before["s3"] == before["s3a"] == "s3fs.S3FileSystem"
    untouched, before, theirs = said(script, {}, "s3", "sftp", "abfss")
    assert not untouched, "what is installed gives classes for these"
    assert before == theirs


_CLASS = (
    "from syncengine.storage.links import links_of\n"
    "found = links_of('s3://bucket/k', {})[0].filesystem_class.__name__\n"
    "print(json.dumps([found, 'fsspec' in sys.modules]))"
)


@pytest.mark.usefixtures("with_obstore")
@pytest.mark.parametrize("kind", ["other-1.0.dist-info", "Other.egg-info", "EGG-INFO"])
def test_what_is_installed_may_take_the_place_of_s3fs(kind: str, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(_OTHER, "utf-8")
    (tmp_path / kind).mkdir()
    place = tmp_path / kind / "entry_points.txt"

    place.write_text("[console_scripts]\ns3 = other:Other\n[fsspec.specs]\ns3x = other:Other\n", "utf-8")
    assert said(_CLASS, searched(tmp_path)) == ["S3Address", True], "a closer look was due"
    (tmp_path / kind / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n", "utf-8")
    (tmp_path / kind / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n", "utf-8")
    place.write_text("[fsspec.specs]\n  s3 = other:Other\ns3a=other:Other\n", "utf-8")
    # That of an egg is read only where the folder is called one.
    assert said(_CLASS, searched(tmp_path)) == ["S3Address" if kind == "EGG-INFO" else "Other", True]
    place.write_text("[console_scripts]\nx = other:Other\n", "utf-8")
    assert said(_CLASS, searched(tmp_path)) == ["S3Address", False]


@pytest.mark.usefixtures("with_obstore")
def test_where_not_everything_installed_can_be_looked_at_fsspec_is_asked(tmp_path: Path) -> None:
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("other.py", _OTHER)
    finder = "class Finder:\n    find_spec = find_distributions = lambda *given: None\nsys.meta_path.append(Finder)\n"

    assert said(_CLASS, searched(archive)) == ["S3Address", True]
    assert said(finder + _CLASS, {}) == ["S3Address", True]
    assert said(_CLASS, searched(tmp_path / "missing")) == ["S3Address", False]


def test_a_class_that_a_program_registered_is_the_one() -> None:
    registered = _OTHER + "import fsspec\nfsspec.register_implementation('s3', Other, clobber=True)\n"

    assert said(registered + _CLASS, {}) == ["Other", True]


@pytest.mark.parametrize(
    "url",
    [
        *("s3://bucket", "s3://bucket/", "s3://bucket/k", "s3a://bucket/k//", "s3://", "s3:///k", "s3://bucket//k/ü /"),
        *("s3::bucket", "s3a::s3://bucket", "s3://s3a://bucket", "s3a://s3://bucket", "S3://bucket", "bucket/k", ""),
    ],
)
def test_urls_are_read_as_s3fs_reads_them(url: str) -> None:
    theirs = s3fs.S3FileSystem

    assert S3Address._strip_protocol(url) == theirs._strip_protocol(url)
    assert S3Address._get_kwargs_from_urls(url) == theirs._get_kwargs_from_urls(url)
    assert S3Address.protocol == theirs.protocol
