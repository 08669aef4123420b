"""What one location holds, as ``syncengine.scan`` tells it; nothing of a sync is loaded for that."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from .core.entry import Snapshot
from .errors import ScanError, StorageError
from .stages.scan import DirectoryScanner
from .storage.location import locate


def scan(spec: Any, *, options: Optional[Mapping[str, Any]] = None, profile: Optional[str] = None) -> Snapshot:
    """Return a sorted stream of what one location holds."""
    location = locate(spec, options=options, profile=profile)
    try:
        client = location.open()
    except StorageError as error:
        raise ScanError(f"{location} cannot be opened: {error}") from error
    scanner = DirectoryScanner(client)
    if not scanner.exists():
        raise ScanError(f"{location} does not exist", reason="root_missing")
    return scanner()
