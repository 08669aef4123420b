"""One root on one server, as whatever changes it sees it: where its keys lie, and what stands in the way of a change.

The coroutines of ``sftp_writing``, ``sftp_renaming`` and ``sftp_changing`` take a site and a channel. A site also
remembers what a dropped connection left undone, until the next change can put that right.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

from attrs import define, field

from ..core.entry import Entry, Stamp
from ..core.paths import encoded, refusal, shown
from ..errors import NotFound, PreconditionFailed, Unsupported
from . import sftp_packets as packets
from .protocol import Precondition, exactly
from .sftp_abilities import Abilities
from .sftp_channel import Channel
from .sftp_directories import Directories
from .sftp_facts import SECOND_NS, entry_of, is_directory
from .sftp_packets import Attributes
from .sftp_reading import entry_at, found_at

_MOST_REMEMBERED = 1000


@define(eq=False)
class Site:
    """What all changes below one root share; lives on the event loop but for the places of keys."""

    abilities: Abilities
    directories: Directories
    follow: bool
    _litter: List[bytes] = field(factory=list)
    _displaced: List[Tuple[bytes, bytes]] = field(factory=list)

    def place(self, path: str) -> bytes:
        """Return what the server calls *path*; raises Unsupported for what is no path below a root."""
        reason = refusal(path) if path else None
        if reason is not None:
            raise Unsupported(f"{shown(path)!r} cannot be a path below a root: it {reason}", path=path)
        return self.directories.place(path)

    def file_place(self, path: str) -> bytes:
        """Return the place of what is not the root; raises Unsupported."""
        if not path:
            raise Unsupported("the root itself cannot be a file; give its parent as root and its name as scope")
        return self.place(path)

    def beside(self, path: str) -> bytes:
        """Return what the names of everything beside *path* begin with."""
        place = self.directories.place(path)
        return place[: len(place) - len(encoded(path.rpartition("/")[2]))]

    @staticmethod
    def check(path: str, expect: Precondition, found: Optional[Entry]) -> None:
        """Raise PreconditionFailed unless what a look found is what is expected."""
        expect.check(found, path, granularity_ns=SECOND_NS)

    async def origin(self, channel: Channel, path: str, expect: Optional[Stamp]) -> Entry:
        """Look at what is to be moved or copied; raises PreconditionFailed or NotFound."""
        found = await entry_at(channel, path, self.place(path), follow=self.follow)
        if expect is not None:
            self.check(path, exactly(expect), found)
        if found is None:
            raise NotFound(f"{shown(path)}: there is nothing there", path=path)
        return found

    async def admitted(self, channel: Channel, path: str, expect: Precondition) -> Optional[Attributes]:
        """Look at what is to be replaced; raises PreconditionFailed where it may not be, or is a directory."""
        found = await found_at(channel, self.place(path), follow=self.follow)
        self.check(path, expect, None if found is None else entry_of(path, found))
        if is_directory(found):
            raise PreconditionFailed(f"{shown(path)}: it is a directory", path=path)
        return found

    # What a dropped connection left undone

    def leave_litter(self, aside: bytes) -> None:
        """Remember a temporary file that could not be removed."""
        if len(self._litter) < _MOST_REMEMBERED:
            self._litter.append(aside)

    def leave_displaced(self, aside: bytes, place: bytes) -> None:
        """Remember that the file *aside* may be what stood at *place*."""
        self._displaced.append((aside, place))

    async def tidy(self, channel: Channel) -> None:
        """Put right what is remembered, before anything else is changed."""
        if not (self._litter or self._displaced):
            return
        litter, self._litter = self._litter, []
        displaced, self._displaced = self._displaced, []
        for aside, place in displaced:
            # What has the name by now stays; then the file aside is an old version that was to be replaced.
            if packets.found_in(await channel.ask(packets.look(place))) is None:
                await channel.ask(packets.rename(aside, place))
        # What is not there any more, or never was, is no loss; nobody waits for the answers.
        if litter:
            channel.send(*(packets.remove(aside) for aside in litter))
