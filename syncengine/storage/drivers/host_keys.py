"""Host keys for paramiko: those in the user's known_hosts are trusted and no others, as ``ssh`` has it."""

from __future__ import annotations

import os
from typing import Any

import paramiko

from ...core.paths import shown
from ...errors import AccessDenied


class KnownHosts(paramiko.MissingHostKeyPolicy):
    """Asked by paramiko about every key, since fsspec loads no file of known ones."""

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        """Raise AccessDenied unless the key stands in ``~/.ssh/known_hosts``."""
        path = os.path.expanduser("~/.ssh/known_hosts")
        known = paramiko.HostKeys(path if os.path.exists(path) else None)
        if known.check(hostname, key):
            return
        named = known.lookup(hostname) is not None
        state = "is not the one that is known" if named else "is not known"
        raise AccessDenied(
            f"the host key of {shown(hostname)} {state}: it shows {key.get_name()} {key.fingerprint}. If that is "
            f"right, put it into {path}, as 'ssh' does; host_key_policy='auto_add' connects without any proof of who "
            "answers"
        )
