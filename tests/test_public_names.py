"""The public names: complete, sorted, documented, and nothing heavy behind the first import."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any, Iterator, Set, Tuple

import pytest

import syncengine
from tests.trees import output_of

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
