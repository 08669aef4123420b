"""How things behind SFTP get other names: renames that replace, renames that never do, second names, whole directories.

A server may have a rename that replaces in one step, hard links, neither, or a plain rename that refuses a taken name;
each function takes the best of what there is. Answers may get lost, so no step destroys what a look can still need.
"""

from __future__ import annotations

from typing import Optional, Tuple

from ..core.entry import Entry, Stamp
from ..core.paths import encoded, fold, is_within, parent, shown
from ..errors import NotFound, PreconditionFailed
from . import sftp_packets as packets
from .protocol import Expectation, Precondition
from .sftp_channel import Channel
from .sftp_facts import is_directory, is_link, stamp_of
from .sftp_packets import Refused
from .sftp_reading import entry_at
from .sftp_site import Site
from .temporary import temporary


async def check_free(channel: Channel, path: str, place: bytes) -> None:
    """Raise PreconditionFailed where something has a name that was to be free."""
    found = packets.found_in(await channel.ask(packets.look(place)))
    if found is not None:
        raise PreconditionFailed(f"{shown(path)}: something appeared there", path=path)


async def renamed_alone(site: Site, channel: Channel, path: str, old: bytes, new: bytes) -> None:
    """Rename *old* to *new*, the place of *path*, unless that is taken; raises PreconditionFailed."""
    try:
        if site.abilities.rename_refuses:
            packets.check(await channel.ask(packets.rename(old, new)))
        elif not (site.abilities.hard_links and await _renamed_by_link(channel, old, new)):
            # RACE: a file that appears between this look and the rename may be replaced; see the windows.
            await check_free(channel, path, new)
            packets.check(await channel.ask(packets.rename(old, new)))
    except Refused:
        await check_free(channel, path, new)
        raise


async def _renamed_by_link(channel: Channel, old: bytes, new: bytes) -> bool:
    """Rename by way of a second name, which the server gives only while it is free; False where it gives none."""
    try:
        packets.check(await channel.ask(packets.hard_link(old, new)))
    except Refused as error:
        # Servers offer this for file systems that have no such thing.
        if error.code != packets.UNSUPPORTED:
            raise
        return False
    await _first_name_removed(channel, old, new)
    return True


async def _first_name_removed(channel: Channel, old: bytes, new: bytes) -> None:
    removed = await channel.ask(packets.remove(old))
    try:
        packets.check(removed)
    except Refused as error:
        if packets.is_missing(error):
            return
        # The file has both names. What failed has to have changed nothing, so the new one goes again.
        await channel.ask(packets.remove(new))
        raise


async def renamed_over(site: Site, channel: Channel, path: str, old: bytes, new: bytes) -> None:
    """Rename *old* to *new*, the place of *path*, replacing it: in one step, or else by way of a temporary name."""
    if site.abilities.renames_over:
        packets.check(await channel.ask(packets.rename_over(old, new)))
        return
    with temporary() as name:
        await _renamed_in_steps(site, channel, old, new, site.beside(path) + encoded(name))


async def _renamed_in_steps(site: Site, channel: Channel, old: bytes, new: bytes, aside: bytes) -> None:
    # RACE: for an instant nothing has the name; see the windows.
    stood = packets.found_in(await channel.ask(packets.look(new))) is not None
    try:
        if stood:
            packets.check(await channel.ask(packets.rename(new, aside)))
        await _renamed_or_back(channel, old, new, aside, stood=stood)
    except BaseException as error:
        # A refused rename was taken back; where no answer came nobody knows how far it got.
        if stood and not isinstance(error, Refused):
            site.leave_displaced(aside, new)
        raise
    if stood:
        packets.check(await channel.ask(packets.remove(aside)))


async def _renamed_or_back(channel: Channel, old: bytes, new: bytes, aside: bytes, *, stood: bool) -> None:
    try:
        packets.check(await channel.ask(packets.rename(old, new)))
    except Refused:
        if stood:
            packets.check(await channel.ask(packets.rename(aside, new)))
        raise


# Files


async def moved(
    site: Site, old: str, new: str, expect: Precondition, expect_origin: Optional[Stamp], channel: Channel
) -> Optional[Stamp]:
    """Rename a file and return its stamp; None where *old* is a followed link, which is no file under a new name."""
    old_place, new_place = site.place(old), site.place(new)
    await site.tidy(channel)
    origin = await site.origin(channel, old, expect_origin)
    await site.directories.ensure(channel, parent(old), make=False)
    await site.directories.ensure(channel, parent(new), make=True)
    if site.follow and is_link(packets.found_in(await channel.ask(packets.look(old_place)))):
        return None
    if expect.demand is Expectation.ABSENT:
        await renamed_alone(site, channel, new, old_place, new_place)
        return origin.stamp
    await site.admitted(channel, new, expect)
    await renamed_over(site, channel, new, old_place, new_place)
    await _old_name_gone(site, channel, old, new, origin)
    return origin.stamp


async def _old_name_gone(site: Site, channel: Channel, old: str, new: str, origin: Entry) -> None:
    """Take the old name away where it is still there: to rename onto another hard link of one file does nothing.

    Both names may also be one, where the server folds them or a followed link leads to one directory. So nothing is
    removed before another name is seen to have the file.
    """
    if fold(old, "NFC", case=True) == fold(new, "NFC", case=True):
        return
    old_place, new_place = site.place(old), site.place(new)
    left = await entry_at(channel, old, old_place, follow=False)
    if left is None or left.stamp != origin.stamp:
        return
    with temporary() as name:
        aside = site.beside(old) + encoded(name)
        packets.check(await channel.ask(packets.rename(old_place, aside)))
        try:
            found = packets.found_in(await channel.ask(packets.look(new_place)))
            step = packets.rename(aside, new_place) if found is None else packets.remove(aside)
            packets.check(await channel.ask(step))
        except BaseException:
            site.leave_displaced(aside, new_place)
            raise


async def preserved(
    site: Site, path: str, new: str, expect: Precondition, channel: Channel
) -> Tuple[Entry, Optional[Stamp]]:
    """Give a version a second name; returns what was found, and its stamp there, None where a copy has to do."""
    place, new_place = site.place(path), site.place(new)
    await site.tidy(channel)
    found = await entry_at(channel, path, place, follow=site.follow)
    site.check(path, expect, found)
    if found is None:
        raise NotFound(f"{shown(path)}: there is nothing to preserve", path=path)
    await site.directories.ensure(channel, parent(path), make=False)
    await site.directories.ensure(channel, parent(new), make=True)
    return found, await _hard_linked(site, channel, found, new, place, new_place)


async def _hard_linked(
    site: Site, channel: Channel, found: Entry, new: str, place: bytes, new_place: bytes
) -> Optional[Stamp]:
    looked = packets.found_in(await channel.ask(packets.look(place)))
    if not site.abilities.hard_links or (site.follow and is_link(looked)):
        return None
    try:
        packets.check(await channel.ask(packets.hard_link(place, new_place)))
    except Refused as error:
        await check_free(channel, new, new_place)
        if error.code not in (packets.FAILURE, packets.UNSUPPORTED):
            raise
        return None
    linked = packets.attributes_in(await channel.ask(packets.look(new_place)))
    if stamp_of(linked) != found.stamp:
        # Another version took the name between the look and the link; the one that was meant is gone already.
        packets.check(await channel.ask(packets.remove(new_place)))
        raise PreconditionFailed(f"{shown(found.path)}: it has changed", path=found.path)
    return found.stamp


# Directories


async def directory_moved(site: Site, old: str, new: str, channel: Channel) -> None:
    """Rename a directory with everything in it, never over anything; raises PreconditionFailed or NotFound.

    The plain rename, and not the one that replaces: a server gives that to the system as it is, and that replaces an
    empty directory. RACE: one that is made at *new* in the instant after the look may be taken for free and replaced
    while it is empty; nothing in it can be lost.
    """
    old_place, new_place = site.place(old), site.place(new)
    await site.tidy(channel)
    found = packets.found_in(await channel.ask(packets.look(old_place)))
    if found is None:
        raise NotFound(f"{shown(old)}: there is nothing there", path=old)
    if not is_directory(found):
        raise PreconditionFailed(f"{shown(old)}: it is not a directory", path=old)
    if is_within(new, old):
        raise PreconditionFailed(f"{shown(old)}: a directory cannot be moved into itself", path=old)
    await site.directories.ensure(channel, parent(old), make=False)
    await check_free(channel, new, new_place)
    await site.directories.ensure(channel, parent(new), make=True)
    # Whatever becomes of the answer, what was known about either name is so no longer.
    site.directories.forget()
    try:
        packets.check(await channel.ask(packets.rename(old_place, new_place)))
    except Refused:
        await check_free(channel, new, new_place)
        raise
    finally:
        site.directories.forget()
