"""A one-to-one mapping of paths between source and destination, applied before anything is compared."""

from __future__ import annotations

from typing import Callable, Iterable, Mapping, Optional, Tuple, Union

from attrs import Factory, field, frozen

from ..errors import RecipeError
from .entry import Side
from .paths import is_within, parents, refusal, shown

Mapper = Callable[[str], str]
Pairs = Tuple[Tuple[str, str], ...]


@frozen
class PathMap:
    """Maps source paths to destination paths: by pairs of prefixes (the longest counts) or by a function.

    >>> PathMap.of({"raw": "landing/raw"}).forward("raw/a.csv")
    'landing/raw/a.csv'
    """

    pairs: Pairs = ()
    function: Optional[Mapper] = field(default=None, eq=False)
    _turned: Pairs = field(
        default=Factory(lambda self: tuple((there, here) for here, there in self.pairs), takes_self=True),
        init=False,
        eq=False,
        repr=False,
    )

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
                if not isinstance(name, str):
                    raise RecipeError(f"path_map holds paths, not {name!r}")
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
        return _replaced(path, self._turned)

    def images(self, path: str) -> Optional[Tuple[str, ...]]:
        """Return the destination prefixes below which all lies that a source path and what is below it map to.

        None where only a function could say.

        >>> PathMap.of({"raw/a": "x"}).images("raw")
        ('raw', 'x')
        """
        return None if self.function is not None else _across(path, self.pairs)

    def origins(self, path: str) -> Tuple[str, ...]:
        """Return the source prefixes below which all lies that maps to a destination path or below it, strays too.

        >>> PathMap.of({"raw": "landing/raw"}).origins("landing")
        ('landing', 'raw')
        """
        if self.function is not None:
            return ("",)
        around = (here + path[len(there) :] for here, there in self.pairs if is_within(path, there))
        inside = (here for here, there in self.pairs if is_within(there, path))
        return tuple(dict.fromkeys((path, *around, *inside)))

    def stray(self, path: str, side: Side, *, directory: bool) -> Optional[str]:
        """Return the outermost prefix of *path*, on *side*, below which no path finds its way back; or None.

        Another pair has given that name away: with ``a`` mapped to ``b``, a source's own ``b`` and a destination's own
        ``a`` are strays. A directory in which some names do find their way back is none.

        >>> PathMap.of({"a": "b"}).stray("a/x/y", Side.DESTINATION, directory=False)
        'a'
        """
        if self.function is not None:
            return None
        over, back = (self.pairs, self._turned) if side is Side.SOURCE else (self._turned, self.pairs)
        if _replaced(_replaced(path, over), back) == path:
            return None
        for place in (*parents(path), path):
            if _replaced(_replaced(place, over), back) != place and len(_across(place, over)) == 1:
                return place
        return None if directory else path


def _across(path: str, pairs: Pairs) -> Tuple[str, ...]:
    return (_replaced(path, pairs), *(there for here, there in pairs if here != path and is_within(here, path)))


def _replaced(path: str, pairs: Pairs) -> str:
    fitting = [pair for pair in pairs if is_within(path, pair[0])]
    if not fitting:
        return path
    here, there = max(fitting, key=lambda pair: len(pair[0]))
    return there + path[len(here) :]
