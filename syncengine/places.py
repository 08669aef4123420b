"""Where the two sides and the state of a pair are: what a plan keeps of its process, and how a state is opened."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional, Tuple

from attrs import field, frozen

from .arguments import DEFAULT_STATE
from .core.entry import Side
from .core.plan_parts import Endpoint
from .state.manager import SyncStateManager
from .storage.location import Location, locate
from .storage.protocol import StorageClientProtocol


@frozen
class Live:
    """What a plan of this process keeps besides its values: how to reach its places, secrets included."""

    clients: Mapping[Side, StorageClientProtocol] = field(factory=dict)
    locations: Mapping[Side, Location] = field(factory=dict)
    leftovers: Tuple[Tuple[Side, str], ...] = ()
    trash: Optional[Location] = None
    state: Optional[Any] = field(default=None, repr=False)
    single_writer: bool = False


def open_state(
    state: Any,
    endpoints: Mapping[Side, Endpoint],
    clients: Mapping[Side, StorageClientProtocol],
    *,
    single_writer: bool = False,
) -> SyncStateManager:
    """Return the state of a pair at *state*: the default place, a directory, or any fsspec URL.

    A side that dies with the process takes its state with it, unless a place was named.
    """
    source, destination = endpoints[Side.SOURCE], endpoints[Side.DESTINATION]
    text = state if isinstance(state, str) else os.fsdecode(state)
    place: Optional[str] = None
    remote, ephemeral = None, False
    if text == DEFAULT_STATE:
        ephemeral = any(client.capabilities.ephemeral for client in clients.values())
        place = None if ephemeral else os.environ.get("SYNCENGINE_STATE") or None
    elif "://" in text and not text.startswith(("file://", "local://")):
        from .remote_state import StoredPlace

        remote = StoredPlace.at(text, source.identity, destination.identity)
    else:
        place = locate(text).root
    return SyncStateManager(
        place,
        source.identity,
        destination.identity,
        source_shown=source.url,
        destination_shown=destination.url,
        remote=remote,
        ephemeral=ephemeral,
        single_writer=single_writer,
    )
