"""What travels with objects besides their content, by rule: patterns of paths, and the headers they ask for.

Rules hold for what a run writes to an object store. They never make a file differ: an object that is in step keeps
the headers it has.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Tuple

from attrs import Factory, field, frozen

from ..errors import RecipeError
from .paths import shown
from .patterns import matcher

Rule = Tuple[str, str, str]

NAMES = (
    "content_type",
    "cache_control",
    "content_disposition",
    "content_encoding",
    "content_language",
    "storage_class",
)
METADATA = "metadata."
"""The beginning of the name of a header of one's own."""
_RESERVED = "mtime"


@frozen
class ObjectHeaders:
    """Ordered rules, each a pattern of gitignore, the name of a header and its value; the last that matches wins.

    >>> rules = ObjectHeaders.of({"*": {"cache_control": "no-cache"}, "*.css": {"cache_control": "max-age=60"}})
    >>> rules("style/main.css"), rules("index.html")
    ({'cache_control': 'max-age=60'}, {'cache_control': 'no-cache'})
    """

    rules: Tuple[Rule, ...] = ()
    _matching: Tuple[Tuple[Callable[[str], bool], str, str], ...] = field(
        default=Factory(
            lambda self: tuple((matcher([pattern]), name, value) for pattern, name, value in self.rules),
            takes_self=True,
        ),
        init=False,
        eq=False,
        repr=False,
    )

    @classmethod
    def of(cls, given: Any) -> ObjectHeaders:
        """Return the rules that a user gave, by pattern or as rules; raises RecipeError for what is no rule."""
        if given is None:
            return cls()
        if isinstance(given, ObjectHeaders):
            return given
        rules: Iterable[Tuple[Any, Any, Any]] = _by_pattern(given) if isinstance(given, Mapping) else _one_by_one(given)
        return cls(tuple(_checked(*rule) for rule in rules))

    def __bool__(self) -> bool:
        return bool(self.rules)

    def __call__(self, path: str) -> Dict[str, str]:
        """Return the headers that are asked for at *path*, by their names."""
        return {name: value for matches, name, value in self._matching if matches(path)}


def _by_pattern(given: Mapping[Any, Any]) -> Iterator[Tuple[Any, Any, Any]]:
    for pattern, headers in given.items():
        if not isinstance(headers, Mapping):
            raise RecipeError(f"object_headers holds headers by their names for each pattern, not {headers!r}")
        for name, value in headers.items():
            if name == METADATA[:-1] and isinstance(value, Mapping):
                yield from ((pattern, f"{METADATA}{own}", said) for own, said in value.items())
            else:
                yield pattern, name, value


def _one_by_one(given: Any) -> List[Tuple[Any, Any, Any]]:
    try:
        return [(pattern, name, value) for pattern, name, value in given]
    except (TypeError, ValueError):
        raise RecipeError(f"object_headers is a mapping of patterns to headers, not {given!r}") from None


def _checked(pattern: Any, name: Any, value: Any) -> Rule:
    for text in (pattern, name, value):
        if not isinstance(text, str) or not text.isprintable() or not text:
            raise RecipeError(f"object_headers holds texts of one line, not {text!r}")
    own = name[len(METADATA) :] if name.startswith(METADATA) else None
    if name not in NAMES and not own:
        raise RecipeError(f"object_headers cannot set {shown(name)!r}, only {', '.join(NAMES)} and {METADATA}NAME")
    if own is not None and own.lower() == _RESERVED:
        raise RecipeError(f"object_headers cannot set {METADATA}{_RESERVED}, which keeps the time of the content")
    matcher([pattern])
    return pattern, name, value
