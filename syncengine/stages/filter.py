"""Filter: what takes part in a sync. Rules of gitignore from arguments and ignore files, sizes, ages, a predicate.

An exclusion belongs to the path: excluded on one side is excluded on both, so that no rule ever deletes anything.
Each side's ignore files and the arguments make one list of rules, arguments first and then the files from the root
down; the last rule that matches a component decides, and nothing below an excluded directory can be won back. The
ignore files themselves sync like other files and act from the next plan on.
"""

from __future__ import annotations

from datetime import datetime
from typing import (
    Callable,
    Collection,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Optional,
    Pattern,
    Set,
    Tuple,
    Union,
)

from attrs import define, field, frozen

from ..core.entry import Entry, Excluded, Extent, Kind, Listed, Problem, ProblemKind, Seen, Side
from ..core.gitignore import Rule, Rules, directories_towards, rules_of_file, rules_of_patterns, text_of
from ..core.paths import encoded, is_within, parent, parents, precedes, refusal, shown
from ..core.units import Age, Size, moment_ns, size
from ..errors import AccessDenied, NotFound, RecipeError, ScanError, StorageError, Throttled, Unavailable
from ..storage.protocol import Prune

Read = Callable[[str], Optional[bytes]]
"""Returns the content of a small file, or None where there is none; raises StorageError."""

IGNORE_FILES = (".syncignore",)
NOT_INCLUDED = "not included"
NOT_LISTED = "not in files_from"

_REMEMBERED = 4096
_NO_PLACE = (Extent.NOTHING, Extent.REST)
_Hidden = Optional[Tuple[str, str]]
"""The outermost hidden directory at or above a path, and why."""


def _texts(value: Union[str, Iterable[str], None]) -> Tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _names(value: Union[str, Iterable[str], None]) -> Tuple[str, ...]:
    names = _texts(value)
    for name in names:
        if refusal(name) is not None or "/" in name:
            raise RecipeError(f'ignore_files holds names such as ".syncignore", without folders; not {shown(name)!r}')
    return names


def _keys(value: Optional[Iterable[str]]) -> Optional[FrozenSet[str]]:
    if value is None:
        return None
    if isinstance(value, str):
        raise RecipeError("files_from is an iterable of paths, not one text")
    return frozenset(map(_key, value))


def _key(path: str) -> str:
    key = path[2:] if path.startswith("./") else path
    key = key.rstrip("/")
    reason = refusal(key)
    if reason is not None:
        raise RecipeError(f"files_from: {shown(path)!r} {reason}; paths are relative to the roots")
    return key


def _at_least(value: Optional[Size]) -> Optional[int]:
    return None if value is None else size(value, "min_size")


def _at_most(value: Optional[Size]) -> Optional[int]:
    return None if value is None else size(value, "max_size")


@define(eq=False)
class IgnoreFileManager:
    """Says what takes part in a sync and why the rest does not.

    ``ignore`` and ``include`` are patterns of gitignore; where ``include`` is given, only what it matches takes part,
    with everything below a matching directory. ``min_size`` and ``max_size`` (bytes or ``"10MB"``), ``newer_than``
    and ``older_than`` (``"7d"``, a timedelta, a time) and ``predicate`` (True keeps) look at files only; a file whose
    size or time the storage does not tell is outside every such limit. ``files_from`` names the only paths to look
    at. *now* is what ages count back from. Raises RecipeError for values it cannot read.
    """

    ignore: Tuple[str, ...] = field(default=(), converter=_texts)
    include: Tuple[str, ...] = field(default=(), converter=_texts)
    ignore_files: Tuple[str, ...] = field(default=IGNORE_FILES, converter=_names)
    min_size: Optional[int] = field(default=None, converter=_at_least)
    max_size: Optional[int] = field(default=None, converter=_at_most)
    newer_than: Optional[Age] = None
    older_than: Optional[Age] = None
    predicate: Optional[Callable[[Entry], bool]] = None
    files_from: Optional[FrozenSet[str]] = field(default=None, converter=_keys)
    now: Optional[datetime] = None
    _known: _Known = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        measures = _Measures(
            self.min_size,
            self.max_size,
            None if self.newer_than is None else moment_ns(self.newer_than, now=self.now, name="newer_than"),
            None if self.older_than is None else moment_ns(self.older_than, now=self.now, name="older_than"),
            self.predicate,
        )
        arguments = rules_of_patterns(self.ignore, "argument")
        selection = _Selection.of(self.include, self.files_from)
        self._known = _Known(
            self.ignore_files,
            selection,
            measures,
            {side: _SideRules(side, arguments) for side in Side},
            bool(arguments or selection.limited or measures.limited),
        )

    @property
    def active(self) -> bool:
        """Whether there is anything to check: an argument, or an ignore file that was met."""
        return self._known.active

    def prune(self, side: Side, read: Read) -> Prune:
        """Return what a client of *side* is told while it lists; ignore files are read through *read*."""
        self._known.sides[side].read = read
        return _Prune(self._known, self._known.sides[side])

    def filtered(self, side: Side, stream: Iterable[Listed], *, prefix: str = "") -> Iterator[Seen]:
        """Yield the sorted *stream* of one side with what this side hides as Excluded.

        Of a hidden directory only the directory is yielded. A directory that merely leads to what ``include`` or
        ``files_from`` name is left out without a word. *prefix* is where the listing started: the ignore files above
        it are read first. An ignore file that cannot be read makes its directory a Problem of extent SUBTREE.

        Raises ScanError where that directory is the root.
        """
        self.load(side, prefix)
        last_ignore_file = max(self.ignore_files, key=encoded, default="")
        yield from _Sieve(self._known, self._known.sides[side], last_ignore_file).run(stream)

    def load(self, side: Side, path: str, read: Optional[Read] = None) -> None:
        """Read the ignore files in all directories above *path* that were not read yet."""
        rules = self._known.sides[side]
        rules.read = read or rules.read
        for directory in ("", *parents(path)) if path else ():
            if directory not in rules.loaded:
                self._known.load(rules, directory, self.ignore_files)

    def excludes(self, path: str, kind: Kind) -> Optional[str]:
        """Return why *path* takes no part, by all rules of both sides that are known, or None where it does.

        Ask for every path: a directory may be left out while something below it takes part, if it only leads there.
        """
        return self._known.excludes(path, directory=kind is Kind.DIRECTORY) if self._known.active else None

    def rule_for(self, path: str, kind: Kind, entry: Optional[Entry] = None) -> Optional[str]:
        """Return why *path* takes no part, size, age and predicate of *entry* included, or None where it does."""
        return self.excludes(path, kind) or (None if entry is None else self._known.measures.excludes(entry))

    def explain(self, path: str, kind: Kind, entry: Optional[Entry] = None) -> Tuple[str, ...]:
        """Return one sentence for each rule that spoke about *path* or a directory above it, outermost first."""
        said: List[str] = []
        for component in (*parents(path), path):
            said += self._known.said_about(component, directory=component != path or kind is Kind.DIRECTORY)
        measured = None if entry is None else self._known.measures.excludes(entry)
        return tuple(said if measured is None else [*said, f"{shown(path)} is excluded by {measured}"])


@define(eq=False)
class _Known:
    """All rules known so far, and the questions that are asked of them."""

    ignore_files: Tuple[str, ...]
    selection: _Selection
    measures: _Measures
    sides: Dict[Side, _SideRules]
    active: bool

    def load(self, rules: _SideRules, directory: str, names: Collection[str]) -> None:
        rules.load(directory, [name for name in self.ignore_files if name in names])
        self.active = self.active or bool(rules.files or rules.failures)

    def excludes(self, path: str, *, directory: bool) -> Optional[str]:
        for side in self.sides:
            hidden = self.hidden_directory(side, parent(path))
            if hidden is not None:
                return hidden[1]
        left_out = self.selection.leaves_out(path, directory=directory)
        verdicts = (rules.excludes(path, directory=directory) for rules in self.sides.values())
        return left_out or next((why for why in verdicts if why is not None), None)

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
        if hidden is None and other.files and other.has_reached(parent(directory)):
            hidden = self.hidden_directory(side.other, directory)
        return None if hidden is None else hidden[1]

    def said_about(self, path: str, *, directory: bool) -> Iterator[str]:
        left_out = self.selection.leaves_out(path, directory=directory)
        if left_out is not None and not (directory and self.selection.leads_on(path)):
            yield f"{shown(path)} is {left_out}"
        verdicts = [rules.verdict(path, directory=directory) for rules in self.sides.values()]
        for rule in dict.fromkeys(rule for rule in verdicts if rule is not None):
            yield f"{shown(path)} is {'kept' if rule.negated else 'excluded'} by {rule}"


@frozen
class _Prune:
    known: _Known
    rules: _SideRules

    def enter(self, directory: str, names: Collection[str]) -> None:
        self.rules.tree = True
        if any(name in names for name in self.known.ignore_files):
            self.known.load(self.rules, directory, names)

    def __call__(self, directory: str) -> bool:
        if any(is_within(directory, failed) for failed in self.rules.failures):
            return True
        return self.known.active and self.known.hides(self.rules.side, directory) is not None


@define(eq=False)
class _SideRules:
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
        for place in _upwards(directory):
            relative = text[len(text_of(place, directory=True)) :] if place else text
            for rules in reversed(self.files.get(place, ())):
                rule = rules.last_match(relative)
                if rule is not None:
                    return rule
        return None

    def excludes(self, path: str, *, directory: bool) -> Optional[str]:
        rule = self.verdict(path, directory=directory)
        return None if rule is None or rule.negated else str(rule)

    def has_reached(self, directory: str) -> bool:
        return self.reached is not None and _place(directory) <= self.reached


_PROBLEMS = (
    (AccessDenied, ProblemKind.DENIED),
    (Throttled, ProblemKind.THROTTLED),
    (Unavailable, ProblemKind.TIMEOUT),
)


def _upwards(directory: str) -> Iterator[str]:
    while directory:
        yield directory
        directory = parent(directory)
    yield ""


def _place(directory: str) -> bytes:
    """Return where a directory stands in key order; the root stands first."""
    return encoded(directory + "/") if directory else b""


@frozen
class _Selection:
    """What ``include`` and ``files_from`` limit a sync to."""

    rules: Rules
    towards: Optional[Tuple[Pattern[str], ...]]
    """The directories below which ``include`` may match; None means all."""
    paths: Optional[FrozenSet[str]]
    above: FrozenSet[str]
    limited_by_rules: bool
    included: Dict[str, bool] = field(factory=dict, eq=False)

    @classmethod
    def of(cls, include: Tuple[str, ...], paths: Optional[FrozenSet[str]]) -> _Selection:
        rules = rules_of_patterns(include, "include")
        towards = [directories_towards(rule) for rule in rules.rules if not rule.negated]
        narrowed = tuple(pattern for pattern in towards if pattern is not None)
        above = frozenset(place for path in paths or () for place in parents(path))
        return cls(rules, narrowed if len(narrowed) == len(towards) else None, paths, above, bool(include))

    @property
    def limited(self) -> bool:
        return self.limited_by_rules or self.paths is not None

    def leaves_out(self, path: str, *, directory: bool) -> Optional[str]:
        """Return why *path* is outside the selection, or None where it is inside."""
        if self.limited_by_rules and not self._includes(path, directory=directory):
            return NOT_INCLUDED
        return NOT_LISTED if self.paths is not None and not self._lists(path) else None

    def leads_on(self, directory: str) -> bool:
        """Say whether something below *directory* may be inside the selection."""
        if self.paths is not None and directory not in self.above and not self._lists(directory):
            return False
        if not self.limited_by_rules or self.towards is None or self._includes(directory, directory=True):
            return True
        text = text_of(directory, directory=True)
        return any(pattern.fullmatch(text) for pattern in self.towards)

    def _includes(self, path: str, *, directory: bool) -> bool:
        rule = self.rules.last_match(text_of(path, directory=directory))
        if rule is not None:
            return not rule.negated
        above = parent(path)
        return bool(above) and self._directory_is_included(above)

    def _directory_is_included(self, directory: str) -> bool:
        if directory not in self.included:
            if len(self.included) >= _REMEMBERED:
                self.included.clear()
            rules = (self.rules.last_match(text_of(place, directory=True)) for place in _upwards(directory) if place)
            rule = next((rule for rule in rules if rule is not None), None)
            self.included[directory] = rule is not None and not rule.negated
        return self.included[directory]

    def _lists(self, path: str) -> bool:
        paths = self.paths or frozenset()
        return path in paths or any(place in paths for place in parents(path))


@frozen
class _Measures:
    """The limits that look at a file itself: bytes, and nanoseconds since the epoch."""

    min_size: Optional[int]
    max_size: Optional[int]
    newer_than: Optional[int]
    older_than: Optional[int]
    predicate: Optional[Callable[[Entry], bool]]

    @property
    def limited(self) -> bool:
        limits = (self.min_size, self.max_size, self.newer_than, self.older_than, self.predicate)
        return any(limit is not None for limit in limits)

    def excludes(self, entry: Entry) -> Optional[str]:
        """Return the limit that a file is outside of, or None; what is no file has no size and no age."""
        if entry.kind is not Kind.FILE:
            return None
        return (
            _below("min_size", entry.stamp.size, self.min_size)
            or _above("max_size", entry.stamp.size, self.max_size)
            # A time is outside where it equals the limit: neither newer nor older.
            or _below("newer_than", entry.stamp.mtime_ns, None if self.newer_than is None else self.newer_than + 1)
            or _above("older_than", entry.stamp.mtime_ns, None if self.older_than is None else self.older_than - 1)
            or ("predicate" if self.predicate is not None and not self.predicate(entry) else None)
        )


def _below(name: str, value: Optional[int], limit: Optional[int]) -> Optional[str]:
    if limit is None or (value is not None and value >= limit):
        return None
    return name if value is not None else f"{name} (the storage does not tell)"


def _above(name: str, value: Optional[int], limit: Optional[int]) -> Optional[str]:
    if limit is None or (value is not None and value <= limit):
        return None
    return name if value is not None else f"{name} (the storage does not tell)"


@define(eq=False)
class _Sieve:
    """One pass over one side's stream.

    A flat listing (an object store's) tells nothing before it delivers, and an ignore file stands behind the names
    of its directory that sort before it. Those are held until its place has passed.
    """

    known: _Known
    rules: _SideRules
    last_ignore_file: str
    arrived: Optional[str] = None
    """The directory of the last item that came in, before anything was held."""
    blocked_by: Optional[str] = None
    """The outermost directory above ``arrived`` whose ignore file may still come."""
    held: List[Listed] = field(factory=list)
    held_by: Optional[str] = None
    directory: Optional[str] = None
    """The directory of the last item that was judged, and what hides it."""
    covering: Union[Excluded, Problem, None] = None
    announced: Optional[str] = None

    def run(self, stream: Iterable[Listed]) -> Iterator[Seen]:
        for item in stream:
            if self.rules.tree:
                # The hot loop: nothing to check, and the client tells of ignore files before it delivers them.
                if not self.known.active:
                    yield item
                    continue
                if len(self.rules.failures) != len(self.rules.reported):
                    yield from self._unreported(item)
                seen = self._judged(item)
                if seen is not None:
                    yield seen
                continue
            yield from self._passed(item)
        yield from self._released()
        yield from self._unreported(None)

    def _passed(self, item: Listed) -> Iterator[Seen]:
        blocked_by = self._blocked_by(item)
        if self.held and blocked_by != self.held_by:
            yield from self._released()
        if blocked_by is not None:
            self.held_by = blocked_by
            self.held.append(item)
            return
        seen = self._judged(item) if self.known.active else item
        if seen is not None:
            yield seen

    def _blocked_by(self, item: Listed) -> Optional[str]:
        """Return the outermost directory whose ignore file may still come, for an item of a flat listing."""
        if not self.last_ignore_file or (isinstance(item, Problem) and item.extent in _NO_PLACE):
            return None
        directory = parent(item.path)
        if directory != self.arrived:
            self.arrived = directory
            self.blocked_by = self._blocked_above(directory)
        if self.blocked_by is not None or directory in self.rules.loaded:
            return self.blocked_by
        return directory if self._may_precede(item.position[len(directory) + bool(directory) :]) else None

    def _blocked_above(self, directory: str) -> Optional[str]:
        above = ""
        for place in (*parents(directory), directory) if directory else ():
            name = place[len(above) + bool(above) :]
            if above not in self.rules.loaded and self._may_precede(name + "/"):
                return above
            above = place
        return None

    def _may_precede(self, position: str) -> bool:
        return not precedes(self.last_ignore_file, position)

    def _released(self) -> Iterator[Seen]:
        held, self.held, self.held_by = self.held, [], None
        self._load_from(held)
        for item in held:
            seen = self._judged(item)
            if seen is not None:
                yield seen

    def _load_from(self, held: List[Listed]) -> None:
        """Load the ignore files among the held items, outermost first: none is read in an excluded directory."""
        met: Dict[str, List[str]] = {}
        for item in held:
            if isinstance(item, Entry) and item.kind is Kind.FILE:
                directory, _, name = item.path.rpartition("/")
                if name in self.known.ignore_files:
                    met.setdefault(directory, []).append(name)
        for directory in sorted(met, key=len):
            if self._covering(directory) is None:
                self.known.load(self.rules, directory, met[directory])
                self.directory = None

    def _judged(self, item: Listed) -> Optional[Seen]:
        """Return what becomes of one item, or None where it is swallowed."""
        if isinstance(item, Problem) and item.extent is Extent.REST:
            return item
        if self.announced is not None and is_within(item.path, self.announced):
            return None
        if isinstance(item, Problem) and item.extent is Extent.NOTHING:
            return item
        directory = parent(item.path)
        if directory != self.directory:
            self.directory, self.rules.reached = directory, _place(directory)
            self.covering = self._covering(directory)
        if self.covering is not None:
            return self._announced(self.covering)
        if isinstance(item, Problem):
            return self._problem(item)
        return self._directory(item) if item.kind is Kind.DIRECTORY else self._file(item)

    def _covering(self, directory: str) -> Union[Excluded, Problem, None]:
        """Return the outermost thing that hides everything in *directory*."""
        hidden = self.known.hidden_directory(self.rules.side, directory)
        problem = self.rules.failure(directory)
        if hidden is not None and (problem is None or len(hidden[0]) <= len(problem.path)):
            return Excluded(hidden[0], Kind.DIRECTORY, hidden[1])
        return problem

    def _announced(self, seen: Union[Excluded, Problem]) -> Union[Excluded, Problem]:
        if isinstance(seen, Problem):
            self.rules.reported.add(seen.path)
            if not seen.path:
                raise ScanError(seen.message, side=self.rules.side.value)
        self.announced = seen.path
        return seen

    def _unreported(self, item: Optional[Listed]) -> Iterator[Problem]:
        """Yield the problems of directories of which nothing was delivered before *item* came."""
        for directory in sorted(self.rules.failures.keys() - self.rules.reported, key=_place):
            passed = item is None or (
                not is_within(item.path, directory) and _place(directory) < encoded(item.position)
            )
            if passed and self._covering(directory) is self.rules.failures[directory]:
                self._announced(self.rules.failures[directory])
                yield self.rules.failures[directory]

    def _directory(self, item: Entry) -> Optional[Seen]:
        hidden = self.known.hides(self.rules.side, item.path)
        if hidden is not None:
            return self._announced(Excluded(item.path, Kind.DIRECTORY, hidden))
        return item if self.known.selection.leaves_out(item.path, directory=True) is None else None

    def _problem(self, item: Problem) -> Seen:
        if item.extent is Extent.SUBTREE:
            hidden = self.known.hides(self.rules.side, item.path)
            return item if hidden is None else self._announced(Excluded(item.path, Kind.DIRECTORY, hidden))
        why = self._why(item.path)
        return item if why is None else Excluded(item.path, Kind.FILE, why)

    def _file(self, item: Entry) -> Seen:
        why = self._why(item.path) or self.known.measures.excludes(item)
        return item if why is None else Excluded(item.path, item.kind, why)

    def _why(self, path: str) -> Optional[str]:
        left_out = self.known.selection.leaves_out(path, directory=False)
        return left_out or self.rules.excludes(path, directory=False)
