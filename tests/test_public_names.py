"""The public names: complete, sorted, documented, and nothing heavy behind the first import."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator, Set, Tuple

import pytest
from attrs import fields

import syncengine
from tests.trees import PROJECT, output_of

COMPONENTS = {
    "SyncEngine",
    "SyncMode",
    "StorageClientProtocol",
    "DirectoryScanner",
    "IgnoreFileManager",
    "FileComparator",
    "SyncOperations",
    "SyncStateManager",
}
PUBLIC = [name for name in syncengine.__all__ if name != "__version__"]


def imported_for_type_checkers() -> Set[str]:
    parsed = ast.parse(Path(syncengine.__file__).read_text("utf-8"))
    blocks = [node for node in parsed.body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


def test_all_names_every_public_name_in_order() -> None:
    assert list(syncengine.__all__) == ["__version__", *sorted(PUBLIC, key=str.casefold)]
    assert set(PUBLIC) == imported_for_type_checkers()
    assert set(syncengine.__all__) <= set(dir(syncengine))
    assert set(PUBLIC) >= COMPONENTS


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(syncengine, name)
    if not hasattr(value, "__module__") or not (inspect.isclass(value) or inspect.isfunction(value)):
        return  # an alias of several classes has no docstring of its own
    assert inspect.getdoc(value), name
    assert value.__module__.startswith("syncengine.")
    assert not inspect.isclass(value) or list(undocumented(value)) == []


def undocumented(value: Any) -> Iterator[str]:
    for name, member in vars(value).items():
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function) and not function.__doc__:
            yield name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Synchronizer'"):
        syncengine.Synchronizer  # noqa: B018 - the access is the test


TAKING = ("plan", "sync", "check", "explain", "history", "restore", "undo", "prune")


@pytest.mark.parametrize("name", TAKING)
def test_a_function_that_takes_the_arguments_of_an_engine_names_them(name: str) -> None:
    found = inspect.signature(getattr(syncengine, name)).parameters
    engine = {each.alias: each for each in fields(syncengine.SyncEngine) if each.init}
    assert set(engine) <= set(found)
    assert inspect.Parameter.VAR_KEYWORD not in {each.kind for each in found.values()}
    assert all(found[name].default == engine[name].default for name in ("mode", "retain", "ignore_files"))
    assert list(found)[-1] in engine


MISSPELLED = """
import syncengine
syncengine.plan("a", "b", ignroe="*.tmp")
syncengine.sync("a", "b", mode=3)
syncengine.plan("a", "b", mode="two-way", guards={"max_delete": "5"}, ignore="*.tmp").drop("x")
"""


@pytest.mark.thorough
def test_type_checkers_know_the_arguments(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(MISSPELLED)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "user.py"]
    environment = {**os.environ, "MYPYPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("user.py")]
    assert [line.split(":")[1] for line in lines if ": error: " in line] == ["3", "4"], done.stdout + done.stderr
    assert 'Unexpected keyword argument "ignroe"' in lines[0]


def test_what_holds_much_is_shown_in_a_line() -> None:
    with syncengine.SyncEngine("memory://a", "memory://b", state=None, mode="two-way") as engine:
        assert repr(engine) == "<SyncEngine memory://a, memory://b (two-way)>"
        assert repr(engine.job()) == "<Job memory://a, memory://b (two-way)>"
    hidden = repr(syncengine.SyncEngine("s3://user:planted-secret@b", "b", source_options={"key": "planted-secret"}))
    assert "planted-secret" not in hidden


FIRST_SYNC = """
import sys, syncengine
syncengine.sync(sys.argv[1], sys.argv[2])
print(*(name for name in sys.argv[3:] if name in sys.modules))
"""
HEAVY: Tuple[str, ...] = ("pandas", "polars", "rich", "click", "asyncio", "fsspec", "cattrs", "pathspec", "aiohttp")


def test_a_local_sync_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a").write_text("1")
    assert output_of(FIRST_SYNC, tmp_path / "s", tmp_path / "d", *HEAVY) == ""


def test_a_function_is_still_one_after_the_modules_behind_it_were_imported(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for _ in range(2):
        assert "absent" in syncengine.explain(tmp_path / "s", tmp_path / "d", "f")
    modules = {path.stem for path in Path(syncengine.__file__).parent.iterdir()}
    assert not modules & set(PUBLIC)
