"""Where a side of a sync is: any URL, path, UPath, (filesystem, root) or client, as one value without secrets.

A location knows a URL that may be shown and saved, an identity that is equal for equal places, and how to open it.
Options, user names, passwords and signed parameters stay in a private field that is never shown, compared or
pickled.
"""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from attrs import define, evolve, field, frozen

from ..core.modes import SymlinkPolicy
from ..core.paths import is_reserved, is_within, name_refusal, parents, shown
from ..errors import RecipeError
from .identity import PROCESS_TOKEN, SELECTING, canonical_root, hashed, secrets_of, shown_url, storage_identity
from .links import Link, class_of, configured_options, is_bare_protocol, is_sshfs, links_of
from .opening import REBUILT, open_live, open_s3, open_sftp, open_url, verifying
from .protocol import StorageClientProtocol
from .translation import redacted

_LOCAL_PROTOCOLS = ("file", "local")
_CLIENT_METHODS = ("list", "stat", "read", "write", "delete")
_PROTOCOL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_ARCHIVES = ("zip", "tar")


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
    of the options that were given, also by a user name or a password in a URL; their values are kept nowhere that is
    shown.
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
        identity = hashed(self.storage, root)
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
    for name in options or ():
        if not isinstance(name, str):
            raise RecipeError(f"options are given by their names, and {name!r} is none")
    if profile is not None and not isinstance(profile, str):
        raise RecipeError(f"a profile is given by its name, not as a {type(profile).__name__}")
    merged = {**_profile_options(profile), **(options or {})}
    if isinstance(spec, tuple) and len(spec) == 2:
        located = _live(spec[0], str(spec[1]))
    elif _is_upath(spec):
        located = _upath(spec)
    elif isinstance(spec, str) or hasattr(spec, "__fspath__"):
        text = os.fsdecode(spec)
        reason = name_refusal(text)
        if reason is not None:
            raise RecipeError(f"a place {reason}: {shown(text)!r}")
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


def reserved_for(inner: Location, outer: Location) -> Optional[str]:
    """Return the folder of a reserved name in *outer* that *inner* is or lies in; None where there is none."""
    if inner.storage != outer.storage or not is_within(inner.root, outer.root.rstrip("/")):
        return None
    below = _below(inner.root, outer.root)
    return next((path for path in (*parents(below), below) if is_reserved(path)), None)


def _below(inner: str, outer: str) -> str:
    return inner[len(outer.rstrip("/")) :].lstrip("/")


# Local paths


def _local(path: str) -> Location:
    given = os.path.abspath(os.path.expanduser(path))
    root = os.path.realpath(given)
    storage = hashed("file")
    identity = hashed(storage, root)
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
    return None if separator and is_bare_protocol(first) else text


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


def _url(url: str, options: Mapping[str, Any]) -> Location:
    links = links_of(url, options)
    first, target = links[0], links[1] if len(links) > 1 else None
    _refuse_archive_as_path(first, target)
    if first.protocol == "dir" and target is not None:
        return _directory_of(url, links, options)
    seen = "::".join(shown_url(link) for link in links)
    storage = storage_identity(links)
    root = canonical_root(first)
    secrets = secrets_of(links, options)
    identity = hashed(storage, root)

    def make(path: str, symlinks: SymlinkPolicy) -> StorageClientProtocol:
        if target is None and is_sshfs(first.filesystem_class):
            return open_sftp(first.options, path, symlinks, identity=identity, secrets=secrets)
        verified = verifying(options, links)
        if target is None and first.canonical == "s3":
            return open_s3(url, first.options, path, identity=identity, storage=storage, secrets=secrets)
        return open_url(url, verified, path, identity=identity, storage=storage, secrets=secrets)

    container = _local_or_linked(links[1:]) if target is not None else None
    remade = () if secrets else (_url_opening, (url,))
    opening = _Opening(make, first.path, remade)
    return Location(
        seen,
        first.canonical,
        root,
        identity,
        storage,
        option_names=first.from_url,
        container=container,
        opening=opening,
    )


def _refuse_archive_as_path(first: Link, target: Optional[Link]) -> None:
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


def _directory_of(url: str, links: List[Link], options: Mapping[str, Any]) -> Location:
    """Return the place that a ``dir::`` URL wraps: its paths begin there, and nothing else is different."""
    below = links[0].path.strip("/")
    first, separator, rest = url.partition("::")[2].partition("::")
    wrapped = f"{first.rstrip('/')}/{below}" if below else first
    own = options.get(links[1].protocol, options)
    return _text(wrapped + separator + rest, own, is_path=False)


def _local_or_linked(links: List[Link]) -> Location:
    first = links[0]
    if first.canonical == "file":
        return _local(first.path)
    storage = storage_identity(links)
    root = canonical_root(first)
    return Location(shown_url(first), first.canonical, root, hashed(storage, root), storage)


def _url_above(url: str) -> str:
    first, chained, rest = url.partition("::")
    scheme, _, path = first.partition("://")
    return f"{scheme}://{path.rpartition('/')[0]}{chained}{rest}"


# Live filesystems, UPaths, clients


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
    if is_sshfs(type(filesystem)):
        named = dict(zip(("host",), filesystem.storage_args))
        return _sshfs(type(filesystem), {**named, **filesystem.storage_options}, root)
    path = filesystem._strip_protocol(root)  # noqa: SLF001 - as above
    protocol = filesystem.protocol if isinstance(filesystem.protocol, str) else filesystem.protocol[0]
    shown_path = path if "://" in path else f"{protocol}://{path.lstrip('/')}"
    link = Link(protocol, type(filesystem), path, _live_options(filesystem), shown_path)
    family = family_of_class(type(filesystem)).name
    held = _held_by_instance(filesystem, family)
    storage = hashed(storage_identity([link]), held) if held else storage_identity([link])
    canonical = canonical_root(link)
    secrets = secrets_of([link], filesystem.storage_options)
    identity = hashed(storage, canonical)

    def make(path: str, symlinks: SymlinkPolicy) -> StorageClientProtocol:
        rebuilt = family in REBUILT
        return open_live(filesystem, path, identity=identity, storage=storage, secrets=secrets, rebuilt=rebuilt)

    return Location(shown_url(link), link.canonical, canonical, identity, storage, opening=_Opening(make, path))


def _sshfs(filesystem_class: Any, options: Mapping[str, Any], root: str) -> Location:
    """Return the place that an instance of sshfs with these options would mean; none is made, and none is used."""
    path = filesystem_class._strip_protocol(root)  # noqa: SLF001 - what fsspec asks of every class
    host = str(options.get("host", ""))
    link = Link("sftp", filesystem_class, path, dict(options), f"sftp://{host}/{path.lstrip('/')}")
    storage, canonical, secrets = storage_identity([link]), canonical_root(link), secrets_of([link], options)
    identity = hashed(storage, canonical)

    def make(path: str, symlinks: SymlinkPolicy) -> StorageClientProtocol:
        return open_sftp(options, path, symlinks, identity=identity, secrets=secrets)

    return Location(shown_url(link), "sftp", canonical, identity, storage, opening=_Opening(make, path))


def _live_options(filesystem: Any) -> Dict[str, Any]:
    """Return the options of an instance; what was given by position is found in its attributes."""
    attributes = {name: getattr(filesystem, name, None) for name in SELECTING}
    plain = {name: value for name, value in attributes.items() if isinstance(value, (str, int))}
    return {**plain, **filesystem.storage_options}


def _held_by_instance(filesystem: Any, family: str) -> str:
    """Return a mark for content that only this instance can reach, and nothing where others can."""
    if family == "memory":
        from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

        shared = filesystem.store is MemoryFileSystem.store
        return "" if shared else f"{PROCESS_TOKEN} {id(filesystem.store)}"
    if family != "unknown" or any(filesystem is cached for cached in type(filesystem)._cache.values()):  # noqa: SLF001
        return ""
    return f"{PROCESS_TOKEN} {id(filesystem)}"


def _is_upath(spec: Any) -> bool:
    return not isinstance(spec, str) and all(hasattr(spec, name) for name in ("protocol", "storage_options", "path"))


def _upath(spec: Any) -> Location:
    # Handed to fsspec as it is, a remote UPath becomes a path below the current folder.
    if spec.protocol in ("", *_LOCAL_PROTOCOLS):
        return _local(str(spec.path))
    filesystem_class = class_of(spec.protocol)
    if is_sshfs(filesystem_class):
        options = configured_options(filesystem_class, spec.protocol, spec.storage_options)
        return _sshfs(filesystem_class, options, spec.path)
    return _live(spec.fs, spec.path)


def _client(client: Any) -> Location:
    identity = getattr(client, "identity", None)
    if not isinstance(identity, str) or not hasattr(client, "capabilities"):
        raise RecipeError(f"the storage client {type(client).__name__} needs `identity`, a text, and `capabilities`")

    def make(path: str, symlinks: SymlinkPolicy) -> StorageClientProtocol:
        return client  # type: ignore[no-any-return]

    mark = hashed("client", identity)
    return Location(
        f"client://{type(client).__name__}/{mark[:12]}", "client", "", mark, mark, opening=_Opening(make, "")
    )


# Profiles

_PROTOCOL_KEY = "protocol"
"""What other tools' profiles say besides options; here the URL says it."""


def _profile_options(profile: Optional[str]) -> Dict[str, Any]:
    if profile is None:
        return {}
    from fsspec.config import conf  # type: ignore[import-untyped]

    wanted = profile.casefold().replace("-", "_")
    # The environment's FSSPEC_MY_PROFILE is read by fsspec as the option "profile" of "my".
    head, _, tail = wanted.partition("_")
    for found in (conf.get(profile), conf.get(wanted), conf.get(head, {}).get(tail)):
        if isinstance(found, Mapping):
            return {name: value for name, value in found.items() if name != _PROTOCOL_KEY}
    from difflib import get_close_matches

    near = get_close_matches(profile, sorted(conf), n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(sorted(conf)) or 'none'}"
    raise RecipeError(f"there is no profile {shown(profile)!r} in fsspec's configuration{hint}")
