"""A one-to-one mapping of paths between source and destination, applied before anything is compared."""

from __future__ import annotations

from typing import Callable, Iterable, Mapping, Optional, Tuple, Union

from attrs import field, frozen

from ..errors import RecipeError
from .paths import is_within, refusal, shown

Mapper = Callable[[str], str]


@frozen
class PathMap:
    """Maps source paths to destination paths: by pairs of prefixes (the longest counts) or by a function.

    >>> PathMap.of({"raw": "landing/raw"}).forward("raw/a.csv")
    'landing/raw/a.csv'
    """

    pairs: Tuple[Tuple[str, str], ...] = ()
    function: Optional[Mapper] = field(default=None, eq=False)

    @classmethod
    def of(cls, mapping: Union[Mapping[str, str], Iterable[Tuple[str, str]], Mapper, PathMap, None]) -> PathMap:
        """Return the map that a user gave; raises RecipeError where it is not one-to-one."""
        if mapping is None:
            return cls()
        if isinstance(mapping, PathMap):
            return mapping
        if callable(mapping):
            return cls((("<function>", getattr(mapping, "__qualname__", type(mapping).__name__)),), mapping)
        try:
            pairs = tuple(sorted(dict(mapping).items()))
        except (TypeError, ValueError):
            raise RecipeError(f"path_map is a mapping of paths or a function of a path, not {mapping!r}") from None
        for position in (0, 1):
            names = [pair[position] for pair in pairs]
            if len(set(names)) != len(names):
                raise RecipeError(f"path_map is not one-to-one: {names!r} holds a path twice")
            for name in names:
                reason = refusal(name)
                if reason is not None:
                    raise RecipeError(f"path_map holds a path that {reason}: {shown(name)!r}")
        return cls(pairs)

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def forward(self, path: str) -> str:
        """Return the destination path of a source path."""
        if self.function is not None:
            return self.function(path)
        return _replaced(path, self.pairs)

    def backward(self, path: str) -> Optional[str]:
        """Return the source path of a destination path; None where only a function could say."""
        if self.function is not None:
            return None
        return _replaced(path, tuple((there, here) for here, there in self.pairs))


def _replaced(path: str, pairs: Tuple[Tuple[str, str], ...]) -> str:
    fitting = [pair for pair in pairs if is_within(path, pair[0])]
    if not fitting:
        return path
    here, there = max(fitting, key=lambda pair: len(pair[0]))
    return there + path[len(here) :]
