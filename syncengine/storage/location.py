"""Where a side of a sync is: any URL, path, UPath, (filesystem, root) or client, as one value without secrets.

A location knows a URL that may be shown and saved, an identity that is equal for equal places, and how to open it.
Options, user names, passwords and signed parameters stay in a private field that is never shown, compared or
pickled.
"""

from __future__ import annotations

import os
import re
from hashlib import sha256
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, TypeVar

from attrs import define, evolve, field, frozen

from ..core.modes import SymlinkPolicy
from ..core.paths import is_reserved, is_within, shown
from ..errors import RecipeError, SyncError
from .protocol import StorageClientProtocol
from .translation import SECRET_PARAMETER, redacted, texts_in, translated

_Result = TypeVar("_Result")
_LOCAL_PROTOCOLS = ("file", "local")
_CLIENT_METHODS = ("list", "stat", "read", "write", "delete")
_CACHES = ("simplecache", "blockcache", "filecache", "cached")
_PROTOCOL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_WORD = re.compile(r"^[a-z][a-z0-9+_-]*$")

# One backend may be asked for by several names, depending on who writes the URL and on what is installed.
_CANONICAL = {
    "s3a": "s3",
    "gs": "gcs",
    "abfss": "abfs",
    "az": "abfs",
    "adl": "abfs",
    "ssh": "sftp",
    "dav": "webdav",
    "local": "file",
}
_DEFAULT_PORTS = {"ftp": 21, "sftp": 22}
_PACKAGES = {
    "s3": "s3fs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "sftp": "sshfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "webdav": "webdav4",
}
_ARCHIVES = ("zip", "tar")
# Here the part before the @ is a container, and no secret.
_CONTAINER_BEFORE_AT = ("abfs",)
_QUERY_IS_PART_OF_URL = ("http", "https", "webdav", "ftp", "sftp")

_SELECTING = (
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
_PROCESS_TOKEN = os.urandom(16).hex()


@define(eq=False)
class _Opening:
    """How to open a location; holds everything that must not be seen."""

    make: Callable[[str, SymlinkPolicy], StorageClientProtocol]
    path: str
    remade: Tuple[Any, ...] = ()
    """How another process opens it again; empty where that would take a secret along."""

    def __reduce__(self) -> Tuple[Any, ...]:
        return self.remade or (_forgotten, ())


def _forgotten() -> _Opening:
    def refuse(path: str, symlinks: SymlinkPolicy) -> StorageClientProtocol:
        raise RecipeError("this location came from another process without its options; locate it again, by a profile")

    return _Opening(refuse, "")


@frozen
class Location:
    """One place that can be synced.

    ``url`` has no user name, password, query or fragment. ``identity`` is the SHA-256 of protocol, the options that
    select the storage, and ``root``; ``storage`` is the same without the root. ``option_names`` are sorted names
    of the options that were given; their values are kept nowhere that is shown.
    """

    url: str
    protocol: str
    root: str
    identity: str
    storage: str
    profile: Optional[str] = None
    option_names: Tuple[str, ...] = ()
    container: Optional[Location] = field(default=None, repr=False)
    """The archive file itself, where the root lies inside one."""
    _opening: _Opening = field(factory=_forgotten, repr=False, eq=False)

    def __str__(self) -> str:
        return self.url

    def open(self, *, symlinks: SymlinkPolicy = SymlinkPolicy.SKIP) -> StorageClientProtocol:
        """Return a client for this location; raises StorageError where it cannot be connected to.

        *symlinks* matters for local and SFTP roots only. The caller closes the client where it has ``close``.
        """
        return self._opening.make(self._opening.path, symlinks)

    def parent_and_name(self) -> Tuple[Location, str]:
        """Return the location that holds this one, and this one's name there, for a root that is a single file."""
        above, separator, name = (self._opening.path).rstrip("/").rpartition("/")
        if (
            not name
            or (not separator and not self.root)
            or (self.protocol in ("http", "https") and above.endswith("/"))
        ):
            raise RecipeError(f"{self.url}: the root of a storage is not a file")
        if self.protocol == "file":
            return _local(above or "/"), name
        if self.protocol in ("http", "https"):
            from urllib.parse import unquote

            name = unquote(name)
        root = self.root.rpartition("/")[0]
        opening = _Opening(self._opening.make, above)
        identity = _hashed(self.storage, root)
        return evolve(self, url=_url_above(self.url), root=root, identity=identity, opening=opening), name


def locate(spec: Any, *, options: Optional[Mapping[str, Any]] = None, profile: Optional[str] = None) -> Location:
    """Return the location that *spec* means.

    *spec* is a URL or a path, a ``pathlib.Path``, a ``UPath``, a pair of a filesystem and a root, or a client of
    one's own. *options* are fsspec's storage options; *profile* names a set of them in fsspec's configuration
    (``~/.config/fsspec/*.json``, or the environment's ``FSSPEC_<PROFILE>``), over which *options* win.

    Raises RecipeError for what cannot be a root, saying why and what would.
    """
    if isinstance(spec, Location):
        return spec
    if options is not None and not isinstance(options, Mapping):
        raise RecipeError(f"options are given by their names, as a mapping, not as a {type(options).__name__}")
    if profile is not None and not isinstance(profile, str):
        raise RecipeError(f"a profile is given by its name, not as a {type(profile).__name__}")
    merged = {**_profile_options(profile), **(options or {})}
    if isinstance(spec, tuple) and len(spec) == 2:
        located = _live(spec[0], str(spec[1]))
    elif _is_upath(spec):
        located = _upath(spec)
    elif isinstance(spec, str) or hasattr(spec, "__fspath__"):
        text = os.fsdecode(spec)
        if "\0" in text:
            raise RecipeError(f"a place cannot hold a NUL character: {shown(text)!r}")
        located = _text(text, merged, is_path=not isinstance(spec, str))
    elif all(callable(getattr(spec, name, None)) for name in _CLIENT_METHODS):
        located = _client(spec)
    else:
        raise RecipeError(
            f"a {type(spec).__name__} is not a place; give a URL, a path, a (filesystem, root) pair or a storage client"
        )
    return evolve(located, profile=profile, option_names=tuple(sorted({*located.option_names, *(options or {})})))


def overlap(first: Location, second: Location) -> Optional[str]:
    """Return why two roots overlap, or None where they do not; a root inside a reserved folder does not count."""
    if first.storage == second.storage:
        if first.root == second.root:
            return f"{first} and {second} are the same place"
        for outer, inner in ((first, second), (second, first)):
            if is_within(inner.root, outer.root.rstrip("/")) and not is_reserved(_below(inner.root, outer.root)):
                return f"{inner} lies inside {outer}"
    for archive, other in ((first, second), (second, first)):
        held = archive.container
        if held is not None and held.storage == other.storage and is_within(held.root, other.root.rstrip("/")):
            return f"the archive of {archive} lies inside {other}"
    return None


def _below(inner: str, outer: str) -> str:
    return inner[len(outer.rstrip("/")) :].lstrip("/")


def _hashed(*parts: str) -> str:
    return sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


# Local paths


def _local(path: str) -> Location:
    given = os.path.abspath(os.path.expanduser(path))
    root = os.path.realpath(given)
    storage = _hashed("file")
    identity = _hashed(storage, root)
    return Location(f"file://{root}", "file", root, identity, storage, opening=_local_opening(identity, given))


def _local_opening(identity: str, given: str) -> _Opening:
    return _Opening(_open_local(identity), given, (_local_opening, (identity, given)))


def _open_local(identity: str) -> Callable[[str, SymlinkPolicy], StorageClientProtocol]:
    def make(path: str, symlinks: SymlinkPolicy) -> StorageClientProtocol:
        from .local import LocalStorageClient

        return LocalStorageClient(os.path.realpath(path), symlinks=symlinks, identity=identity)

    return make


def _without_local_protocol(text: str) -> Optional[str]:
    """Return the path that *text* means on this machine, or None where it is a URL of something else.

    A ``::`` in a plain path belongs to the name; only where the first part is the name of a filesystem is it a chain.
    """
    match = _PROTOCOL.match(text)
    if match is not None:
        if match.group(1).lower() not in _LOCAL_PROTOCOLS:
            return None
        return text[match.end() :]
    first, separator, _ = text.partition("::")
    return None if separator and _WORD.match(first) and _is_known(first) else text


def _is_known(protocol: str) -> bool:
    from fsspec.registry import available_protocols  # type: ignore[import-untyped]

    return protocol in available_protocols()


# URLs


def _text(text: str, options: Mapping[str, Any], *, is_path: bool) -> Location:
    path = text if is_path else _without_local_protocol(text)
    if path is None:
        return _url(text, options)
    unknown = sorted(set(options) - {"auto_mkdir"})
    if unknown:
        raise RecipeError(f"a local path takes no options: {', '.join(unknown)}")
    if not path:
        raise RecipeError("a root cannot be an empty text; '.' is the current folder")
    return _local(path)


@frozen
class _Link:
    """One part of a chained URL: its protocol, its class, the path in it and the options it is opened with."""

    protocol: str
    filesystem_class: Any
    path: str
    options: Dict[str, Any]
    url: str

    @property
    def canonical(self) -> str:
        return _CANONICAL.get(self.protocol, self.protocol)


def _url(url: str, options: Mapping[str, Any]) -> Location:
    links = _links(url, options)
    first, target = links[0], links[1] if len(links) > 1 else None
    _refuse_archive_as_path(first, target)
    if first.protocol == "dir" and target is not None:
        return _directory_of(url, links, options)
    shown_url = "::".join(_shown_url(link) for link in links)
    storage = _storage_identity(links)
    root = _canonical_root(first)
    secrets = _secrets(links, options)
    identity = _hashed(storage, root)

    def make(path: str, symlinks: SymlinkPolicy) -> StorageClientProtocol:
        if target is None and _is_sshfs(first.filesystem_class):
            return _open_sftp(first.options, path, symlinks, identity=identity, secrets=secrets)
        verifying = _verifying(options, links)
        if target is None and first.canonical == "s3":
            return _open_s3(url, first.options, path, identity=identity, storage=storage, secrets=secrets)
        return _open_url(url, verifying, path, identity=identity, storage=storage, secrets=secrets)

    container = _local_or_linked(links[1:]) if target is not None else None
    remade = () if secrets else (_url_opening, (url,))
    opening = _Opening(make, first.path, remade)
    return Location(shown_url, first.canonical, root, identity, storage, container=container, opening=opening)


def _refuse_archive_as_path(first: _Link, target: Optional[_Link]) -> None:
    """Refuse a URL that names no archive: its path would be looked for inside one."""
    if target is not None or first.protocol not in _ARCHIVES or "fo" in first.options:
        return
    named = first.url.partition("://")[2]
    raise RecipeError(
        f"{redacted(first.url)} is a path inside an archive, and does not say which; the archive itself is "
        f"{first.protocol}://::{redacted(named) or 'FILE'}"
    )


def _url_opening(url: str) -> _Opening:
    def make(path: str, symlinks: SymlinkPolicy) -> StorageClientProtocol:
        return locate(url).open(symlinks=symlinks)

    return _Opening(make, "")


def _directory_of(url: str, links: List[_Link], options: Mapping[str, Any]) -> Location:
    """Return the place that a ``dir::`` URL wraps: its paths begin there, and nothing else is different."""
    below = links[0].path.strip("/")
    first, separator, rest = url.partition("::")[2].partition("::")
    wrapped = f"{first.rstrip('/')}/{below}" if below else first
    own = options.get(links[1].protocol, options)
    return _text(wrapped + separator + rest, own, is_path=False)


def _local_or_linked(links: List[_Link]) -> Location:
    first = links[0]
    if first.canonical == "file":
        return _local(first.path)
    storage = _storage_identity(links)
    root = _canonical_root(first)
    return Location(_shown_url(first), first.canonical, root, _hashed(storage, root), storage)


def _links(url: str, options: Mapping[str, Any]) -> List[_Link]:
    parts = _parts(url)
    links: List[_Link] = []
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
    known = [piece if "://" in piece or not _is_bare_protocol(piece) else piece + "://" for piece in pieces]
    return [piece if "://" in piece else "file://" + piece for piece in known]


def _is_bare_protocol(piece: str) -> bool:
    return bool(_WORD.match(piece)) and _is_known(piece)


def _link(protocol: str, part: str, options: Dict[str, Any]) -> _Link:
    if protocol in _CACHES:
        raise RecipeError(
            f"{protocol}:: keeps copies that go stale, so nothing can be synced through it; leave it out of the URL"
        )
    from .objects.s3_unmade import address_class

    filesystem_class = address_class(protocol, part) or _class_of(protocol)
    _refuse_signed(part)
    from_url = filesystem_class._get_kwargs_from_urls(part)  # noqa: SLF001 - what fsspec asks of every class
    path = filesystem_class._strip_protocol(part)  # noqa: SLF001
    if not isinstance(path, str):
        raise RecipeError(f"{redacted(part)}: a root is one place, not several")
    query = part.partition("?")[2]
    if query and not path.endswith(query.rstrip("/")):
        raise RecipeError(
            f"{_without_user_information(part)}: {protocol}:// would drop what follows the '?' and sync another place; "
            "give such a name in a (filesystem, root) pair"
        )
    merged = {**from_url, **options}
    # Configuration may select another endpoint, so it takes part in the identity.
    configured = _configured(filesystem_class, protocol, merged)
    return _Link(protocol, filesystem_class, path, {**configured, **merged}, part)


def _configured(filesystem_class: Any, protocol: str, options: Mapping[str, Any]) -> Dict[str, Any]:
    """Return *options* with what fsspec's configuration has for the protocol besides."""
    from fsspec.config import apply_config, conf  # type: ignore[import-untyped]

    if not _is_sshfs(filesystem_class):
        configured: Dict[str, Any] = apply_config(filesystem_class, dict(options))
        return configured
    # fsspec gives the class the one of its two names by which it happens to be asked for first.
    other = "ssh" if protocol == "sftp" else "sftp"
    return {**conf.get(other, {}), **conf.get(protocol, {}), **options}


def _refuse_signed(part: str) -> None:
    query = part.partition("?")[2]
    if query and SECRET_PARAMETER.search("?" + query):
        raise RecipeError(
            f"{_without_user_information(part.partition('?')[0])}: a signed URL cannot be a root: whoever sees it may "
            "use it, and it expires; give the plain URL, and credentials as options"
        )


def _class_of(protocol: str) -> Any:
    from fsspec.registry import available_protocols, get_filesystem_class, known_implementations

    try:
        return get_filesystem_class(protocol)
    except ValueError:
        from difflib import get_close_matches

        near = get_close_matches(protocol, available_protocols(), n=1)
        hint = f"; did you mean {near[0]}://?" if near else ""
        raise RecipeError(f"no filesystem is known for {shown(protocol)}://{hint}") from None
    except ImportError as error:
        reason = known_implementations.get(protocol, {}).get("err") or str(error)
        package = _PACKAGES.get(_CANONICAL.get(protocol, protocol))
        hint = f" (pip install {package})" if package else ""
        raise RecipeError(f"{protocol}:// needs a package that is not installed: {reason}{hint}") from error


def _canonical_root(link: _Link) -> str:
    path = link.path
    if link.canonical in ("http", "https"):
        path = _without_user_information(path)
        scheme, _, rest = path.partition("://")
        host, slash, below = rest.partition("/")
        return f"{scheme}://{host.lower()}{slash}{below}".rstrip("/")
    if link.canonical == "file":
        return os.path.realpath(path)
    return "/" + path.strip("/") if path.startswith("/") and path.strip("/") else path.strip("/")


def _storage_identity(links: List[_Link]) -> str:
    from .quirks import family_of_class

    parts: List[str] = []
    for number, link in enumerate(links):
        parts += [link.canonical, *_selecting(link.canonical, link.options)]
        if number:
            parts.append(_canonical_root(link))
        family = family_of_class(link.filesystem_class)
        if family.name == "memory":
            parts.append(_PROCESS_TOKEN)
        if family.name == "unknown":
            parts += _plain_options(link.options)
    return _hashed(*parts)


def _selecting(protocol: str, options: Mapping[str, Any]) -> List[str]:
    """Return the options that select which storage is meant, as sorted texts in one spelling."""
    nested = options.get("client_kwargs")
    found = {**(nested if isinstance(nested, Mapping) else {}), **options}
    chosen: Dict[str, str] = {}
    for name in _SELECTING:
        value = found.get(name)
        if value not in (None, ""):
            chosen[{"username": "user", "hostname": "host"}.get(name, name)] = _plain_value(str(value))
    chosen.update(_from_connection_string(found.get("connection_string")))
    if chosen.get("port") == str(_DEFAULT_PORTS.get(protocol)):
        del chosen["port"]
    if "target_protocol" in options:
        chosen["target"] = _hashed(*_target_parts(options))
    return [f"{name}={chosen[name]}" for name in sorted(chosen)]


def _plain_options(options: Mapping[str, Any]) -> List[str]:
    """Return the options of a class nobody knows that may say where it leads and do not look like secrets."""
    plain = {name: value for name, value in options.items() if isinstance(value, (str, int))}
    return [f"{name}={plain[name]}" for name in sorted(plain) if not SECRET_PARAMETER.search(f"?{name}=")]


def _plain_value(value: str) -> str:
    plain = _without_user_information(value).partition("?")[0].rstrip("/")
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


# What may be shown


def _without_user_information(url: str) -> str:
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/@]*@", r"\1", url)


def _shown_url(link: _Link) -> str:
    url = link.url if link.canonical in _CONTAINER_BEFORE_AT else _without_user_information(link.url)
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


def _secrets(links: List[_Link], options: Mapping[str, Any]) -> Tuple[str, ...]:
    """Return every text that no message may show: values of options, and what a URL carries before its @."""
    hidden = set(texts_in({name: value for name, value in options.items() if name not in _SELECTING}))
    for link in links:
        own = {name: value for name, value in link.options.items() if name not in _SELECTING}
        hidden.update(texts_in(own))
        match = re.match(r"^[A-Za-z][A-Za-z0-9+.-]*://([^/@]*)@", link.url)
        if match is not None and link.canonical not in _CONTAINER_BEFORE_AT:
            hidden.update(match.group(1).split(":"))
    places = {text for link in links for text in (link.path, *texts_in({"host": link.options.get("host")}))}
    return tuple(sorted(text for text in hidden - places if len(text) > 2))


# Opening


def _open_url(
    url: str, options: Mapping[str, Any], path: str, *, identity: str, storage: str, secrets: Tuple[str, ...]
) -> StorageClientProtocol:
    def opened() -> StorageClientProtocol:
        filesystem = _filesystem_of(url, options)
        return _served(filesystem, path, identity=identity, storage=storage, secrets=secrets, private=True)

    return _bordered(opened, url, secrets)


def _bordered(call: Callable[[], _Result], url: str, secrets: Tuple[str, ...]) -> _Result:
    try:
        return call()
    except SyncError:
        raise
    except Exception as error:
        raise translated(error, redacted(url, secrets), secrets=secrets) from error


def _filesystem_of(url: str, options: Mapping[str, Any]) -> Any:
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    return url_to_fs(url, **{**options, "skip_instance_cache": True})[0]


def _open_s3(
    url: str, options: Mapping[str, Any], path: str, *, identity: str, storage: str, secrets: Tuple[str, ...]
) -> StorageClientProtocol:
    """Return a client for S3, for which the filesystem is made only when it is needed."""
    from .objects.opening import unmade_client

    def make() -> Any:
        return _bordered(lambda: _filesystem_of(url, options), url, secrets)

    def opened() -> StorageClientProtocol:
        return unmade_client(make, options, path, identity=identity, storage=storage, secrets=secrets)

    return _bordered(opened, url, secrets)


def _served(
    filesystem: Any, path: str, *, identity: str, storage: str, secrets: Tuple[str, ...], private: bool
) -> StorageClientProtocol:
    from .quirks import family_of

    if family_of(filesystem).name in _OBJECT_STORES:
        from .objects.opening import object_client

        return object_client(filesystem, path, identity=identity, storage=storage, secrets=secrets)
    from .filesystem import client_for

    return client_for(filesystem, path, identity=identity, secrets=secrets, private=private)


def _is_sshfs(filesystem_class: Any) -> bool:
    from .quirks import family_of_class

    return family_of_class(filesystem_class).name == "sshfs"


def _open_sftp(
    options: Mapping[str, Any], path: str, symlinks: SymlinkPolicy, *, identity: str, secrets: Tuple[str, ...]
) -> StorageClientProtocol:
    # sshfs itself is never instantiated: it would connect at once, and without any look at the host key.
    from .sftp import sftp_client

    return sftp_client(options, path, identity=identity, symlinks=symlinks, secrets=secrets)


def _verifying(options: Mapping[str, Any], links: List[_Link]) -> Dict[str, Any]:
    """Return *options* with which host keys are verified, also where archives are read through SFTP."""
    verified: Dict[str, Any] = {**options, **_host_key_policy(links[0].filesystem_class, links[0].options)}
    for link in links[1:]:
        if _is_sshfs(link.filesystem_class):
            # What asyncssh takes for "the usual files"; sshfs would take silence for "none".
            verified[link.protocol] = {"known_hosts": (), **(options.get(link.protocol) or {})}
    return verified


def _host_key_policy(filesystem_class: Any, options: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the option by which paramiko verifies host keys, where the user has none and fsspec knows it."""
    from .quirks import family_of_class

    if family_of_class(filesystem_class).name != "sftp" or "host_key_policy" in options:
        return {}
    from fsspec.implementations import sftp  # type: ignore[import-untyped]

    if not hasattr(sftp, "HOST_KEY_POLICIES"):
        return {}  # an older fsspec, which takes every key and cannot be told otherwise
    from .drivers.host_keys import KnownHosts

    return {"host_key_policy": KnownHosts()}


# Live filesystems, UPaths, clients

# What these instances know is in their options, so another instance is as good; others may hold what nobody else has.
_OBJECT_STORES = ("s3", "gcs", "azure")
_REBUILT = ("http", "ftp", "webdav", "sftp", *_OBJECT_STORES)


def _live(filesystem: Any, root: str) -> Location:
    from .quirks import family_of_class, qualified_names

    names = qualified_names(type(filesystem))
    if names[0] == "fsspec.implementations.local.LocalFileSystem":
        return _local(filesystem._strip_protocol(root))  # noqa: SLF001 - what fsspec asks of every class
    if "fsspec.implementations.dirfs.DirFileSystem" in names:
        return _live(filesystem.fs, filesystem._join(root.strip("/")))  # noqa: SLF001 - the path it would use
    if "fsspec.implementations.cached.CachingFileSystem" in names:
        raise RecipeError("a caching filesystem keeps copies that go stale; give the filesystem below it")
    if not hasattr(filesystem, "_strip_protocol"):
        raise RecipeError(f"a {type(filesystem).__name__} is not a filesystem")
    if _is_sshfs(type(filesystem)):
        named = dict(zip(("host",), filesystem.storage_args))
        return _sshfs(type(filesystem), {**named, **filesystem.storage_options}, root)
    path = filesystem._strip_protocol(root)  # noqa: SLF001 - as above
    protocol = filesystem.protocol if isinstance(filesystem.protocol, str) else filesystem.protocol[0]
    shown_path = path if "://" in path else f"{protocol}://{path.lstrip('/')}"
    link = _Link(protocol, type(filesystem), path, _live_options(filesystem), shown_path)
    family = family_of_class(type(filesystem)).name
    held = _held_by_instance(filesystem, family)
    storage = _hashed(_storage_identity([link]), held) if held else _storage_identity([link])
    canonical = _canonical_root(link)
    secrets = _secrets([link], filesystem.storage_options)
    identity = _hashed(storage, canonical)

    def make(path: str, symlinks: SymlinkPolicy) -> StorageClientProtocol:
        rebuilt = family in _REBUILT
        return _open_live(filesystem, path, identity=identity, storage=storage, secrets=secrets, rebuilt=rebuilt)

    return Location(_shown_url(link), link.canonical, canonical, identity, storage, opening=_Opening(make, path))


def _sshfs(filesystem_class: Any, options: Mapping[str, Any], root: str) -> Location:
    """Return the place that an instance of sshfs with these options would mean; none is made, and none is used."""
    path = filesystem_class._strip_protocol(root)  # noqa: SLF001 - what fsspec asks of every class
    host = str(options.get("host", ""))
    link = _Link("sftp", filesystem_class, path, dict(options), f"sftp://{host}/{path.lstrip('/')}")
    storage, canonical, secrets = _storage_identity([link]), _canonical_root(link), _secrets([link], options)
    identity = _hashed(storage, canonical)

    def make(path: str, symlinks: SymlinkPolicy) -> StorageClientProtocol:
        return _open_sftp(options, path, symlinks, identity=identity, secrets=secrets)

    return Location(_shown_url(link), "sftp", canonical, identity, storage, opening=_Opening(make, path))


def _live_options(filesystem: Any) -> Dict[str, Any]:
    """Return the options of an instance; what was given by position is found in its attributes."""
    attributes = {name: getattr(filesystem, name, None) for name in _SELECTING}
    plain = {name: value for name, value in attributes.items() if isinstance(value, (str, int))}
    return {**plain, **filesystem.storage_options}


def _held_by_instance(filesystem: Any, family: str) -> str:
    """Return a mark for content that only this instance can reach, and nothing where others can."""
    if family == "memory":
        from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

        shared = filesystem.store is MemoryFileSystem.store
        return "" if shared else f"{_PROCESS_TOKEN} {id(filesystem.store)}"
    if family != "unknown" or any(filesystem is cached for cached in type(filesystem)._cache.values()):  # noqa: SLF001
        return ""
    return f"{_PROCESS_TOKEN} {id(filesystem)}"


def _open_live(
    filesystem: Any, path: str, *, identity: str, storage: str, secrets: Tuple[str, ...], rebuilt: bool
) -> StorageClientProtocol:
    try:
        if rebuilt:
            options = {**filesystem.storage_options, "skip_instance_cache": True}
            options.update(_host_key_policy(type(filesystem), options))
            filesystem = type(filesystem)(*filesystem.storage_args, **options)
        return _served(filesystem, path, identity=identity, storage=storage, secrets=secrets, private=rebuilt)
    except SyncError:
        raise
    except Exception as error:
        raise translated(error, secrets=secrets) from error


def _is_upath(spec: Any) -> bool:
    return not isinstance(spec, str) and all(hasattr(spec, name) for name in ("protocol", "storage_options", "path"))


def _upath(spec: Any) -> Location:
    # Handed to fsspec as it is, a remote UPath becomes a path below the current folder.
    if spec.protocol in ("", *_LOCAL_PROTOCOLS):
        return _local(str(spec.path))
    filesystem_class = _class_of(spec.protocol)
    if _is_sshfs(filesystem_class):
        options = _configured(filesystem_class, spec.protocol, spec.storage_options)
        return _sshfs(filesystem_class, options, spec.path)
    return _live(spec.fs, spec.path)


def _client(client: Any) -> Location:
    identity = getattr(client, "identity", None)
    if not isinstance(identity, str) or not hasattr(client, "capabilities"):
        raise RecipeError(f"the storage client {type(client).__name__} needs `identity`, a text, and `capabilities`")

    def make(path: str, symlinks: SymlinkPolicy) -> StorageClientProtocol:
        return client  # type: ignore[no-any-return]

    hashed = _hashed("client", identity)
    return Location(
        f"client://{type(client).__name__}/{hashed[:12]}", "client", "", hashed, hashed, opening=_Opening(make, "")
    )


# Profiles


def _profile_options(profile: Optional[str]) -> Dict[str, Any]:
    if profile is None:
        return {}
    from fsspec.config import conf

    wanted = profile.casefold().replace("-", "_")
    # The environment's FSSPEC_MY_PROFILE is read by fsspec as the option "profile" of "my".
    head, _, tail = wanted.partition("_")
    for found in (conf.get(profile), conf.get(wanted), conf.get(head, {}).get(tail)):
        if isinstance(found, Mapping):
            return dict(found)
    from difflib import get_close_matches

    near = get_close_matches(profile, sorted(conf), n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(sorted(conf)) or 'none'}"
    raise RecipeError(f"there is no profile {shown(profile)!r} in fsspec's configuration{hint}")
