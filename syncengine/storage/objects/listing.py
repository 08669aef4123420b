"""A bucket's flat listing as the entries of one root: in order, streaming, with whole hidden prefixes jumped over.

Keys come in the byte order of their UTF-8 form, which is the order of positions, so nothing is held but the page
that is being read. Nearly every page holds plain names only; that is seen once for the page, so that a key costs
little more than its values.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from itertools import repeat
from typing import Collection, Iterator, List, Optional, Sequence, Union

from attrs import define, field

from ...core.entry import Entry, Extent, Kind, Listed, Problem, ProblemKind
from ...core.paths import RESERVED_PREFIX, is_within, parents, refusal, shown
from ...errors import NotFound
from ..protocol import Prune
from ..temporary import reserved_problem
from .service import ObjectInfo, ObjectService

# What one of the names in a page must hold to need a closer look; names are joined, and led, by line breaks.
_ODD = re.compile("//|/\\.|\n[./]|/\n|\0|\n[A-Za-z]:|\n\n|" + re.escape(RESERVED_PREFIX))
# No key that starts with a prefix follows the prefix with this behind it.
_LAST = "\U0010ffff"
_FILE = Kind.FILE


@define(eq=False)
class ObjectListing:
    """One pass over what lies below *prefix*, a path relative to *root*, which is empty or ends with a slash.

    A prefix without keys raises NotFound, as a missing folder would, except for the bucket itself.
    """

    service: ObjectService
    root: str
    prefix: str
    prune: Optional[Prune] = None
    _hidden: Optional[str] = field(default=None, init=False)
    """The directory, with its slash, whose keys are not delivered."""
    _entered: List[str] = field(factory=list, init=False)
    """The directories above the last key, outermost first."""
    _page: Sequence[ObjectInfo] = field(default=(), init=False)
    _names: List[str] = field(factory=list, init=False)
    _passed: str = field(default="", init=False)
    """Up to here everything was delivered before the listing began anew."""
    _jumps: bool = field(default=True, init=False)

    def __iter__(self) -> Iterator[Listed]:
        below = f"{self.prefix}/" if self.prefix else ""
        start_after: Optional[str] = ""
        met = False
        while start_after is not None:
            pages = self.service.pages(self.root + below, start_after=start_after)
            start_after = None
            for page in pages:
                hidden = self._hidden
                self._take(page)
                if not met and self.prune is not None:
                    self._enter(self.prefix)
                met = met or bool(page)
                yield from self._listed()
                if self._jumps and page and hidden is not None and hidden == self._hidden:
                    # A whole page was hidden, and more may be; what comes behind is asked for instead.
                    self._passed = hidden + _LAST
                    start_after = self.root + self._passed
                    break
        if not met and self.root + below:
            raise NotFound(f"{shown(self.prefix) or 'the root'}: there is nothing there", path=self.prefix)

    def _take(self, page: Sequence[ObjectInfo]) -> None:
        cut = len(self.root)
        names = [info.key[cut:] for info in page]
        if any(map(str.__gt__, names, names[1:])):
            page = sorted(page, key=lambda info: info.key)
            names = [info.key[cut:] for info in page]
        if self._passed and names and names[0] <= self._passed:
            # The service begins where it likes: what was passed is left out here, and no jump is tried again.
            self._jumps = False
            page = page[bisect_right(names, self._passed) :]
            names = names[len(names) - len(page) :]
        self._page, self._names = page, names
        if self._hidden is not None and names and not names[0].startswith(self._hidden):
            self._hidden = None

    def _listed(self) -> Iterator[Listed]:
        if self.prune is None and self._hidden is None and self._is_plain():
            return map(Entry, self._names, repeat(_FILE), [info.stamp for info in self._page])
        return self._judged()

    def _is_plain(self) -> bool:
        text = "\n" + "\n".join(self._names) + "\n"
        return _ODD.search(text) is None and not any(info.is_marker for info in self._page)

    def _judged(self) -> Iterator[Listed]:
        directory = self._entered[-1] if self._entered else None
        for name, info in zip(self._names, self._page):
            if self._hidden is not None:
                if name.startswith(self._hidden):
                    continue
                self._hidden = None
            item = self._item(name, info)
            if item is None or isinstance(item, Problem):
                if item is not None:
                    yield item
                continue
            above = name.rpartition("/")[0]
            if self.prune is not None and above != directory:
                if self._is_pruned(above):
                    continue
                directory = above
            yield item

    def _item(self, name: str, info: ObjectInfo) -> Union[Entry, Problem, None]:
        """Return the entry of a key, what is odd about it, or None for what is nobody's business."""
        marker = name.endswith("/") or not name
        if info.is_marker or (marker and not info.stamp.size):
            return None
        if RESERVED_PREFIX in name:
            reserved = self._reserved(name)
            if reserved is not None:
                return self._leftover(name, reserved)
        reason = "has an empty last part, which no file can have" if marker else refusal(name)
        if reason is not None:
            message = f"{shown(name) or 'the root'}: the name {reason}"
            return Problem(ProblemKind.BAD_NAME, name, message, extent=Extent.NOTHING)
        return Entry(name, _FILE, info.stamp)

    def _reserved(self, name: str) -> Optional[str]:
        """Return the path of the outermost reserved name in *name* below the prefix that is listed."""
        places = (place for place in (*parents(name), name) if not is_within(self.prefix, place))
        return next((place for place in places if place.rpartition("/")[2].startswith(RESERVED_PREFIX)), None)

    def _leftover(self, name: str, reserved: str) -> Optional[Problem]:
        if name == reserved:
            return reserved_problem(name, directory=False)
        self._hidden = reserved + "/"
        problem = reserved_problem(reserved, directory=True)
        # The trash of another root is in nobody's way here: there are no directories that it would keep.
        return problem if problem is not None and problem.kind is ProblemKind.BAD_NAME else None

    # What is pruned

    def _is_pruned(self, directory: str) -> bool:
        """Enter the directories down to *directory* that were not entered yet; say whether one of them is hidden."""
        assert self.prune is not None
        while self._entered and not is_within(directory, self._entered[-1]):
            self._entered.pop()
        last = self._entered[-1] if self._entered else ""
        for place in (*parents(directory), directory):
            if not place or is_within(last, place):
                continue
            if self.prune(place):
                self._hidden = place + "/"
                return True
            self._enter(place)
        return False

    def _enter(self, directory: str) -> None:
        assert self.prune is not None
        self._entered.append(directory)
        self.prune.enter(directory, _Names(self, directory))

    def holds(self, path: str) -> bool:
        """Say whether an object stands at *path*: by the page at hand, beyond it by a look."""
        place = bisect_left(self._names, path)
        if place < len(self._names):
            return self._names[place] == path
        return self.service.head(self.root + path) is not None

    def names_in(self, directory: str) -> Iterator[str]:
        """Yield the names in *directory* that the page at hand shows."""
        inside = f"{directory}/" if directory else ""
        below = (name[len(inside) :] for name in self._names if name.startswith(inside))
        yield from dict.fromkeys(name.partition("/")[0] for name in below)


class _Names(Collection[str]):
    """The names in one directory; whether one is there is known of all, though a page shows only some."""

    def __init__(self, listing: ObjectListing, directory: str) -> None:
        self._listing = listing
        self._directory = directory

    def __contains__(self, name: object) -> bool:
        path = f"{self._directory}/{name}" if self._directory else str(name)
        return self._listing.holds(path)

    def __iter__(self) -> Iterator[str]:
        return self._listing.names_in(self._directory)

    def __len__(self) -> int:
        return sum(1 for _ in self)
