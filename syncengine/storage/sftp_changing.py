"""What else can be changed behind SFTP: removals, permissions, symbolic links, what killed runs left behind.

Each coroutine looks, checks what it found, makes sure that no link leads out of the root, and then changes one thing.
"""

from __future__ import annotations

import time
from typing import Callable

from ..core.entry import Stamp
from ..core.modes import SymlinkPolicy
from ..core.paths import encoded, parent, shown
from ..errors import PreconditionFailed, Unsupported
from . import sftp_packets as packets
from .protocol import Expectation, Precondition
from .sftp_channel import Channel
from .sftp_facts import entry_of, is_directory, is_file, stamp_of
from .sftp_listing import listed
from .sftp_packets import Refused
from .sftp_reading import check_unchanged, found_at
from .sftp_renaming import check_free, renamed_over
from .sftp_site import Site
from .temporary import is_abandoned, is_temporary, temporary

_MakeLink = Callable[[bytes], packets.Request]

# Removals


async def deleted(site: Site, path: str, expect: Precondition, channel: Channel) -> None:
    """Delete one file or link; what is gone already is gone, unless *expect* names a version."""
    await site.tidy(channel)
    if await site.admitted(channel, path, expect) is None:
        return
    await site.directories.ensure(channel, parent(path), make=False)
    # RACE: a version that appears between the look and this is deleted; see the windows.
    await _removed(channel, site.place(path))


async def _removed(channel: Channel, place: bytes) -> None:
    try:
        packets.check(await channel.ask(packets.remove(place)))
    except Refused as error:
        if not packets.is_missing(error):
            raise


async def directory_removed(site: Site, path: str, channel: Channel) -> None:
    """Remove a directory only if it is empty; raises PreconditionFailed where it is not, or is no directory."""
    place = site.place(path)
    found = await found_at(channel, place, follow=False)
    if found is None:
        return
    if not is_directory(found):
        raise PreconditionFailed(f"{shown(path)}: it is not a directory", path=path)
    await site.directories.ensure(channel, parent(path), make=False)
    site.directories.forget()
    try:
        packets.check(await channel.ask(packets.remove_directory(place)))
    except Refused:
        if (await listed(channel, place, SymlinkPolicy.SKIP)).found:
            raise PreconditionFailed(f"{shown(path)}: it is not empty", path=path) from None
        raise


async def swept(site: Site, path: str, channel: Channel) -> bool:
    """Delete a temporary file if its writer is dead; say whether it was deleted."""
    place = site.place(path)
    name = path.rpartition("/")[2]
    found = await found_at(channel, place, follow=False)
    if found is None or is_directory(found) or not is_temporary(name):
        return False
    # The time of content may have been set into the past already; a draft's time of reading never is.
    touched = max(found.accessed or 0, found.modified or 0)
    if not is_abandoned(name, time.time() - touched if touched else None):
        return False
    await site.directories.ensure(channel, parent(path), make=False)
    packets.check(await channel.ask(packets.remove(place)))
    return True


# Permissions


async def mode_set(site: Site, path: str, mode: int, expect: Precondition, channel: Channel) -> Stamp:
    """Set the permission bits of a file, never through a link, and return its stamp."""
    place = site.place(path)
    found = await found_at(channel, place, follow=False)
    site.check(path, expect, None if found is None else entry_of(path, found))
    await site.directories.ensure(channel, parent(path), make=False)
    if found is None or not is_file(found):
        raise PreconditionFailed(f"{shown(path)}: it is not a file", path=path)
    handle = packets.handle_in(await channel.ask(packets.open_to_read(place)))
    try:
        # What was opened has to be what was looked at: a link in its place would have been followed.
        check_unchanged(path, found, packets.attributes_in(await channel.ask(packets.look_at_open(handle))))
        done, looked = await channel.send(packets.set_open(handle, mode=mode), packets.look_at_open(handle))
        packets.check(done)
        return stamp_of(packets.attributes_in(looked))
    finally:
        if channel.lost is None:
            channel.send(packets.close(handle))


# Symbolic links


async def link_written(site: Site, path: str, target: str, expect: Precondition, channel: Channel) -> Stamp:
    """Put a symbolic link with the literal *target* at *path*, all or nothing."""
    order = site.abilities.link_target_first
    if order is None:
        raise Unsupported(f"{shown(path)}: it is not known how this server makes symbolic links", path=path)
    place, content = site.place(path), encoded(target)

    def make(where: bytes) -> packets.Request:
        return packets.symbolic_link(content, where, target_first=order)

    await site.tidy(channel)
    await site.directories.ensure(channel, parent(path), make=True)
    if expect.demand is Expectation.ABSENT:
        await _link_made(channel, path, place, make)
    else:
        await _link_replaced(site, channel, path, make, expect)
    return stamp_of(packets.attributes_in(await channel.ask(packets.look(place))))


async def _link_made(channel: Channel, path: str, place: bytes, make: _MakeLink) -> None:
    try:
        packets.check(await channel.ask(make(place)))
    except Refused:
        await check_free(channel, path, place)
        raise


async def _link_replaced(site: Site, channel: Channel, path: str, make: _MakeLink, expect: Precondition) -> None:
    with temporary() as name:
        aside = site.beside(path) + encoded(name)
        packets.check(await channel.ask(make(aside)))
        try:
            await site.admitted(channel, path, expect)
            await renamed_over(site, channel, path, aside, site.place(path))
        except BaseException:
            if channel.lost is None:
                channel.send(packets.remove(aside))
            else:
                site.leave_litter(aside)
            raise
