r"""Rules in the language of gitignore, exactly as git reads them.

Patterns are compiled by the ``pathspec`` library, but from a spelling that it and git read alike. As they stand, many
do not mean the same to both: pathspec trims every kind of white space where git trims spaces, knows neither escapes
nor ``[:alpha:]`` inside brackets, lets a range reach over ``/``, refuses ``foo\`` and ``\/``, works on characters
where git works on bytes, and has special answers for ``*`` and ``**`` that also hold for what lies below. So a
pattern is taken apart as ``wildmatch.c`` and ``dir.c`` of git do and put together again from what both agree on.

A rule is asked about one component at a time: whether a directory above is excluded is the caller's question.
"""

from __future__ import annotations

import re
from typing import Iterable, Optional, Pattern, Tuple

from attrs import frozen

from .paths import shown

_TOKEN = re.compile(r"\\(?P<escaped>.)|(?P<stars>\*+)|(?P<plain>[^\\\[])", re.DOTALL)
_LITERAL_PREFIX = re.compile(r"[^*?\[\\]*")
_ESCAPED_SLASH = "\\/"
_SLASHES = ("/", _ESCAPED_SLASH)
_NOWHERE = "\0"
"""No path holds a NUL: a filler for brackets, which must not begin with ``!``, ``^`` or ``[``."""


@frozen
class Rule:
    """One line of an ignore file, or one pattern of an argument; ``place`` says where it is written."""

    text: str
    place: str
    negated: bool
    by_name: bool
    spellings: Tuple[str, ...]
    expression: Pattern[str]

    def matches(self, name: str, path: str) -> bool:
        """Say whether the rule names this very component.

        Both texts are of the form that ``text_of`` returns, with a slash at the end for a directory; *path* is
        relative to the directory of the ignore file.
        """
        return self.expression.fullmatch(name if self.by_name else path) is not None

    def __str__(self) -> str:
        return f"{shown(self.text)} ({self.place})"


@frozen
class Rules:
    """The rules of one place, in order; the last that matches decides."""

    rules: Tuple[Rule, ...]
    glance: Pattern[str]
    """Matches wherever one of the rules does: most paths need no second look."""

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Rules:
        """Return the rules with the expression that tells at a glance whether any of them matches."""
        kept = tuple(rules)
        anywhere = (f"(?:.*/)?(?:{rule.expression.pattern.replace('^', '', 1)})" for rule in kept if rule.by_name)
        anchored = (rule.expression.pattern for rule in kept if not rule.by_name)
        return cls(kept, re.compile("|".join([*anywhere, *anchored]) or r"(?!)", re.DOTALL))

    def last_match(self, path: str) -> Optional[Rule]:
        """Return the rule that decides about this component, or None where no rule speaks of it.

        *path* is of the form that ``text_of`` returns, relative to where the rules stand.
        """
        name = path[path.rfind("/", 0, -1) + 1 :]
        return next((rule for rule in reversed(self.rules) if rule.matches(name, path)), None)

    def __bool__(self) -> bool:
        return bool(self.rules)
