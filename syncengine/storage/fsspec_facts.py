"""What fsspec is told by its configuration, and which class it has for a protocol, without importing it where possible.

``import fsspec`` takes as long as listing 10,000 objects: it loads asyncio, archives and the entry points of everything
that is installed. Where nobody imported it yet, its own modules for these two questions are run by themselves, which
need nothing of it; where somebody did, it is asked itself, since a program may have told it more.
"""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any, Iterator, Optional

_GROUP = "fsspec.specs"
"""The entry points by which what is installed gives fsspec classes, also in place of its own."""
_METADATA = (".dist-info", "egg-info")


def configuration() -> Any:
    """Return fsspec's module of its configuration, which is read from files and the environment once."""
    return _module("config")


def class_name(protocol: str) -> Optional[str]:
    """Return the name of the class that fsspec has for *protocol*, None where it has none."""
    if "fsspec" not in sys.modules and _may_be_given(protocol):
        import_module("fsspec")
    registry = _module("registry")
    made = registry.registry.get(protocol)
    if made is not None:
        return f"{made.__module__}.{made.__qualname__}"
    known: Optional[str] = registry.known_implementations.get(protocol, {}).get("class")
    return known


def _module(name: str) -> Any:
    alone = _alone(name) if "fsspec" not in sys.modules else None
    return import_module(f"fsspec.{name}") if alone is None else alone


@cache
def _alone(name: str) -> Optional[Any]:
    """Return a module of fsspec, run by itself once; None where this release's needs the rest of it."""
    package = find_spec("fsspec")
    spec = PathFinder.find_spec(f"fsspec.{name}", package.submodule_search_locations) if package is not None else None
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return None if "fsspec" in sys.modules else module


def _may_be_given(protocol: str) -> bool:
    """Say whether something that is installed may give fsspec a class for *protocol*."""
    if any(finder is not PathFinder and hasattr(finder, "find_distributions") for finder in sys.meta_path):
        return True
    names_it = re.compile(rf"^\s*{re.escape(protocol)}\s*=", re.MULTILINE)
    return any(text is None or (_GROUP in text and names_it.search(text)) for text in _entry_points())


def _entry_points() -> Iterator[Optional[str]]:
    """Yield the entry points of everything that is installed as they are written; None for what cannot be read."""
    for place in sys.path:
        try:
            names = os.listdir(place or ".")
        except FileNotFoundError:
            continue
        except OSError:
            yield None  # an archive, as a rule
            continue
        for name in names:
            if name.lower().endswith(_METADATA):
                yield _read(os.path.join(place, name, "entry_points.txt"))


def _read(path: str) -> Optional[str]:
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError:
        return None
