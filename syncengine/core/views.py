"""Where plans and reports get their renderings and saved forms from, without core knowing who makes them.

The package root registers one loader per view; the module behind it is imported when the view is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Callable, Dict, Tuple

_VIEWS: Dict[str, Tuple[str, str]] = {}


def register(**views: str) -> None:
    """Name the function behind each view as ``module:function``."""
    for name, target in views.items():
        module, _, function = target.partition(":")
        _VIEWS[name] = (module, function)


def view(name: str) -> Callable[..., Any]:
    """Return the function that makes the view *name*, importing its module now."""
    module, function = _VIEWS[name]
    made: Callable[..., Any] = getattr(import_module(module), function)
    return made
