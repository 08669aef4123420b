"""Which storage a URL means, as a hash that is equal for equal places, and what of it may be shown.

Only options that select a storage take part; every other one says how to reach it, may be a secret, and is hidden.
"""

from __future__ import annotations

import os
import re
from hashlib import sha256
from typing import Any, Dict, List, Mapping, Tuple

from .links import Link, user_information, without_user_information
from .translation import SECRET_PARAMETER, texts_in

_DEFAULT_PORTS = {"ftp": 21, "sftp": 22}
# Here the part before the @ is a container, and no secret.
_CONTAINER_BEFORE_AT = ("abfs",)
_QUERY_IS_PART_OF_URL = ("http", "https", "webdav", "ftp", "sftp")

SELECTING = (
    "account_name",
    "base_url",
    "bucket",
    "endpoint_url",
    "host",
    "hostname",
    "org",
    "owner",
    "port",
    "project",
    "ref",
    "repo",
    "repo_url",
    "sha",
    "share_name",
    "tenant_id",
    "user",
    "username",
    "workspace",
)
"""Options that say which storage is meant; every other option says how to reach it, and may be a secret."""

# What memory holds dies with the process, so two processes never mean the same place by the same name.
PROCESS_TOKEN = os.urandom(16).hex()


def hashed(*parts: str) -> str:
    """Return one hash of several texts."""
    return sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def canonical_root(link: Link) -> str:
    """Return the path of a link in the one spelling that equal places have."""
    path = link.path
    if link.canonical in ("http", "https"):
        path = without_user_information(path)
        scheme, _, rest = path.partition("://")
        host, slash, below = rest.partition("/")
        return f"{scheme}://{host.lower()}{slash}{below}".rstrip("/")
    if link.canonical == "file":
        return os.path.realpath(path)
    return "/" + path.strip("/") if path.startswith("/") and path.strip("/") else path.strip("/")


def storage_identity(links: List[Link]) -> str:
    """Return the hash of the storage that a chain leads to, without the path of its first link."""
    from .quirks import family_of_class

    parts: List[str] = []
    for number, link in enumerate(links):
        parts += [link.canonical, *_selecting(link.canonical, link.options)]
        if number:
            parts.append(canonical_root(link))
        family = family_of_class(link.filesystem_class)
        if family.name == "memory":
            parts.append(PROCESS_TOKEN)
        if family.name == "unknown":
            parts += _plain_options(link.options)
    return hashed(*parts)


def _selecting(protocol: str, options: Mapping[str, Any]) -> List[str]:
    """Return the options that select which storage is meant, as sorted texts in one spelling."""
    nested = options.get("client_kwargs")
    found = {**(nested if isinstance(nested, Mapping) else {}), **options}
    chosen: Dict[str, str] = {}
    for name in SELECTING:
        value = found.get(name)
        if value not in (None, ""):
            chosen[{"username": "user", "hostname": "host"}.get(name, name)] = _plain_value(str(value))
    chosen.update(_from_connection_string(found.get("connection_string")))
    if chosen.get("port") == str(_DEFAULT_PORTS.get(protocol)):
        del chosen["port"]
    if "target_protocol" in options:
        chosen["target"] = hashed(*_target_parts(options))
    return [f"{name}={chosen[name]}" for name in sorted(chosen)]


def _plain_options(options: Mapping[str, Any]) -> List[str]:
    """Return the options of a class nobody knows that may say where it leads and do not look like secrets."""
    plain = {name: value for name, value in options.items() if isinstance(value, (str, int))}
    return [f"{name}={plain[name]}" for name in sorted(plain) if not SECRET_PARAMETER.search(f"?{name}=")]


def _plain_value(value: str) -> str:
    plain = without_user_information(value).partition("?")[0].rstrip("/")
    return plain.lower() if "/" not in plain.partition("://")[2] else plain


def _from_connection_string(value: Any) -> Dict[str, str]:
    if not isinstance(value, str):
        return {}
    fields = dict(part.split("=", 1) for part in value.split(";") if "=" in part)
    names = {"AccountName": "account_name", "BlobEndpoint": "endpoint_url"}
    return {names[name]: _plain_value(fields[name]) for name in names if name in fields}


def _target_parts(options: Mapping[str, Any]) -> List[str]:
    target = str(options["target_protocol"])
    inner = options.get("target_options") or {}
    place = options.get("fo")
    return [target, *_selecting(target, inner), place if isinstance(place, str) else ""]


def shown_url(link: Link) -> str:
    """Return the URL of a link without user, password, query and fragment."""
    url = link.url if link.canonical in _CONTAINER_BEFORE_AT else without_user_information(link.url)
    if link.canonical in _QUERY_IS_PART_OF_URL:
        url = url.partition("?")[0].partition("#")[0]
    scheme, _, rest = url.partition("://")
    if link.canonical == "file":
        return "file://" + os.path.realpath(link.path)
    return f"{scheme.lower()}://{rest.rstrip('/')}"


def _url_above(url: str) -> str:
    first, chained, rest = url.partition("::")
    scheme, _, path = first.partition("://")
    return f"{scheme}://{path.rpartition('/')[0]}{chained}{rest}"


_KEYS_IN_A_CONNECTION_STRING = re.compile(r"(?i)(?:AccountKey|SharedAccessSignature)=([^;]+)")


def secrets_of(links: List[Link], options: Mapping[str, Any]) -> Tuple[str, ...]:
    """Return every text that no message may show: values of options, and what a URL carries before its @."""
    hidden = set(texts_in({name: value for name, value in options.items() if name not in SELECTING}))
    for link in links:
        own = {name: value for name, value in link.options.items() if name not in SELECTING}
        hidden.update(texts_in(own))
        if link.canonical not in _CONTAINER_BEFORE_AT:
            hidden.update(user_information(link.url))
    hidden.update(key for text in tuple(hidden) for key in _KEYS_IN_A_CONNECTION_STRING.findall(text))
    places = {text for link in links for text in (link.path, *texts_in({"host": link.options.get("host")}))}
    return tuple(sorted(text for text in hidden - places if len(text) > 2))
