"""The links of a chained URL: the protocol, the filesystem class, the path and the options of each part.

Nothing is opened. What cannot be a root (a cache, a signed URL, a class that is not installed) is refused here.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Tuple

from attrs import frozen

from ..core.paths import shown
from ..errors import RecipeError
from . import fsspec_facts
from .causes import shown_cause
from .translation import SECRET_PARAMETER, redacted

_CACHES = ("simplecache", "blockcache", "filecache", "cached")
_WORD = re.compile(r"^[a-z][a-z0-9+_-]*$")

# One backend may be asked for by several names, depending on who writes the URL and on what is installed.
CANONICAL = {
    "s3a": "s3",
    "gs": "gcs",
    "abfss": "abfs",
    "az": "abfs",
    "adl": "abfs",
    "ssh": "sftp",
    "dav": "webdav",
    "local": "file",
}
_PACKAGES = {
    "s3": "s3fs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "sftp": "sshfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "webdav": "webdav4",
}


@frozen
class Link:
    """One part of a chained URL: its protocol, its class, the path in it and the options it is opened with."""

    protocol: str
    filesystem_class: Any
    path: str
    options: Dict[str, Any]
    url: str
    from_url: Tuple[str, ...] = ()
    """The names of the options that only the user information of the URL gives: no shown form of it holds them."""

    @property
    def canonical(self) -> str:
        """The one name of its backend."""
        return CANONICAL.get(self.protocol, self.protocol)


def links_of(url: str, options: Mapping[str, Any]) -> List[Link]:
    """Return the links of *url*; *options* are those of the first, and by protocol those of the others."""
    parts = _parts(url)
    links: List[Link] = []
    for number, part in enumerate(parts):
        protocol = part.partition("://")[0].lower()
        own = dict(options) if number == 0 else dict(options.get(protocol) or {})
        own = {name: value for name, value in own.items() if not (number == 0 and _names_a_link(name, value, parts))}
        links.append(_link(protocol, part, own))
    return links


def _names_a_link(name: str, value: Any, parts: List[str]) -> bool:
    return isinstance(value, Mapping) and any(part.startswith(name + "://") for part in parts)


def _parts(url: str) -> List[str]:
    pieces = url.split("::")
    known = [piece if "://" in piece or not is_bare_protocol(piece) else piece + "://" for piece in pieces]
    return [piece if "://" in piece else "file://" + piece for piece in known]


def is_bare_protocol(piece: str) -> bool:
    """Say whether a part of a chain is only the name of a filesystem, as in ``zip::file.zip``."""
    return bool(_WORD.match(piece)) and _is_known(piece)


def _link(protocol: str, part: str, options: Dict[str, Any]) -> Link:
    if protocol in _CACHES:
        raise RecipeError(
            f"{protocol}:: keeps copies that go stale, so nothing can be synced through it; leave it out of the URL"
        )
    from .objects.s3_unmade import address_class

    filesystem_class = address_class(protocol, part) or class_of(protocol)
    _refuse_signed(part)
    from_url, path = _read(filesystem_class, part)
    if not isinstance(path, str):
        raise RecipeError(f"{redacted(part)}: a root is one place, not several")
    query = part.partition("?")[2]
    if query and not path.endswith(query.rstrip("/")):
        raise RecipeError(
            f"{without_user_information(part)}: {protocol}:// would drop what follows the '?' and sync another place; "
            "give such a name in a (filesystem, root) pair"
        )
    merged = {**from_url, **options}
    # Configuration may select another endpoint, so it takes part in the identity.
    configured = configured_options(filesystem_class, protocol, merged)
    unseen = tuple(name for name in ("user", "username", "password") if from_url.get(name) and name not in options)
    return Link(protocol, filesystem_class, path, {**configured, **merged}, part, unseen)


def _read(filesystem_class: Any, part: str) -> Tuple[Dict[str, Any], Any]:
    """Return the options and the path that a URL holds; raises RecipeError for one that says no place."""
    try:
        from_url = filesystem_class._get_kwargs_from_urls(part)  # noqa: SLF001 - what fsspec asks of every class
        return from_url, filesystem_class._strip_protocol(part)  # noqa: SLF001
    except ValueError as error:
        hidden = user_information(part)
        message = f"{without_user_information(redacted(part, hidden))}: {redacted(str(error), hidden)}"
        raise RecipeError(f"{shown(message)}; check the URL") from shown_cause(error, hidden)


def configured_options(filesystem_class: Any, protocol: str, options: Mapping[str, Any]) -> Dict[str, Any]:
    """Return *options* with what fsspec's configuration has for the protocol besides."""
    configuration = fsspec_facts.configuration()
    if not is_sshfs(filesystem_class):
        configured: Dict[str, Any] = configuration.apply_config(filesystem_class, dict(options))
        return configured
    # fsspec gives the class the one of its two names by which it happens to be asked for first.
    other = "ssh" if protocol == "sftp" else "sftp"
    return {**configuration.conf.get(other, {}), **configuration.conf.get(protocol, {}), **options}


def _refuse_signed(part: str) -> None:
    query = part.partition("?")[2]
    if query and SECRET_PARAMETER.search("?" + query):
        raise RecipeError(
            f"{without_user_information(part.partition('?')[0])}: a signed URL cannot be a root: whoever sees it may "
            "use it, and it expires; give the plain URL, and credentials as options"
        )


def class_of(protocol: str) -> Any:
    """Return the filesystem class for *protocol*; raises RecipeError that names the package where none is installed."""
    from fsspec.registry import (  # type: ignore[import-untyped]
        available_protocols,
        get_filesystem_class,
        known_implementations,
    )

    try:
        return get_filesystem_class(protocol)
    except ValueError:
        from difflib import get_close_matches

        near = get_close_matches(protocol, available_protocols(), n=1)
        hint = f"; did you mean {near[0]}://?" if near else ""
        raise RecipeError(f"no filesystem is known for {shown(protocol)}://{hint}") from None
    except ImportError as error:
        reason = known_implementations.get(protocol, {}).get("err") or str(error)
        package = _PACKAGES.get(CANONICAL.get(protocol, protocol))
        hint = f" (pip install {package})" if package else ""
        raise RecipeError(f"{protocol}:// needs a package that is not installed: {reason}{hint}") from error


def _is_known(protocol: str) -> bool:
    from fsspec.registry import available_protocols

    return protocol in available_protocols()


def is_sshfs(filesystem_class: Any) -> bool:
    """Say whether the class is the one of sshfs, which speaks SFTP by asyncssh."""
    from .quirks import family_of_class

    return family_of_class(filesystem_class).name == "sshfs"


def user_information(url: str) -> Tuple[str, ...]:
    """Return the parts of what *url* carries before its @."""
    match = re.match(r"^[A-Za-z][A-Za-z0-9+.-]*://([^/@]*)@", url)
    return tuple(match.group(1).split(":")) if match is not None else ()


def without_user_information(url: str) -> str:
    """Return *url* without what it carries before its @."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/@]*@", r"\1", url)
