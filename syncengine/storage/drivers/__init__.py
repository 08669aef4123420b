"""Literal single-file calls on one filesystem: what is the same for all of them, and what each family needs.

Nothing here uses a plural or pattern call (``get put cp mv rm cat find walk glob exists``): those expand patterns,
swallow errors or leave half a file. A driver raises whatever its library raises; the client translates. A family's
module is imported when a filesystem of that family is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Dict, Type

from ..quirks import family_of
from .base import Child, Driver
from .content import Incoming

__all__ = ["Child", "Driver", "Incoming", "driver_for"]

_DRIVERS: Dict[str, str] = {
    "memory": "memory:MemoryDriver",
    "zip": "archive:ArchiveDriver",
    "tar": "archive:ArchiveDriver",
    "libarchive": "archive:ArchiveDriver",
    "http": "http:HttpDriver",
    "ftp": "ftp:FtpDriver",
    "webdav": "webdav:WebdavDriver",
    "sftp": "sftp:SftpDriver",
}


def driver_for(filesystem: Any, root: str, *, private: bool) -> Driver:
    """Return the driver of the family *filesystem* belongs to; a *private* instance is nobody else's to see."""
    return _class_for(family_of(filesystem).name)(filesystem, root, private=private)


def _class_for(family: str) -> Type[Driver]:
    if family not in _DRIVERS:
        return Driver
    module, _, name = _DRIVERS[family].partition(":")
    found: Type[Driver] = getattr(import_module(f".{module}", __name__), name)
    return found
