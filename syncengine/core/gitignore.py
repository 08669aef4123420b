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
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Pattern, Sequence, Set, Tuple

from attrs import frozen

from ..errors import RecipeError
from .paths import decoded, encoded, shown

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
    """The rules of one place, in order; the last that matches decides.

    ``names`` and ``paths`` match wherever one of the rules does, so that most components cost one look.
    """

    rules: Tuple[Rule, ...]
    names: Optional[Pattern[str]]
    paths: Optional[Pattern[str]]

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Rules:
        """Return *rules* with the expressions that tell at one look whether any of them matches."""
        kept = tuple(rules)
        by_name = [rule.expression.pattern for rule in kept if rule.by_name]
        by_path = [rule.expression.pattern for rule in kept if not rule.by_name]
        return cls(kept, _any_of(by_name), _any_of(by_path))

    def last_match(self, path: str) -> Optional[Rule]:
        """Return the rule that decides about this component, or None where no rule speaks of it.

        *path* is of the form that ``text_of`` returns, relative to the directory the rules stand in.
        """
        name = path[path.rfind("/", 0, -1) + 1 :]
        named = self.names is not None and self.names.fullmatch(name) is not None
        if not named and (self.paths is None or self.paths.fullmatch(path) is None):
            return None
        return next(rule for rule in reversed(self.rules) if rule.matches(name, path))

    def __bool__(self) -> bool:
        return bool(self.rules)


def _any_of(expressions: Sequence[str]) -> Optional[Pattern[str]]:
    return re.compile("|".join(f"(?:{expression})" for expression in expressions), re.DOTALL) if expressions else None


def text_of(path: str, *, directory: bool) -> str:
    """Return *path* as rules read it: one character for each byte, as git does, and a slash after a directory."""
    text = path if path.isascii() else encoded(path).decode("latin-1")
    return text + "/" if directory else text


def rules_of_file(content: bytes, place: str) -> Rules:
    """Return the rules in an ignore file; *place* names it, and each rule's place adds the line."""
    text = content.decode("latin-1")
    lines = text[3:].split("\n") if content.startswith(b"\xef\xbb\xbf") else text.split("\n")
    numbered = enumerate((line[:-1] if line.endswith("\r") else line for line in lines), start=1)
    return Rules.of(_parsed((line, f"{place}:{number}") for number, line in numbered))


def rules_of_patterns(patterns: Iterable[str], place: str) -> Rules:
    """Return the rules that *patterns* are, each as if it were a line of an ignore file.

    Raises RecipeError for text that no path could equal.
    """
    return Rules.of(_parsed((_argument(pattern, place), place) for pattern in patterns))


def _argument(pattern: str, place: str) -> str:
    try:
        return text_of(pattern, directory=False)
    except UnicodeEncodeError as error:
        raise RecipeError(f"{place}: {shown(pattern)!r} cannot be encoded, so no path can match it") from error


def _parsed(lines: Iterable[Tuple[str, str]]) -> Iterator[Rule]:
    for line, place in lines:
        rule = _rule(line, place)
        if rule is not None:
            yield rule


def _rule(line: str, place: str) -> Optional[Rule]:
    """Return the rule of one line, or None for a blank, a comment, or a pattern that can match nothing."""
    text = _trimmed(line.partition("\0")[0])
    if text.startswith("#"):
        return None
    negated = text.startswith("!")
    pattern = text[1:] if negated else text
    directories_only = pattern.endswith("/")
    pattern = pattern[:-1] if directories_only else pattern
    by_name = "/" not in pattern
    bodies = _by_name(pattern) if by_name else _by_path(pattern)
    if not bodies:
        return None
    spellings = tuple(body + "/" if directories_only else body for body in bodies)
    return Rule(decoded(text.encode("latin-1")), place, negated, by_name, spellings, compiled(spellings))


def _trimmed(line: str) -> str:
    """Remove the spaces at the end that no backslash protects."""
    kept = line.rstrip(" ")
    backslashes = len(kept) - len(kept.rstrip("\\"))
    return kept + " " if backslashes % 2 and kept != line else kept


def compiled(spellings: Sequence[str]) -> Pattern[str]:
    """Return the expression that ``fullmatch``-es exactly the components that one of *spellings* names."""
    translate = _translator()
    return re.compile("|".join(f"(?:{_exact(translate(spelling)[0])})" for spelling in spellings), re.DOTALL)


def _translator() -> Callable[[str], Tuple[Optional[str], Optional[bool]]]:
    # The library is imported where a pattern is used: it costs 40 ms. The class moved in its release 1.0.
    translate: Callable[[str], Tuple[Optional[str], Optional[bool]]]
    try:
        from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

        translate = GitIgnoreSpecPattern.pattern_to_regex
    except ImportError:
        from pathspec.patterns.gitwildmatch import GitWildMatchPattern

        translate = GitWildMatchPattern.pattern_to_regex
    return translate


def _exact(expression: Optional[str]) -> str:
    # Both releases mark the end of the component by a named group, and the earlier one goes on to match what lies
    # below. Without the tail and the name, expressions can be joined and only match the component itself.
    return str(expression).replace("(?P<ps_d>/).*", "/").replace("(?P<ps_d>/)", "/")


def _by_name(pattern: str) -> List[str]:
    tokens = _tokens(pattern)
    return [_segment("".join("*" if part == "**" else part for part in tokens))] if tokens else []


def _by_path(pattern: str) -> List[str]:
    relative = pattern[1:] if pattern.startswith("/") else pattern
    tokens = _tokens(relative)
    if not tokens:
        return []
    prefix = _LITERAL_PREFIX.match(relative)
    return [body for body in map(_joined, _unglued(tokens, prefix.end() if prefix else 0)) if body is not None]


def _unglued(tokens: List[str], start: int) -> Iterator[List[str]]:
    """Yield the alternatives without ``**`` glued to a literal beginning, as in ``foo**/bar``.

    Git compares the literal beginning of a pattern by itself and hands the rest to wildmatch, for which a ``**`` at
    *start* then stands at the beginning of a pattern and crosses slashes, although it does not follow one.
    """
    head, rest = tokens[:start], tokens[start + 1 :]
    glued = start and head[-1] != "/" and tokens[start : start + 1] == ["**"] and (not rest or rest[0] in _SLASHES)
    if not glued:
        yield tokens
        return
    if not rest:
        yield [*head, "*"]
    elif rest[0] == "/":
        yield from _unglued([*head, *rest[1:]], start)
    yield [*head, "*", "/", "**", *(["/", *rest[1:]] if rest else [])]


def _joined(tokens: List[str]) -> Optional[str]:
    """Return the anchored pattern that *tokens* make, or None where an empty segment lets it match nothing."""
    segments = "".join(_spelled(tokens, index) for index in range(len(tokens))).split("/")
    if "" in segments:
        return None
    return "/" + "/".join(map(_segment, segments))


def _spelled(tokens: List[str], index: int) -> str:
    part = tokens[index]
    if part == _ESCAPED_SLASH:
        return "/"
    if part != "**":
        return part
    follows = tokens[index + 1] if index + 1 < len(tokens) else None
    if (index and tokens[index - 1] not in _SLASHES) or follows not in (None, *_SLASHES):
        return "*"
    # Only before a plain slash does git let two stars stand for no directory at all.
    return "**" if follows == "/" else "**/?*"


def _segment(segment: str) -> str:
    # No name is empty, so these mean the same; but for a lone star pathspec has answers that ignore components.
    return "?*" if segment == "*" else segment


def _tokens(pattern: str) -> Optional[List[str]]:
    """Take a pattern apart into literals, ``?``, ``*``, ``**`` (two stars or more), brackets and slashes.

    Returns None where git's matcher gives up: a backslash at the end, or brackets that are not closed.
    """
    tokens: List[str] = []
    position = 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is not None:
            tokens.append(_token(token["escaped"], token["stars"], token["plain"]))
            position = token.end()
            continue
        bracket = _bracket(pattern, position + 1) if pattern[position] == "[" else None
        if bracket is None:
            return None
        members, position = bracket
        tokens.append(_set(members))
    return tokens


def _token(escaped: Optional[str], stars: Optional[str], plain: Optional[str]) -> str:
    if stars:
        return stars[:2]
    if escaped == "/":
        return _ESCAPED_SLASH
    if escaped:
        return _literal(escaped)
    return plain if plain in ("/", "?") else _literal(str(plain))


def _literal(character: str) -> str:
    if character.isspace():
        return _set({ord(character)})  # both ends of a pattern are trimmed by pathspec, more freely than by git
    return "\\" + character if character in "\\*?[]!#" else character


_CLASSES: Dict[str, Callable[[str], bool]] = {
    "alnum": str.isalnum,
    "alpha": str.isalpha,
    "blank": lambda character: character in " \t",
    "cntrl": lambda character: character < " " or character == "\x7f",
    "digit": str.isdigit,
    "graph": lambda character: "!" <= character <= "~",
    "lower": str.islower,
    "print": lambda character: " " <= character <= "~",
    "punct": lambda character: "!" <= character <= "~" and not character.isalnum(),
    "space": lambda character: character in " \t\n\r",  # git's own notion, without vertical tab and form feed
    "upper": str.isupper,
    "xdigit": lambda character: character in "0123456789abcdefABCDEF",
}


def _bracket(pattern: str, position: int) -> Optional[Tuple[Set[int], int]]:
    """Read a bracket expression behind its ``[``: return the bytes it matches and where the pattern goes on.

    Returns None where it is not closed or names an unknown class. The steps are those of git's ``wildmatch.c``.
    """
    negated = pattern[position : position + 1] in ("!", "^")
    position += negated
    members: Set[int] = set()
    previous: Optional[int] = None
    first = position
    while pattern[position : position + 1] != "]" or position == first:
        element = _element(pattern, position, previous)
        if element is None:
            return None
        found, previous, position = element
        members |= found
    # No bracket matches a slash in a path.
    return (set(range(1, 256)) - members if negated else members) - {ord("/")}, position + 1


_Element = Tuple[Set[int], Optional[int], int]


def _element(pattern: str, position: int, previous: Optional[int]) -> Optional[_Element]:
    """Read one element of brackets: its bytes, the byte that a range may start from, and the next position."""
    upper = _character(pattern, position + 1)
    if previous is not None and pattern[position : position + 1] == "-" and pattern[position + 1 : position + 2] != "]":
        return None if upper is None else (set(range(previous, upper[0] + 1)), None, upper[1])
    if pattern.startswith("[:", position):
        closed = pattern.find("]", position + 2)
        if closed == -1:
            return None
        if closed > position + 2 and pattern[closed - 1] == ":":
            named = _CLASSES.get(pattern[position + 2 : closed - 1])
            return None if named is None else ({code for code in range(1, 128) if named(chr(code))}, None, closed + 1)
    character = _character(pattern, position)
    return None if character is None else ({character[0]}, character[0], character[1])


def _character(pattern: str, position: int) -> Optional[Tuple[int, int]]:
    position += pattern[position : position + 1] == "\\"
    return (ord(pattern[position]), position + 1) if position < len(pattern) else None


_DELICATE = frozenset(map(ord, "]^!&~|[\\-"))


def _set(members: Set[int]) -> str:
    """Spell a set of bytes so that pathspec, which copies brackets, and ``re`` take each of them literally."""
    runs: List[Tuple[int, int]] = []
    for code in sorted(members - _DELICATE):
        if runs and runs[-1][1] == code - 1:
            runs[-1] = (runs[-1][0], code)
        else:
            runs.append((code, code))
    plain = "".join(chr(low) if low == high else f"{chr(low)}-{chr(high)}" for low, high in runs)
    # Delicate characters stand alone and at harmless places: "]" first, "-" last, and never two alike in a row.
    delicate = "".join(character for character in "&[|!~^\\-" if ord(character) in members)
    return "[" + ("]" if ord("]") in members else _NOWHERE) + plain + delicate + "]"


def directories_towards(rule: Rule) -> Optional[Pattern[str]]:
    """Return the expression of the directories below which *rule* may match; None means every directory."""
    if rule.by_name:
        return None
    towards: List[str] = []
    for spelling in rule.spellings:
        segments = spelling.strip("/").split("/")
        for end in range(1, len(segments)):
            if segments[end - 1] == "**":
                towards.append("/" + "/".join([*segments[:end], "?*/"]))
                break
            towards.append("/" + "/".join(segments[:end]) + "/")
    return compiled(towards) if towards else re.compile(r"(?!)")
