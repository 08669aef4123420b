"""What an obstore store is made with, common to all services, and who makes it.

Everything that selects or authorises is asked of the client that the filesystem itself made, so that options,
configuration files and the environment count exactly once. What obstore could not honour is recognised by name: a
store that leaves out encryption or a proxy would be faster, and wrong.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, cast

from attrs import frozen

_REFRESHED_AFTER = timedelta(minutes=5)
"""After this time credentials are asked for again; the filesystem refreshes them well before they expire."""
_OLD_LIMIT = timedelta(minutes=5)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""Variables of the environment that name proxies, in capital or small letters."""


@frozen
class StoreOptions:
    """What an obstore store is made with, *kind* being its class; holds secrets, so it is never shown."""

    kind: str
    config: Mapping[str, Any]
    client: Mapping[str, Any]
    credentials: Optional[Callable[[], Dict[str, Any]]] = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Store:
    """A store that is made by *make* when it is first asked for, once; None where obstore cannot be imported.

    Making it takes as long as listing a thousand objects, which needs none.
    """

    def __init__(self, make: Callable[[], Optional[Any]]) -> None:
        self._make = make
        self._made: List[Optional[Any]] = []
        self._lock = threading.Lock()

    def __call__(self) -> Optional[Any]:
        """Return the store; raises what making it raises."""
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]


def missing() -> Optional[str]:
    """Return what to say where obstore is not installed, None where it is."""
    try:
        import obstore  # noqa: F401 - only whether it is there
    except ImportError:
        return "obstore is not installed (pip install 'syncengine[fast]')"
    return None


def asked_again_at() -> datetime:
    """Return when credentials that were provided now have to be asked for again."""
    return datetime.now(timezone.utc) + _REFRESHED_AFTER


def unhonoured(place: str, given: Mapping[str, Any], known: Collection[str]) -> List[str]:
    """Return what to say of options that are *given* and not *known*."""
    names = sorted(name for name, value in given.items() if name not in known and value is not None)
    return [f"obstore cannot honour {place}: {', '.join(names)}"] if names else []


def store_of(options: StoreOptions) -> Any:
    """Return the store. A failed request is not repeated by it: whoever calls knows what may be repeated."""
    import obstore.store

    store_class: Any = getattr(obstore.store, options.kind)
    given: Dict[str, Any] = dict(options.config)
    if options.credentials is not None:
        given["credential_provider"] = options.credentials
    given["retry_config"] = {"max_retries": 0, "retry_timeout": timedelta(seconds=60)}
    try:
        return store_class(client_options=cast("Any", dict(options.client)), **given)
    except ValueError as error:
        if "read_timeout" not in str(error):
            raise
        # Older releases know of no limit on silence, only one on the whole request.
        client = {name: value for name, value in options.client.items() if name != "read_timeout"}
        return store_class(client_options=cast("Any", {**client, "timeout": _OLD_LIMIT}), **given)
