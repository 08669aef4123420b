"""The listing of a tree behind SFTP: directories are read ahead, several at once, and delivered in key order.

While the entries of one directory are delivered, the listings of the next ones beside it and below it are on their
way. How many may wait to be delivered is bounded at each level, so memory is too.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Tuple

from attrs import define, field

from ..core.entry import Entry, Extent, Kind, Listed, Problem, ProblemKind
from ..core.modes import SymlinkPolicy
from ..core.paths import decoded, encoded, is_reserved, refusal, shown
from ..errors import NotFound, StorageError, Unsupported
from . import sftp_packets as packets
from .protocol import Prune
from .sftp_channel import Channel
from .sftp_facts import entry_of, has_type, is_directory, is_link
from .sftp_packets import Attributes, Refused
from .temporary import reserved_problem
from .translation import problem_from

_LISTINGS_AHEAD = 16
_READS_AT_ONCE = 2
_LOOKS_AT_ONCE = 64

Found = Tuple[bytes, Attributes, Optional[bytes]]
"""A name, what it is, and where it leads if it is a link that is kept."""


@define
class Listing:
    """The content of one directory: what is there, the names of links that lead nowhere, and its path without links."""

    found: List[Found] = field(factory=list)
    dangling: List[bytes] = field(factory=list)
    unread: List[bytes] = field(factory=list)
    """The names of links of which the server does not say where they lead."""
    real: bytes = b""


async def listed(channel: Channel, place: bytes, symlinks: SymlinkPolicy) -> Listing:
    """Read the directory *place*, and look where links lead if they are followed or kept."""
    names = await _names(channel, place)
    names = [item if has_type(item[1]) else (item[0], await _looked_at(channel, place, item)) for item in names]
    listing = Listing()
    links = [name for name, found in names if is_link(found)]
    if symlinks is SymlinkPolicy.PRESERVE:
        targets = await _answers(channel, [packets.read_link(_below(place, name)) for name in links], _said)
        where = dict(zip(links, targets))
        listing.unread = [name for name, target in where.items() if target is None]
        listing.found = [(name, found, where.get(name)) for name, found in names]
    elif symlinks is SymlinkPolicy.FOLLOW:
        looks = [packets.look_through(_below(place, name)) for name in links]
        leads_to = dict(zip(links, await _answers(channel, looks, _led_to)))
        listing.dangling = [name for name, found in leads_to.items() if found is None]
        listing.found = [(name, leads_to.get(name) or found, None) for name, found in names]
        listing.real = packets.path_in(await channel.ask(packets.real_path(place)))
    else:
        listing.found = [(name, found, None) for name, found in names]
    return listing


async def _names(channel: Channel, place: bytes) -> List[Tuple[bytes, Attributes]]:
    handle = packets.handle_in(await channel.ask(packets.open_directory(place)))
    found: Dict[bytes, Attributes] = {}
    try:
        while True:
            replies = await channel.send(*[packets.read_directory(handle)] * _READS_AT_ONCE)
            # All of them count: a server that works on several requests at once may say first that this is the end.
            ended = [packets.is_end(reply) for reply in replies]
            for reply, is_end in zip(replies, ended):
                if not is_end:
                    found.update(packets.names_in(reply))
            if any(ended):
                return [item for item in found.items() if item[0] not in (b".", b"..")]
    finally:
        # Nobody waits for the answer: what a directory holds is known by then.
        if channel.lost is None:
            channel.send(packets.close(handle))


async def _looked_at(channel: Channel, place: bytes, item: Tuple[bytes, Attributes]) -> Attributes:
    found = packets.found_in(await channel.ask(packets.look(_below(place, item[0]))))
    return item[1] if found is None else found


async def _answers(
    channel: Channel, requests: List[packets.Request], read: Callable[[packets.Reply], Any]
) -> List[Any]:
    found: List[Any] = []
    for start in range(0, len(requests), _LOOKS_AT_ONCE):
        found += map(read, await channel.send(*requests[start : start + _LOOKS_AT_ONCE]))
    return found


def _led_to(reply: packets.Reply) -> Optional[Attributes]:
    try:
        return packets.found_in(reply)
    except Refused as error:
        # OpenSSH says FAILURE of a link that leads in a circle.
        if error.code != packets.FAILURE:
            raise
        return None


def _said(reply: packets.Reply) -> Optional[bytes]:
    try:
        return packets.path_in(reply)
    except Refused:
        return None


def _below(place: bytes, name: bytes) -> bytes:
    return place + name if place.endswith(b"/") else place + b"/" + name


@define(eq=False)
class _Level:
    """One directory on the way down: what is still to be delivered, and which listings below it are on their way."""

    items: Iterator[Listed]
    coming: Deque[str]
    """The directories in it that nobody has asked for yet."""
    real: bytes
    waiting: Dict[str, Any] = field(factory=dict)


@define(eq=False)
class Walk:
    """One listing, depth first.

    *begin* starts to read a directory and returns at once; *finish* waits for what it returned and gives the listing.
    *is_gone* says whether a directory has disappeared that the server did not find; it raises where the root itself
    has, as then nothing at all is known of what was in it.
    """

    begin: Callable[[str], Any]
    finish: Callable[[str, Any], Listing]
    is_gone: Callable[[str], bool]
    symlinks: SymlinkPolicy
    prune: Optional[Prune]
    _stack: List[_Level] = field(factory=list, init=False)

    def open(self, directory: str) -> None:
        """Read *directory* and make it the one that is walked next; raises StorageError."""
        above = self._stack[-1] if self._stack else None
        task = above.waiting.pop(directory, None) if above is not None else None
        listing = self.finish(directory, self.begin(directory) if task is None else task)
        if self.symlinks is SymlinkPolicy.FOLLOW and any(listing.real == level.real for level in self._stack):
            raise Unsupported(f"{shown(directory)}: a symbolic link that leads back to a directory above it")
        items = list(self._items(directory + "/" if directory else "", listing))
        items.sort(key=lambda item: encoded(item.position))
        if self.prune is not None:
            names = [item.path.rpartition("/")[2] for item in items if isinstance(item, Entry)]
            self.prune.enter(directory, names)
        below = deque(item.path for item in items if isinstance(item, Entry) and item.kind is Kind.DIRECTORY)
        self._stack.append(_Level(iter(items), below, listing.real))
        self._look_ahead(self._stack[-1])

    def entries(self) -> Iterator[Listed]:
        """Yield everything below the opened directory."""
        try:
            while self._stack:
                for item in self._stack[-1].items:
                    if not isinstance(item, Entry) or item.kind is not Kind.DIRECTORY:
                        yield item
                        continue
                    entered = self._entered(item)
                    if entered is not None:
                        yield entered
                    # Whether it was entered or not, the place to go on is the top of the stack.
                    break
                else:
                    self._stack.pop()
        finally:
            for level in self._stack:
                for task in level.waiting.values():
                    task.cancel()

    def _entered(self, item: Entry) -> Optional[Listed]:
        level = self._stack[-1]
        if level.coming and level.coming[0] == item.path:
            level.coming.popleft()
        if self.prune is not None and self.prune(item.path):
            self._forget(level, item.path)
            return item
        try:
            self.open(item.path)
        except StorageError as error:
            # "Not found" is also what servers say of a directory that they cannot open; only a look proves absence.
            if isinstance(error, NotFound) and self.is_gone(item.path):
                return None
            return problem_from(error, item.path, extent=Extent.SUBTREE)
        finally:
            self._look_ahead(level)
        return item

    @staticmethod
    def _forget(level: _Level, directory: str) -> None:
        task = level.waiting.pop(directory, None)
        if task is not None:
            task.cancel()

    def _look_ahead(self, level: _Level) -> None:
        while level.coming and len(level.waiting) < _LISTINGS_AHEAD:
            directory = level.coming.popleft()
            if self.prune is None or not self.prune(directory):
                level.waiting[directory] = self.begin(directory)

    def _items(self, inside: str, listing: Listing) -> Iterator[Listed]:
        dangling, unread = set(listing.dangling), set(listing.unread)
        for raw, found, link in listing.found:
            name = decoded(raw)
            path = inside + name
            reason = refusal(path) if "/" not in name else "holds a '/'"
            if reason is not None:
                message = f"{shown(path)}: the name {reason}, so it cannot be synced; rename it"
                yield Problem(ProblemKind.BAD_NAME, path, message, extent=Extent.NOTHING)
            elif is_reserved(name):
                problem = reserved_problem(path, directory=is_directory(found))
                if problem is not None:
                    yield problem
            elif raw in dangling:
                yield Problem(ProblemKind.UNSUPPORTED, path, "a symbolic link that leads nowhere")
            elif raw in unread:
                yield Problem(ProblemKind.DENIED, path, "the server does not say where this symbolic link leads")
            else:
                yield self._item(path, found, link)

    def _item(self, path: str, found: Attributes, link: Optional[bytes]) -> Listed:
        if is_link(found) and self.symlinks is not SymlinkPolicy.PRESERVE:
            return Problem(ProblemKind.UNSUPPORTED, path, "a symbolic link was skipped; see the option symlinks")
        try:
            return entry_of(path, found, link)
        except Unsupported as error:
            return Problem(ProblemKind.UNSUPPORTED, path, str(error))
