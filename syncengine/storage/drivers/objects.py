"""Object stores through s3fs, gcsfs and adlfs."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from typing import Any, Dict, Optional

from ..quirks import Info
from .base import Admit, Driver
from .content import Incoming, pour


class ObjectDriver(Driver):
    """S3 and GCS through s3fs and gcsfs: one commit after the last byte, nothing visible before."""

    writes_aside = False

    def refusal(self, key: str) -> Optional[str]:
        """Refuse what s3fs reads as a version and would write to another key."""
        return "holds '?versionId='" if "?versionId=" in key else None

    def make_directory(self, path: str) -> None:
        """Do nothing: directories are implied."""

    def place(
        self, path: str, incoming: Incoming, admit: Admit, *, absent: bool, mtime_ns: Optional[int]
    ) -> Optional[Info]:
        """Send without committing, check, and commit; a new key is asked for exclusively."""
        stream = self.filesystem.open(path, "xb" if absent else "wb", autocommit=False)
        try:
            pour(incoming, stream)
            incoming.finish()
            admit()
            stream.close()
            stream.commit()
        except BaseException:
            with suppress(Exception):
                stream.discard()
            stream.closed = True
            raise
        return None

    def copy(self, old: str, new: str, admit: Admit, *, absent: bool) -> None:
        """Copy on the server, which shows whole objects only."""
        admit()
        self.filesystem.cp_file(old, new)


class AzureDriver(ObjectDriver):
    """Azure through adlfs, which sends a checked local file in one commit."""

    def place(
        self, path: str, incoming: Incoming, admit: Admit, *, absent: bool, mtime_ns: Optional[int]
    ) -> Optional[Info]:
        """Collect, check and send."""
        with tempfile.NamedTemporaryFile() as spool:
            pour(incoming, spool)
            spool.flush()
            incoming.finish()
            admit()
            options: Dict[str, Any] = {"mode": "create"} if absent else {"overwrite": True}
            self.filesystem.put_file(spool.name, path, **options)
        return None
