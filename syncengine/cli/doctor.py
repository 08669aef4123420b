"""``syncengine doctor``: what works on this machine, and what serves a URL."""

from __future__ import annotations

import os
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Tuple

import click

from ..errors import ScanError, StateError, StorageError
from .configuration import config_file
from .options import json_option, subcommand
from .output import Output
from .storage_options import storage_option

if TYPE_CHECKING:
    from ..storage.location import Location
    from ..storage.protocol import Capabilities, StorageClientProtocol

_PACKAGES = (
    *("fsspec", "attrs", "cattrs", "pathspec", "click", "platformdirs", "rich"),
    *("s3fs", "gcsfs", "adlfs", "sshfs", "aiohttp", "webdav4", "obstore", "tqdm", "pandas", "distributed"),
)
_LOOKED_AT = 5


@subcommand("doctor", "syncengine doctor", "syncengine doctor s3://bucket/folder --profile work")
@click.argument("url", required=False)
@click.option("--profile", metavar="NAME", help="fsspec profile with the options of the URL.")
@storage_option("--option", "the URL")
@json_option
def command(
    output: Output, url: Optional[str], profile: Optional[str], option: Tuple[Tuple[str, Any], ...], as_json: bool
) -> None:
    """Say what works here, and what serves a URL.

    Without a URL: versions, places, and whether the state of every pair is sound. With one: which client serves it
    and why, what the storage can do, what may still go wrong, and a look at the root; ends with 7 where nothing can be
    looked at there.
    """
    record, refusal = (_machine(), None) if url is None else _served(url, profile, dict(option))
    if as_json:
        output.document(record)
    else:
        output.lines(_lines(record))
    if refusal is not None:
        raise ScanError(f"{record['url']} cannot be looked at: {refusal}")
    problems = [problem for problem in record.get("pairs", {}).values() if problem is not None]
    if problems:
        raise StateError(
            f"the state of {len(problems)} pairs is not sound; `syncengine state reset` makes a first sync"
        )


# -------------------------------------------------------------------------------------------------------- this machine


def _machine() -> Dict[str, Any]:
    from .. import __version__
    from .pairs import local_place

    place = local_place(None)
    return {
        "syncengine": __version__,
        "python": sys.version.partition(" ")[0],
        "packages": {name: _version(name) for name in _PACKAGES},
        "state": place,
        "configuration": config_file() + ("" if os.path.exists(config_file()) else " (there is none)"),
        "pairs": {name: _damage(place, name) for name in _pair_names(place)},
    }


def _version(name: str) -> Optional[str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _pair_names(place: str) -> List[str]:
    from ..state.manager import SyncStateManager

    return [pair.pair_id for pair in SyncStateManager.pairs(place)]


def _damage(place: str, name: str) -> Optional[str]:
    """Return what is wrong with the state of one pair, or None; everything in it is read, nothing is changed."""
    from ..state.home import DirectoryHome
    from ..state.schema import Damage

    try:
        database = DirectoryHome(os.path.join(place, name)).open()
    except StateError as error:
        return str(error)
    if database is None:
        return None
    try:
        database.check()
    except (StateError, Damage) as error:
        return str(error)
    finally:
        database.close()
    return None


# --------------------------------------------------------------------------------------------------------------- a URL


def _served(url: str, profile: Optional[str], options: Mapping[str, Any]) -> Tuple[Dict[str, Any], Optional[str]]:
    """Return what is to be said of *url*, and why it could not be looked at."""
    from ..storage.location import locate
    from ..storage.protocol import SupportsClose

    location = locate(url, options=options, profile=profile)
    try:
        client = location.open()
    except StorageError as error:
        raise ScanError(f"{location} cannot be opened: {error}") from error
    try:
        capabilities = client.capabilities
        seen, refusal = _root(client)
        record = {
            "url": location.url,
            "protocol": location.protocol,
            "identity": location.identity,
            "profile": location.profile,
            "options": list(location.option_names),
            "client": type(client).__name__,
            "why": _why(location, client),
            "capabilities": _capabilities(capabilities, location),
            "windows": [f"{condition}: {sentence}" for condition, sentence in capabilities.windows],
            "root": seen,
        }
        return record, refusal
    finally:
        if isinstance(client, SupportsClose):
            client.close()


def _why(location: Location, client: StorageClientProtocol) -> str:
    if location.protocol == "file":
        return "a folder of this machine is read and written directly, without fsspec"
    told = getattr(client, "why", "")
    if told:
        return str(told)
    from fsspec.registry import get_filesystem_class  # type: ignore[import-untyped]

    opened = get_filesystem_class(location.protocol)
    through = f"{opened.__module__}.{opened.__qualname__}"
    return f"{type(client).__name__} works through {through}, with the options of fsspec's configuration"


def _capabilities(capabilities: Capabilities, location: Location) -> Dict[str, Any]:
    from attrs import asdict

    writable = capabilities.writable and (location.protocol != "file" or _may_be_written(location.root))
    told = {**asdict(capabilities), "writable": writable}
    return {name: value for name, value in told.items() if name != "windows"}


def _may_be_written(folder: str) -> bool:
    """Say whether this machine lets *folder* be written, or made where it is missing; a mount may be read only."""
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return os.access(folder, os.W_OK)


def _root(client: StorageClientProtocol) -> Tuple[str, Optional[str]]:
    """Return what a look at the root shows, in words, and why there could be none."""
    try:
        return _seen(client), None
    except StorageError as error:
        return f"cannot be looked at ({type(error).__name__}): {error}", str(error)


def _seen(client: StorageClientProtocol) -> str:
    from ..core.paths import shown

    entry = client.stat("")
    if entry is None:
        return "there is nothing"
    if entry.kind.value != "directory":
        return f"a {entry.kind.value}"
    names = [shown(item.path) for item in islice(client.list(), _LOOKED_AT + 1)]
    more = ", …" if len(names) > _LOOKED_AT else ""
    return f"a folder with {', '.join(names[:_LOOKED_AT])}{more}" if names else "an empty folder"


# ------------------------------------------------------------------------------------------------------------ in lines


def _lines(record: Dict[str, Any]) -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield f"{name}: {len(value)}" if name == "pairs" else f"{name}:"
            yield from (f"  {key}: {_words(inner, name)}" for key, inner in value.items())
        elif isinstance(value, list):
            yield f"{name}:{'' if value else ' none'}"
            yield from (f"  {inner}" for inner in value)
        else:
            yield f"{name}: {_words(value, name)}"


def _words(value: Any, name: str) -> str:
    if value is None:
        return {"packages": "not installed", "pairs": "sound"}.get(name, "none")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "none"
    return str(value)
