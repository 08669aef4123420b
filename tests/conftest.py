"""Every test starts from nothing: an empty home, no user configuration, empty memory."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Iterator, List

import pytest
from fsspec.config import conf
from fsspec.implementations.memory import MemoryFileSystem

from syncengine.state.home import _RESIDENTS, MemoryHome

# Older releases of jupyter_core, the last ones for Python 3.9, warn where it is imported without this choice.
os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
# A shell that starts the suite in the background has it ignore interrupts, and with it every process a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

_HOMES = {
    "HOME": "",
    "USERPROFILE": "",
    "XDG_CONFIG_HOME": "config",
    "XDG_CACHE_HOME": "cache",
    "XDG_DATA_HOME": "data",
    "XDG_STATE_HOME": "state",
    "SYNCENGINE_STATE": "syncengine-state",
}
_HOUR = 3_600
_LEAKING = ("SYNCENGINE_", "FSSPEC_", "AWS_", "GOOGLE_", "AZURE_")
_LEAKING_ANYWHERE = ("no_color", "force_color", "http_proxy", "https_proxy", "all_proxy", "no_proxy", "columns")


def _leaks(name: str) -> bool:
    return name.startswith(_LEAKING) or name.lower() in _LEAKING_ANYWHERE


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Give what is marked thorough an hour, on a disk that takes its time; the rest has what pyproject.toml says."""
    for item in items:
        if item.get_closest_marker("thorough") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_HOUR))


@pytest.fixture(autouse=True)
def isolated_user(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test, and the processes it starts, a home of its own; returns that folder."""
    home = tmp_path_factory.mktemp("home")
    for name in filter(_leaks, list(os.environ)):
        monkeypatch.delenv(name)
    for name, folder in _HOMES.items():
        monkeypatch.setenv(name, str(home / folder))
    # fsspec has read the profiles of the real home when it was imported.
    for profile in list(conf):
        monkeypatch.delitem(conf, profile)
    return home


@pytest.fixture(autouse=True)
def empty_memory() -> Iterator[None]:
    """Empty ``memory://`` after the test, and forget what this process remembers of its pairs."""
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    for pair_id in list(_RESIDENTS):
        MemoryHome(pair_id).erase()
    _RESIDENTS.clear()
