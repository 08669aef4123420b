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


class Tabular:
    """What has a row for each of its parts, and is handed over as a data frame of whichever library is at hand."""

    __slots__ = ()

    def to_pandas(self) -> Any:
        """Return the records as a pandas data frame."""
        return view("to_pandas")(self)

    def to_polars(self) -> Any:
        """Return the records as a polars data frame."""
        return view("to_polars")(self)

    def to_arrow(self) -> Any:
        """Return the records as a pyarrow table."""
        return view("to_arrow")(self)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.to_arrow().__arrow_c_stream__(requested_schema)
