"""Filter: what takes part in a sync. Rules of gitignore from arguments and ignore files, sizes, ages, a predicate.

An exclusion belongs to the path: excluded on one side is excluded on both, so that no rule ever deletes anything. The
ignore files themselves sync like other files and act from the next plan on. ``filter_rules`` holds what the rules of
each side say, ``filter_sieve`` passes a stream through them, ``core.selection`` is what the arguments limit.
"""

from __future__ import annotations

from datetime import datetime
from typing import Callable, FrozenSet, Iterable, Iterator, List, Optional, Tuple, Union, cast

from attrs import define, field, frozen

from ..core.entry import Entry, Kind, Pack, Seen, Side, Snapshot
from ..core.gitignore import rules_of_patterns
from ..core.packs import Packed
from ..core.path_map import PathMap
from ..core.paths import encoded, parents, refusal, shown
from ..core.selection import Measures, Selection
from ..core.units import Age, Size, moment_ns, size
from ..errors import RecipeError
from ..storage.protocol import Prune
from .filter_rules import KnownRules, Read, RulesPrune, SideRules
from .filter_sieve import Sieve
from .job import Job
from .scan import reader, scope_of

IGNORE_FILES = (".syncignore",)


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
    _known: KnownRules = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        measures = Measures(
            self.min_size,
            self.max_size,
            None if self.newer_than is None else moment_ns(self.newer_than, now=self.now, name="newer_than"),
            None if self.older_than is None else moment_ns(self.older_than, now=self.now, name="older_than"),
            self.predicate,
        )
        arguments = rules_of_patterns(self.ignore, "argument")
        selection = Selection.of(self.include, self.files_from)
        self._known = KnownRules(
            self.ignore_files,
            selection,
            measures,
            {side: SideRules(side, arguments) for side in Side},
            bool(arguments or selection.limited or measures.limited),
        )

    @property
    def active(self) -> bool:
        """Whether there is anything to check: an argument, or an ignore file that was met."""
        return self._known.active

    def follow(self, path_map: PathMap) -> None:
        """Let the rules of each side speak of the side's own names, which *path_map* brings together."""
        self._known.path_map = path_map

    def prune(self, side: Side, read: Read) -> Prune:
        """Return what a client of *side* is told while it lists; ignore files are read through *read*."""
        self._known.sides[side].read = read
        return RulesPrune(self._known, self._known.sides[side])

    def filtered(self, side: Side, stream: Iterable[Packed], *, prefix: str = "") -> Iterator[Union[Seen, Pack]]:
        """Yield the sorted *stream* of one side with what this side hides as Excluded.

        Of a hidden directory only the directory is yielded, and what is in it only where a function maps its names. A
        directory that merely leads to what ``include`` or ``files_from`` name is left out without a word, as is a
        problem that is only a name no key can have (``a//b``) where the rules hide that name without its empty parts.
        *prefix* is where the listing started: the ignore files above it are read first. An ignore file that cannot be
        read makes its directory a Problem of extent SUBTREE.

        Raises ScanError where that directory is the root.
        """
        self.load(side, prefix)
        last_ignore_file = max(self.ignore_files, key=encoded, default="")
        yield from Sieve(self._known, self._known.sides[side], last_ignore_file).run(stream)

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


@frozen
class Filter:
    """Wraps both snapshots with the filters of the job, and hands on the question for one-sided paths."""

    name: str = field(default="filter", init=False)

    def __call__(self, job: Job) -> Job:
        """Return *job* with filtered snapshots."""
        manager = job.filter
        if manager is None:
            return job
        manager.follow(job.path_map)
        for side in Side:
            for prefix in scope_of(job, side):
                manager.load(side, prefix, reader(job.clients[side]))
        snapshots = {
            # The items themselves: the new snapshot collects the problems, and one loop less runs for every path.
            side: Snapshot(snapshot.location, manager.filtered(side, cast("Iterable[Packed]", snapshot.items)))
            for side, snapshot in job.snapshots.items()
        }
        return job.with_(snapshots=snapshots, excludes=manager.excludes)
