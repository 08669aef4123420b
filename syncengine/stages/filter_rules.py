"""The ignore rules of both sides as far as they are known, and the questions that are asked of them.

Each side's ignore files and the arguments make one list of rules, arguments first and then the files from the root
down; the last rule that matches a component decides, and nothing below an excluded directory can be won back.
"""

from __future__ import annotations

from typing import Callable, Collection, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from attrs import define, field, frozen

from ..core.entry import Extent, Problem, ProblemKind, Side
from ..core.gitignore import Rule, Rules, rules_of_file, text_of
from ..core.path_map import PathMap
from ..core.paths import encoded, is_within, parent, parents, shown, upwards
from ..core.selection import Measures, Selection
from ..errors import AccessDenied, NotFound, StorageError, Throttled, Unavailable

Read = Callable[[str], Optional[bytes]]
"""Returns the content of a small file, or None where there is none; raises StorageError."""

_REMEMBERED = 4096
_Hidden = Optional[Tuple[str, str]]
"""The outermost hidden directory at or above a path, and why."""


@define(eq=False)
class KnownRules:
    """All rules known so far, and the questions that are asked of them."""

    ignore_files: Tuple[str, ...]
    selection: Selection
    measures: Measures
    sides: Dict[Side, SideRules]
    active: bool
    path_map: PathMap = field(factory=PathMap)
    """Each side's rules speak of the side's own names, and this says which of them are one path."""

    def lists_hidden(self, side: Side) -> bool:
        """Say whether what is hidden is listed too: only a function knows where the source's names are mapped to."""
        return side is Side.SOURCE and self.path_map.function is not None

    def load(self, rules: SideRules, directory: str, names: Collection[str]) -> None:
        """Read those ignore files of *directory* that are among *names*, into the rules of one side."""
        rules.load(directory, [name for name in self.ignore_files if name in names])
        self.active = self.active or bool(rules.files or rules.failures)

    def excludes(self, path: str, *, directory: bool) -> Optional[str]:
        """Return why a path takes no part by what is known of both sides, or None."""
        # Where only a function knows the source's own name, the key stands for it.
        spelled = {Side.SOURCE: self.path_map.backward(path) or path, Side.DESTINATION: path}
        for side, own in spelled.items():
            hidden = self.hidden_directory(side, parent(own))
            if hidden is not None:
                return hidden[1]
        whys = [self.selection.leaves_out(own, directory=directory) for own in dict.fromkeys(spelled.values())]
        whys += [self.sides[side].excludes(own, directory=directory) for side, own in spelled.items()]
        return next((why for why in whys if why is not None), None)

    def hidden_directory(self, side: Side, directory: str) -> _Hidden:
        """Return the outermost hidden directory at or above *directory* by one side's rules, and why."""
        remembered = self.sides[side].hidden
        if directory in remembered:
            return remembered[directory]
        hidden: _Hidden = None
        for place in (*parents(directory), directory) if directory else ():
            hidden = remembered[place] if place in remembered else self._hidden_itself(side, place)
            if hidden is not None:
                break
        if len(remembered) >= _REMEMBERED:
            remembered.clear()
        # RACE: another thread may just have loaded an ignore file. It has then put a new dictionary in place of this
        # one, so that an answer from the old rules is never found again.
        remembered[directory] = hidden
        return hidden

    def _hidden_itself(self, side: Side, directory: str) -> _Hidden:
        left_out = None if self.selection.leads_on(directory) else self.selection.leaves_out(directory, directory=True)
        why = left_out or self.sides[side].excludes(directory, directory=True)
        return None if why is None else (directory, why)

    def hides(self, side: Side, directory: str) -> Optional[str]:
        """Return why a directory need not be entered, by this side's rules or what is settled of the other side's."""
        hidden = self.hidden_directory(side, directory)
        other = self.sides[side.other]
        # A rule of the other side counts only once every ignore file that could win the directory back was met.
        if hidden is None and other.files and not self.path_map and other.has_reached(parent(directory)):
            hidden = self.hidden_directory(side.other, directory)
        return None if hidden is None else hidden[1]

    def said_about(self, path: str, *, directory: bool) -> Iterator[str]:
        """Yield what the selection and the rules of both sides say about this component alone."""
        left_out = self.selection.leaves_out(path, directory=directory)
        if left_out is not None and not (directory and self.selection.leads_on(path)):
            yield f"{shown(path)} is {left_out}"
        verdicts = [rules.verdict(path, directory=directory) for rules in self.sides.values()]
        for rule in dict.fromkeys(rule for rule in verdicts if rule is not None):
            yield f"{shown(path)} is {'kept' if rule.negated else 'excluded'} by {rule}"


@frozen
class RulesPrune:
    """What a client asks while it lists: the directories that a side's rules hide need not be entered."""

    known: KnownRules
    rules: SideRules

    @property
    def wanted(self) -> Collection[str]:
        """The names of ignore files."""
        return self.known.ignore_files

    @property
    def active(self) -> bool:
        """Whether there is any rule by now."""
        return self.known.active

    def enter(self, directory: str, names: Collection[str]) -> None:
        """Take in the ignore files of *directory*, whose *names* were just read."""
        self.rules.tree = True
        if any(name in names for name in self.known.ignore_files):
            self.known.load(self.rules, directory, names)

    def __call__(self, directory: str) -> bool:
        """Say whether *directory* need not be entered."""
        if any(is_within(directory, failed) for failed in self.rules.failures):
            return True
        if not self.known.active or self.known.lists_hidden(self.rules.side):
            return False
        return self.known.hides(self.rules.side, directory) is not None


@define(eq=False)
class SideRules:
    """What one side's ignore files say, as far as they were met.

    ``tree`` says that the client of this side tells the names in a directory before it delivers them. ``reached`` is
    the directory the stream has come to: every ignore file at or before that place was met.
    """

    side: Side
    arguments: Rules
    read: Optional[Read] = None
    tree: bool = False
    reached: Optional[bytes] = None
    files: Dict[str, Tuple[Rules, ...]] = field(factory=dict)
    loaded: Set[str] = field(factory=set)
    failures: Dict[str, Problem] = field(factory=dict)
    reported: Set[str] = field(factory=set)
    hidden: Dict[str, _Hidden] = field(factory=dict)

    def load(self, directory: str, names: Iterable[str]) -> None:
        """Read the ignore files *names* of *directory*; one that cannot be read is a failure of the directory."""
        self.loaded.add(directory)
        found: List[Rules] = []
        for name in names:
            path = f"{directory}/{name}" if directory else name
            try:
                content = self._content(path)
            except StorageError as error:
                self.failures[directory] = self._failure(directory, path, error)
                continue
            if content is not None:
                found.append(rules_of_file(content, f"{self.side.value} {shown(path)}"))
        if any(found):
            self.files[directory] = tuple(found)
            self.hidden = {}

    def _content(self, path: str) -> Optional[bytes]:
        if self.read is None:
            raise StorageError("nothing was given to read it with", path=path)
        try:
            return self.read(path)
        except NotFound:
            return None

    def _failure(self, directory: str, path: str, error: StorageError) -> Problem:
        return Problem(
            next((kind for error_class, kind in _PROBLEMS if isinstance(error, error_class)), ProblemKind.INTERNAL),
            directory,
            f"the ignore file {shown(path)} cannot be read, so nothing is known about what its folder hides: {error}",
            side=self.side,
            retryable=error.retryable,
            extent=Extent.SUBTREE,
        )

    def failure(self, directory: str) -> Optional[Problem]:
        """Return the outermost problem at or above *directory*."""
        if not self.failures:
            return None
        places = ("", *parents(directory), directory)
        return next((self.failures[place] for place in places if place in self.failures), None)

    def verdict(self, path: str, *, directory: bool) -> Optional[Rule]:
        """Return the rule that decides about this component alone, or None where no rule speaks of it."""
        if not self.files and not self.arguments.rules:
            return None
        text = text_of(path, directory=directory)
        return (self._said_by_files(text, parent(path)) if self.files else None) or self.arguments.last_match(text)

    def _said_by_files(self, text: str, directory: str) -> Optional[Rule]:
        for place in upwards(directory):
            relative = text[len(text_of(place, directory=True)) :] if place else text
            for rules in reversed(self.files.get(place, ())):
                rule = rules.last_match(relative)
                if rule is not None:
                    return rule
        return None

    def excludes(self, path: str, *, directory: bool) -> Optional[str]:
        """Return the rule that excludes this component alone, or None."""
        rule = self.verdict(path, directory=directory)
        return None if rule is None or rule.negated else str(rule)

    def has_reached(self, directory: str) -> bool:
        """Say whether every ignore file at or before *directory* was met."""
        return self.reached is not None and place_of(directory) <= self.reached


_PROBLEMS = (
    (AccessDenied, ProblemKind.DENIED),
    (Throttled, ProblemKind.THROTTLED),
    (Unavailable, ProblemKind.TIMEOUT),
)


def place_of(directory: str) -> bytes:
    """Return where a directory stands in key order; the root stands first."""
    return encoded(directory + "/") if directory else b""
