"""The directories that files are written into: known to be no links, made where they are missing, once for all.

Lives on the event loop. Workers that need the same directory wait for one look; different ones are made side by side.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Dict

from ..core.modes import SymlinkPolicy
from ..core.paths import encoded, parent, parents, shown
from ..errors import NotFound, PreconditionFailed
from . import sftp_packets as packets
from .sftp_channel import Channel
from .sftp_facts import is_directory, is_link
from .sftp_packets import Attributes, Refused

_REMEMBERED = 10_000
REMEMBERED_SECONDS = 5.0
"""How long a directory that was looked at counts as one; the window of a link that takes its place."""


class Directories:
    """The directories below one root, as far as they were looked at."""

    def __init__(self, root: bytes, symlinks: SymlinkPolicy) -> None:
        self.root = root
        self._follow = symlinks is SymlinkPolicy.FOLLOW
        self._seen: Dict[str, float] = {}
        self._looking: Dict[str, asyncio.Task[None]] = {}
        self._root_stood = False

    def place(self, key: str) -> bytes:
        """Return what the server calls *key*."""
        if not key:
            return self.root
        return self.root + (b"" if self.root.endswith(b"/") or not self.root else b"/") + encoded(key)

    async def ensure(self, channel: Channel, key: str, *, make: bool) -> None:
        """Return once *key* is known to be a directory that no link above it leads out of the root; made where asked.

        RACE: what was looked at counts for some seconds. A directory that is exchanged for a link in that time is
        followed; worst case, files of that directory land outside the root, where they replace what has their names.
        """
        if self._is_known(key):
            return
        task = self._looking.get(key)
        if task is None or not make:
            # A look that may not make anything must not answer one that may.
            task = asyncio.ensure_future(self._looked_at(channel, key, make=make))
            if make:
                self._looking[key] = task
                task.add_done_callback(lambda done: self._done(key))
        # Others may be waiting for the same look when one of them is cancelled.
        await asyncio.shield(task)

    def forget(self) -> None:
        """Believe nothing that was seen before."""
        self._seen.clear()

    def saw_root(self, *, found: bool) -> None:
        """Note whether the root stands; one that stood before is never made anew."""
        self._root_stood = self._root_stood or found

    def expect_no_root(self) -> None:
        """Allow the root to be made, as somebody asks for it by name."""
        self._root_stood = False

    def _done(self, key: str) -> None:
        self._looking.pop(key, None)

    def _is_known(self, key: str) -> bool:
        seen = self._seen.get(key)
        return seen is not None and monotonic() - seen < REMEMBERED_SECONDS

    def _remember(self, key: str) -> None:
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[key] = monotonic()

    async def _looked_at(self, channel: Channel, key: str, *, make: bool) -> None:
        if not key:
            await self._root_looked_at(channel, make=make)
            return
        await self.ensure(channel, parent(key), make=make)
        found = await self._found_or_made(channel, key, make=make)
        if is_link(found):
            await self._check_link(channel, key)
        elif not is_directory(found):
            raise PreconditionFailed(f"{shown(key)}: a file stands where a directory is needed", path=key)
        self._remember(key)

    async def _found_or_made(self, channel: Channel, key: str, *, make: bool) -> Attributes:
        place = self.place(key)
        if not make:
            return packets.attributes_in(await channel.ask(packets.look(place)))
        # Whether it was there or was made, the look decides; both are asked at once.
        made, looked = await channel.send(packets.make_directory(place), packets.look(place))
        found = packets.found_in(looked)
        if found is None:
            packets.check(made)
            raise NotFound(f"{shown(key)}: it was removed right after it was made", path=key)
        return found

    async def _root_looked_at(self, channel: Channel, *, make: bool) -> None:
        found = packets.found_in(await channel.ask(packets.look_through(self.root or b".")))
        if found is None:
            # A root that was there before is not made anew: it may be a disk that was unmounted.
            if self._root_stood or not make:
                raise NotFound("the root is missing; check that it is mounted", path="")
            found = await self._root_made(channel)
        if not is_directory(found):
            raise PreconditionFailed("the root is not a directory", path="")
        self._root_stood = True
        self._remember("")

    async def _root_made(self, channel: Channel) -> Attributes:
        text = self.root.decode("utf-8", "surrogateescape")
        places = [encoded(place) for place in (*parents(text), text) if place.strip("/")]
        *made, looked = await channel.send(
            *(packets.make_directory(place) for place in places), packets.look_through(self.root)
        )
        found = packets.found_in(looked)
        if found is None:
            packets.check(made[-1])
            raise NotFound("the root was removed right after it was made", path="")
        return found

    async def _check_link(self, channel: Channel, key: str) -> None:
        if self._follow and await self._leads_inside(channel, key):
            return
        reason = "nothing is written through this symbolic link"
        raise PreconditionFailed(f"{shown(key)}: {reason}", path=key)

    async def _leads_inside(self, channel: Channel, key: str) -> bool:
        place = self.place(key)
        try:
            found, real, root = await channel.send(
                packets.look_through(place), packets.real_path(place), packets.real_path(self.root or b".")
            )
            inside = packets.path_in(real).startswith(packets.path_in(root).rstrip(b"/") + b"/")
            return inside and is_directory(packets.found_in(found))
        except Refused:
            return False
