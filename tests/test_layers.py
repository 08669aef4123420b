"""Who may import whom, and which calls are never made: read from the source, lazy imports counted too."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

import pytest

import syncengine

PACKAGE = Path(syncengine.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")

# Each may import what stands at or below its own height; storage and state may not import each other.
HEIGHTS: Dict[str, int] = {
    "errors": 0,
    "events": 0,
    "core": 1,
    "serial": 2,
    "serial_reading": 2,
    "serial_values": 2,
    "storage": 3,
    "state": 3,
    "stages": 4,
    "pipeline": 5,
    "applying": 6,
    "arguments": 6,
    "engine": 6,
    "explaining": 6,
    "places": 6,
    "recipe": 6,
    "recipe_keys": 6,
    "remote_state": 6,
    "scanning": 6,
    "signatures": 0,
    "versioning": 6,
    "render": 6,
    "cli": 7,
    "__main__": 7,
}
SEPARATE = {("storage", "state"), ("state", "storage")}


def home(path: Path) -> str:
    """Return the part of the package that *path* belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[Tuple[int, str]]:
    """Yield the line and the part of the package of everything that *path* imports at run time."""
    inside = ["syncengine", *path.relative_to(PACKAGE).with_suffix("").parts[:-1]]
    parsed = ast.parse(path.read_text("utf-8"))
    for node in at_run_time(parsed):
        for name in names(node, inside):
            parts = name.split(".")
            if parts[0] == "syncengine" and len(parts) > 1:
                yield node.lineno, parts[1]


def at_run_time(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield all import statements but those for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        yield from at_run_time(child)


def names(node: ast.stmt, inside: List[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = ".".join(inside[: len(inside) + 1 - node.level]) if node.level else ""
        module = f"{base}.{node.module}" if base and node.module else base or str(node.module)
        yield from (f"{module}.{alias.name}" if module == "syncengine" else module for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_never_go_upwards_nor_between_storage_and_state(path: Path) -> None:
    own = home(path)
    wrong = [
        f"line {line}: {own} imports {other}"
        for line, other in imported(path)
        if other in HEIGHTS and (HEIGHTS[other] > HEIGHTS[own] or (own, other) in SEPARATE)
    ]
    assert wrong == []


def test_every_part_of_the_package_has_its_height() -> None:
    assert {home(path) for path in MODULES} == set(HEIGHTS)


HEAVY = (
    "fsspec",
    "sqlite3",
    "pathspec",
    "cattrs",
    "rich",
    "asyncio",
    "click",
    "pandas",
    "polars",
    "pyarrow",
    "obstore",
)
LIGHT_PARTS = ("errors", "events", "core", "stages", "pipeline", "engine", "applying", "explaining")


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if home(path) in LIGHT_PARTS],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_nothing_heavy_is_imported_with_the_engine(path: Path) -> None:
    parsed = ast.parse(path.read_text("utf-8"))
    top = [node for node in parsed.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    found = {name.split(".")[0] for node in top for name in names(node, ["syncengine"])}
    assert not found & set(HEAVY)


def test_core_is_pure() -> None:
    outside: Set[str] = set()
    for path in MODULES:
        if home(path) == "core":
            parsed = ast.parse(path.read_text("utf-8"))
            outside |= {
                name.split(".")[0] for node in at_run_time(parsed) for name in names(node, ["syncengine", "core"])
            }
    assert not outside & {"os", "fsspec", "time", "threading", "logging", "random", "io", "pathlib", "shutil"}


# ------------------------------------------------------------------------------- calls

PLURAL = {"find", "walk", "glob", "get", "put", "rm", "mv", "cp", "copy", "cat", "exists", "upload", "download"}
FILESYSTEM = re.compile(r"(^|_)(filesystem|fs)$")
NEVER = {"walk", "rm", "mv", "cat"}


def plural_calls(source: str) -> List[str]:
    """Return the calls in *source* that expand patterns, swallow errors or leave half a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        receiver, method = node.func.value, node.func.attr
        name = receiver.attr if isinstance(receiver, ast.Attribute) else getattr(receiver, "id", "")
        if name not in ("ast", "os") and (method in NEVER or (method in PLURAL and FILESYSTEM.search(name))):
            found.append(f"{name}.{method}")
        if name == "os" and method in ("walk", "popen", "system"):
            found.append(f"{name}.{method}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_calls_that_expand_patterns_or_swallow_errors_are_not_made(path: Path) -> None:
    assert plural_calls(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "call", ["filesystem.find('x')", "self._filesystem.get(a, b)", "fs.cat(x)", "thing.rm(x)", "os.walk('.')"]
)
def test_the_search_for_such_calls_finds_them(call: str) -> None:
    assert len(plural_calls(call)) == 1
