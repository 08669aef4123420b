"""Files of this machine, through the system's own calls.

What is written appears all at once: content goes into a draft beside its place (a file without a name where the
system has that, a temporary name elsewhere) and is given its name when it is complete. Nothing is ever written
through a symbolic link that leaves the root. Nothing heavy is imported before it is needed, and the listing does no
more than one ``scandir`` per directory and one ``lstat`` per file.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from functools import lru_cache, wraps
from stat import S_IMODE, S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISLNK, S_ISREG, S_ISSOCK
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple, Type, TypeVar, cast

from ..core.entry import Entry, Extent, Kind, Listed, Problem, ProblemKind, Stamp
from ..core.modes import SymlinkPolicy
from ..core.paths import RESERVED_PREFIX, TEMPORARY_PREFIX, encoded, parent, parents, refusal, shown
from ..errors import (
    AccessDenied,
    NoSpace,
    NotFound,
    PreconditionFailed,
    StorageError,
    Unavailable,
    Unsupported,
)
from .protocol import Capabilities, Expectation, Precondition, Prune, Source, exactly

CHUNK_BYTES = 1024 * 1024
_KERNEL_SLICE_BYTES = 64 * CHUNK_BYTES
_REMEMBERED_DIRECTORIES = 10_000
_NO_STAMP = Stamp()

CAPABILITIES = Capabilities(
    atomic_put=True,
    create_if_absent=True,
    server_copy=True,
    server_move=True,
    set_mtime=True,
    set_mode=True,
    real_directories=True,
    symlinks=True,
    listing_sorted=True,
    mtime_is_content_time=True,
    cheap_reads=True,
    max_name_bytes=255,
    stamps=("size", "mtime_ns", "file_id"),
    windows=(
        ("replace_if_unchanged", "a change made in the instant between the last look and the rename is replaced"),
        ("delete_if_unchanged", "a change made in the instant between the last look and the removal is deleted"),
        (
            "create_if_absent",
            "on a file system without hard links and without exclusive renames, a file created in the instant between "
            "the last look and the rename is replaced",
        ),
    ),
)

_ERRORS: Tuple[Tuple[Type[StorageError], str, Tuple[str, ...]], ...] = (
    (NotFound, "", ("ENOENT", "ENOTDIR")),
    (AccessDenied, "; check who owns it and its permissions", ("EACCES", "EPERM", "EROFS")),
    (PreconditionFailed, "; it is not what was expected there", ("EEXIST", "ENOTEMPTY", "EISDIR", "ELOOP")),
    (NoSpace, "; make room and run again", ("ENOSPC", "EDQUOT", "EFBIG")),
    (
        Unsupported,
        "; the file system cannot do this",
        ("ENAMETOOLONG", "EINVAL", "EILSEQ", "ENOSYS", "EOPNOTSUPP", "EXDEV", "EMLINK"),
    ),
    (
        Unavailable,
        "; try again",
        (
            *("EIO", "ETIMEDOUT", "ESTALE", "EHOSTDOWN", "EHOSTUNREACH", "ENOTCONN", "ENODEV", "ENXIO"),
            *("EAGAIN", "EBUSY", "ETXTBSY", "EMFILE", "ENFILE", "ENOMEM"),
        ),
    ),
)
_BY_NUMBER = {
    getattr(errno, name): (error_type, hint)
    for error_type, hint, names in _ERRORS
    for name in names
    if hasattr(errno, name)
}
# Files without a name appear in their place by a link from the process's own table of open files.
_CAN_BE_NAMELESS = hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd")
_NO_NAMELESS_FILES = (errno.EISDIR, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT)
_NO_EXCLUSIVE_RENAME = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
# What a file system answers that has no hard links, or not between these two places.
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
_NO_KERNEL_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSOCK, errno.EPERM)
_SPECIAL_KINDS: Tuple[Tuple[Callable[[int], bool], str], ...] = (
    (S_ISFIFO, "a named pipe"),
    (S_ISSOCK, "a socket"),
    (S_ISCHR, "a character device"),
    (S_ISBLK, "a block device"),
)

_Method = TypeVar("_Method", bound=Callable[..., Any])
_Identity = Tuple[int, int]


def translated(error: OSError, path: str) -> StorageError:
    """Return the StorageError that says what *error* of the system means for *path*."""
    error_type, hint = _BY_NUMBER.get(error.errno or 0, (StorageError, ""))
    reason = (error.strerror or str(error)).lower()
    return error_type(f"{shown(path) or 'the root'}: {reason}{hint}", path=path)


def _translating(method: _Method) -> _Method:
    """Make *method*, whose first argument is a path, raise StorageError where the system raises OSError."""

    @wraps(method)
    def translating(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return method(self, *arguments, **options)
        except OSError as error:
            path = arguments[0] if arguments else next(iter(options.values()))
            raise translated(error, path) from error

    return cast(_Method, translating)


class LocalSource:
    """One version of a local file, open for reading inside a ``with`` block.

    ``descriptor`` lets a writer of this package have the kernel copy the bytes of this very version.
    """

    __slots__ = (
        *("descriptor", "local_path", "mode", "size", "stamp"),
        *("_expect", "_first", "_flags", "_look", "_path", "_place"),
    )

    def __init__(self, path: str, place: str, *, expect: Optional[Stamp], follow: bool) -> None:
        self.size: Optional[int] = None
        self.local_path: Optional[str] = place
        self.descriptor = -1
        self.stamp = _NO_STAMP
        self.mode = 0
        self._path = path
        self._place = place
        self._expect = expect
        self._look = os.stat if follow else os.lstat
        # A named pipe that took the file's place must not make the opening wait for a writer.
        self._flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        self._first: Tuple[int, ...] = ()

    def __enter__(self) -> LocalSource:
        try:
            self.descriptor = os.open(self._place, self._flags)
        except OSError as error:
            raise translated(error, self._path) from error
        try:
            self._accept(os.fstat(self.descriptor))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        # The number will soon mean another file; nobody may read that through this one.
        descriptor, self.descriptor = self.descriptor, -1
        os.close(descriptor)

    def _accept(self, found: os.stat_result) -> None:
        if not S_ISREG(found.st_mode):
            kind = _entry(self._path, found).kind.value
            raise PreconditionFailed(f"{shown(self._path)}: it is a {kind}, not a file", path=self._path)
        self.stamp = _stamp(found)
        self.size = found.st_size
        self.mode = S_IMODE(found.st_mode)
        self._first = _version(found)
        if self._expect is not None and self._expect != self.stamp:
            exactly(self._expect).check(_entry(self._path, found), self._path)

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes, all of them if negative, and ``b""`` at the end."""
        try:
            if size >= 0:
                return os.read(self.descriptor, size)
            return b"".join(iter(lambda: os.read(self.descriptor, CHUNK_BYTES), b""))
        except OSError as error:
            raise translated(error, self._path) from error

    def verify(self) -> Stamp:
        """Return the stamp of what was read; raises PreconditionFailed where the file has changed or was replaced."""
        try:
            # The same inode under the name is the one that is open, so one look tells of both.
            unchanged = self._first == _version(self._look(self._place))
        except FileNotFoundError:
            unchanged = False
        except OSError as error:
            raise translated(error, self._path) from error
        if not unchanged:
            raise PreconditionFailed(f"{shown(self._path)}: it changed while it was being read", path=self._path)
        return self.stamp


class LocalStorageClient:
    """A directory of this machine; safe to call from several threads, fastest from one.

    *root* may be missing until something is written below it. *identity* is what makes two clients the same storage;
    by default the root with all links resolved. *symlinks* says what is done with symbolic links: ``SKIP`` reports
    them, ``PRESERVE`` keeps them as links, ``FOLLOW`` takes what they lead to. A link itself is never written
    through: writing, moving or deleting at its name acts on the link.
    """

    def __init__(
        self, root: str, *, symlinks: SymlinkPolicy = SymlinkPolicy.SKIP, identity: Optional[str] = None
    ) -> None:
        self.root = os.path.abspath(root)
        self.symlinks = symlinks
        self.capabilities = CAPABILITIES
        self.identity = "file://" + os.path.realpath(self.root) if identity is None else identity
        self._base = self.root.rstrip("/") + "/"
        self._follow = symlinks is SymlinkPolicy.FOLLOW
        self._root: Optional[_Identity] = None
        self._directories: Dict[str, _Identity] = {}
        self._devices: Set[int] = set()

    def list(self, prefix: str = "", *, prune: Optional[Prune] = None) -> Iterator[Listed]:
        """Yield what lies below *prefix*, sorted by position; raises where the prefix itself cannot be listed."""
        place = self._place(prefix) if prefix else self._base
        try:
            if prefix and not self._follow and S_ISLNK(os.lstat(place).st_mode):
                raise NotFound(f"{shown(prefix)}: a symbolic link is not followed", path=prefix)
            self._root = _identity(os.stat(self._base))
            walk = _Walk(self._base, self._root, self.symlinks, prune)
            walk.open(prefix)
        except OSError as error:
            raise translated(error, prefix) from error
        yield from walk.entries()

    @_translating
    def stat(self, path: str) -> Optional[Entry]:
        """Look at one path; raises Unsupported for what is neither file nor directory nor link."""
        if path:
            return self._look(path)
        try:
            found = os.stat(self.root)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if S_ISDIR(found.st_mode):
            self._root = _identity(found)
        return _entry("", found)

    def read(self, path: str, *, expect: Optional[Stamp] = None) -> LocalSource:
        """Open one version for reading; raises PreconditionFailed where it is not the expected one."""
        return LocalSource(path, self._place(path), expect=expect, follow=self._follow)

    @_translating
    def write(
        self,
        path: str,
        content: Source,
        *,
        expect: Precondition,
        mtime_ns: Optional[int] = None,
        mode: Optional[int] = None,
    ) -> Stamp:
        """Write a file, all or nothing, parents included, and return the stamp of the very bytes written.

        A new file gets the permissions the umask leaves, a replaced one keeps its own, unless *mode* is given.
        *content* may have ``descriptor``, an open file at its start, and ``advance``, called with the number of
        bytes that the kernel copied without ``read``.
        """
        place = self._place(path)
        directory = self._directory(path, make=True)
        creating = expect.demand is Expectation.ABSENT
        if not creating:
            replaced = self._expected(path, expect)
            mode = replaced.mode if mode is None and replaced is not None else mode
        with _Draft(path, directory, nameless=creating, private=mode is not None) as draft:
            draft.fill(content)
            content.verify()
            stamp = draft.finished(mtime_ns, mode)
            if creating:
                draft.create(place)
            else:
                # RACE: a version that appears between this look and the rename is replaced; see the windows.
                self._expected(path, expect)
                draft.replace(place)
        return stamp

    @_translating
    def copy(self, old: str, new: str, *, expect: Precondition, expect_origin: Optional[Stamp] = None) -> Stamp:
        """Copy *old* to *new* inside the kernel, with its modification time and permissions."""
        origin = self._origin(old, expect_origin)
        if origin.kind is Kind.SYMLINK and self.symlinks is SymlinkPolicy.PRESERVE:
            return self.write_link(new, origin.link or "", expect=expect)
        with self.read(old, expect=expect_origin) as content:
            return self.write(new, content, expect=expect, mtime_ns=content.stamp.mtime_ns, mode=content.mode)

    @_translating
    def move(self, old: str, new: str, *, expect: Precondition, expect_origin: Optional[Stamp] = None) -> Stamp:
        """Rename *old* to *new*, parents included; a followed link becomes a file at its new name."""
        origin = self._origin(old, expect_origin)
        old_place, new_place = self._safe_place(old), self._safe_place(new, make=True)
        if self._is_followed_link(old_place):
            stamp = self.copy(old, new, expect=expect, expect_origin=expect_origin)
            os.unlink(old_place)
            return stamp
        if expect.demand is not Expectation.ABSENT:
            self._expected(new, expect)
            _rename_over(old_place, new_place)
            return origin.stamp
        try:
            _rename_exclusively(old_place, new_place)
        except FileExistsError as error:
            raise translated(error, new) from error
        return origin.stamp

    @_translating
    def preserve(self, path: str, new: str, *, expect: Precondition) -> Stamp:
        """Make the version at *path* also available at *new*, which must be free: by a hard link, or else a copy."""
        found = self._expected(path, expect)
        if found is None:
            raise NotFound(f"{shown(path)}: there is nothing to preserve", path=path)
        place, new_place = self._safe_place(path), self._safe_place(new, make=True)
        if self._is_followed_link(place) or not _linked(place, new_place):
            return self.copy(path, new, expect=Precondition(Expectation.ABSENT), expect_origin=found.stamp)
        linked = _entry(new, os.lstat(new_place), new_place)
        if linked.stamp != found.stamp:
            # Another version took the name between the look and the link; the one that was meant is gone already.
            os.unlink(new_place)
            raise PreconditionFailed(f"{shown(path)}: it has changed", path=path)
        return linked.stamp

    @_translating
    def delete(self, path: str, *, expect: Precondition) -> None:
        """Delete one file or link; what is gone already is gone, unless *expect* names a version."""
        if self._expected(path, expect) is not None:
            # RACE: a version that appears between the look and this is deleted; see the windows.
            os.unlink(self._safe_place(path))

    @_translating
    def make_directory(self, path: str) -> None:
        """Make a directory, parents included; the empty path is the root."""
        if not path:
            self._root = None
            self._check_root(make=True)
            return
        self._place(path)
        self._check_directories(path, make=True)

    @_translating
    def remove_directory(self, path: str) -> None:
        """Remove a directory only if it is empty; raises PreconditionFailed where it is not, or is no directory."""
        if self._look(path) is None:
            return
        self._directories.pop(path, None)
        try:
            os.rmdir(self._safe_place(path))
        except NotADirectoryError as error:
            raise PreconditionFailed(f"{shown(path)}: it is not a directory", path=path) from error

    def digest(self, path: str, algorithm: str, *, expect: Optional[Stamp] = None) -> str:
        """Return ``algorithm:value`` of exactly the expected version; raises Unsupported for a foreign algorithm."""
        from .digests import digest_of

        with self.read(path, expect=expect) as content:
            return digest_of(content, algorithm)

    @_translating
    def set_mode(self, path: str, mode: int, *, expect: Precondition) -> Stamp:
        """Set the permission bits of a file, never through a link, and return its stamp."""
        descriptor = os.open(self._safe_place(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            found = _entry(path, os.fstat(descriptor))
            expect.check(found, path)
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
        return found.stamp

    @_translating
    def write_link(self, path: str, target: str, *, expect: Precondition) -> Stamp:
        """Put a symbolic link with the literal *target* at *path*, all or nothing."""
        place = self._place(path)
        directory = self._directory(path, make=True)
        if expect.demand is Expectation.ABSENT:
            os.symlink(target, place)
            return _stamp(os.lstat(place))
        from .temporary import temporary

        with temporary() as name:
            draft = directory + name
            os.symlink(target, draft)
            try:
                stamp = _stamp(os.lstat(draft))
                self._expected(path, expect)
                # replace() takes the name away from the draft; the removal below is for every other way out.
                os.replace(draft, place)
            except BaseException:
                os.unlink(draft)
                raise
        return stamp

    def flush(self) -> None:
        """Return once everything written so far survives a power cut."""
        try:
            device = os.stat(self._base).st_dev
            if self._devices <= {device}:
                _flush_file_system(self._base)
            else:
                os.sync()
        except OSError as error:
            raise translated(error, "") from error

    @_translating
    def sweep(self, path: str) -> bool:
        """Delete a temporary file if its writer is dead; say whether it was deleted."""
        import time

        from .temporary import is_abandoned, is_temporary

        place = self._place(path)
        name = path.rpartition("/")[2]
        try:
            # The time of content may have been set into the past already; that of the inode cannot be.
            age = time.time() - os.lstat(place).st_ctime
        except FileNotFoundError:
            return False
        if not is_temporary(name) or not is_abandoned(name, age):
            return False
        os.unlink(self._safe_place(path))
        return True

    def close(self) -> None:
        """Forget which directories were found to be safe."""
        self._directories.clear()

    def _place(self, path: str) -> str:
        reason = refusal(path)
        if reason is not None:
            raise Unsupported(f"{shown(path)!r} cannot be a path below a root: it {reason}", path=path)
        return self._base + path

    def _look(self, path: str) -> Optional[Entry]:
        place = self._place(path)
        try:
            found = os.lstat(place)
            if self._follow and S_ISLNK(found.st_mode):
                found = _followed(place, found)
            return _entry(path, found, place)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _expected(self, path: str, expect: Precondition) -> Optional[Entry]:
        found = self._look(path)
        expect.check(found, path)
        return found

    def _origin(self, path: str, expect: Optional[Stamp]) -> Entry:
        found = self._look(path)
        if expect is not None:
            exactly(expect).check(found, path)
        if found is None:
            raise NotFound(f"{shown(path)}: there is nothing there", path=path)
        return found

    def _is_followed_link(self, place: str) -> bool:
        return self._follow and os.path.islink(place)

    def _safe_place(self, path: str, *, make: bool = False) -> str:
        """Return where *path* is once its parents are known to lie below the root; made where asked."""
        place = self._place(path)
        self._directory(path, make=make)
        return place

    def _directory(self, path: str, *, make: bool = False) -> str:
        """Return the place of the directory that holds *path*, a valid key, once it is known to lie below the root.

        RACE: a directory that is exchanged for a link between this look and the use of the result is followed once.
        Worst case, one file lands outside the root; it never replaces anything there that was not looked at.
        """
        key = parent(path)
        known = self._directories.get(key)
        if known is None or known != _identity_at(self._base + key):
            self._check_directories(key, make=make)
        return self._base + key + "/" if key else self._base

    def _check_directories(self, key: str, *, make: bool) -> None:
        self._check_root(make=make)
        for directory in (*parents(key), key) if key else ():
            found = _looked_at_or_made(self._base + directory, make=make)
            if S_ISLNK(found.st_mode):
                self._check_link(directory)
            elif not S_ISDIR(found.st_mode):
                reason = "a file stands where a directory is needed"
                raise PreconditionFailed(f"{shown(directory)}: {reason}", path=directory)
            self._remember(directory, found)

    def _check_root(self, *, make: bool) -> None:
        try:
            found = os.stat(self._base)
        except FileNotFoundError:
            # A root that was there before is not made anew: it may be a disk that was unmounted.
            if self._root is not None or not make:
                raise NotFound("the root is missing; check that it is mounted", path="") from None
            os.makedirs(self.root, exist_ok=True)
            found = os.stat(self._base)
        if self._root not in (None, _identity(found)):
            raise NotFound("another directory stands at the root now; scan it again", path="")
        self._root = _identity(found)
        self._remember("", found)

    def _check_link(self, directory: str) -> None:
        resolved = os.path.realpath(self._base + directory) + "/"
        inside = resolved.startswith(os.path.realpath(self.root).rstrip("/") + "/")
        if self._follow and inside and os.path.isdir(resolved):
            return
        reason = "nothing is written through this symbolic link"
        raise PreconditionFailed(f"{shown(directory)}: {reason}", path=directory)

    def _remember(self, directory: str, found: os.stat_result) -> None:
        if len(self._directories) >= _REMEMBERED_DIRECTORIES:
            self._directories.clear()
        self._directories[directory] = _identity(found)
        self._devices.add(found.st_dev)


_Level = Tuple[str, Iterator[str], Optional[_Identity]]


class _Walk:
    """One listing: a stack of open directories, each with the names in it that are still to come."""

    def __init__(self, base: str, root: _Identity, symlinks: SymlinkPolicy, prune: Optional[Prune]) -> None:
        self._base = base
        self._root = root
        self._preserve = symlinks is SymlinkPolicy.PRESERVE
        self._follow = symlinks is SymlinkPolicy.FOLLOW
        self._prune = prune
        self._stack: List[_Level] = []
        self._odd: Dict[str, Problem] = {}

    def open(self, directory: str) -> None:
        """Read the names in *directory* and make it the one that is walked next; raises OSError."""
        place = self._base + directory
        identity = self._unlooped(place) if self._follow else None
        with os.scandir(place) as found:
            if self._follow:
                names = [entry.name + "/" if _leads_to_directory(entry) else entry.name for entry in found]
            else:
                names = [entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in found]
        inside = directory + "/" if directory else ""
        names = self._ordered(inside, names)
        if self._prune is not None:
            self._prune.enter(directory, [name.rstrip("/") for name in names])
        self._stack.append((inside, iter(names), identity))

    def entries(self) -> Iterator[Listed]:
        """Yield everything below the opened directory, depth first, which is key order."""
        base, stack, odd = self._base, self._stack, self._odd
        look = os.stat if self._follow else os.lstat
        item: Optional[Listed]
        while stack:
            inside, names, _ = stack[-1]
            for name in names:
                path = inside + name
                if odd and path in odd:
                    yield odd.pop(path)
                    continue
                if name[-1] == "/":
                    item = self._entered(path[:-1])
                    if item is not None:
                        yield item
                    # Whether it was entered or not, the place to go on is the top of the stack.
                    break
                try:
                    found = look(base + path)
                except OSError as error:
                    item = self._unseen(path, error)
                else:
                    mode = found.st_mode
                    if mode & 0o170000 == 0o100000:
                        # Written out and by position: this runs once for every file there is.
                        stamp = Stamp(found.st_size, found.st_mtime_ns, None, None, (), str(found.st_ino))
                        item = Entry(path, Kind.FILE, stamp, mode & 0o7777)
                    else:
                        item = self._special(path, found)
                if item is not None:
                    yield item
            else:
                stack.pop()

    def _unlooped(self, place: str) -> _Identity:
        identity = _identity(os.stat(place))
        if any(identity == above for _, _, above in self._stack):
            raise OSError(errno.ELOOP, "a symbolic link that leads back to a directory above it")
        return identity

    def _ordered(self, inside: str, names: List[str]) -> List[str]:
        joined = "\0".join(names)
        if RESERVED_PREFIX in joined:
            names = [name for name in names if not self._is_reserved(inside, name)]
        if not inside and ":" in joined:
            names = [self._checked(name) for name in names]
        # Only where all names are ASCII is the order of characters known to be the order of bytes.
        return sorted(names) if joined.isascii() else sorted(names, key=encoded)

    def _is_reserved(self, inside: str, name: str) -> bool:
        """Say whether a name is to be jumped over; a temporary file is reported instead."""
        if not name.startswith(RESERVED_PREFIX):
            return False
        if name.endswith("/") or not name.startswith(TEMPORARY_PREFIX):
            return True
        message = "a temporary file that is being written, or that a killed run left behind"
        path = inside + name
        self._odd[path] = Problem(ProblemKind.LEFTOVER, path, message, extent=Extent.NOTHING)
        return False

    def _checked(self, name: str) -> str:
        plain = name.rstrip("/")
        reason = refusal(plain)
        if reason is None:
            return name
        message = f"its name {reason}, so it cannot be synced; rename it"
        self._odd[plain] = Problem(ProblemKind.BAD_NAME, plain, message, extent=Extent.NOTHING)
        return plain

    def _entered(self, path: str) -> Optional[Listed]:
        """Open the directory *path* unless it is pruned, and return what is to be said about it."""
        if self._prune is None or not self._prune(path):
            try:
                self.open(path)
            except FileNotFoundError:
                self._check_root()
                return None
            except OSError as error:
                return _problem(error, path, Extent.SUBTREE)
        return Entry(path, Kind.DIRECTORY, _NO_STAMP)

    def _unseen(self, path: str, error: OSError) -> Optional[Problem]:
        if self._follow and error.errno in (errno.ENOENT, errno.ELOOP) and os.path.islink(self._base + path):
            return Problem(ProblemKind.UNSUPPORTED, path, "a symbolic link that leads nowhere")
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            self._check_root()
            return None
        return _problem(error, path, Extent.PATH)

    def _check_root(self) -> None:
        """Let what is gone count as deleted, unless it went with the root: then nothing at all is known."""
        if _identity_at(self._base) != self._root:
            raise NotFound("the root disappeared while it was being listed; check that it is mounted", path="")

    def _special(self, path: str, found: os.stat_result) -> Optional[Listed]:
        try:
            entry = _entry(path, found, self._base + path)
        except OSError as error:
            return self._unseen(path, error)
        except Unsupported as error:
            return Problem(ProblemKind.UNSUPPORTED, path, str(error))
        if entry.kind is Kind.DIRECTORY:
            return Problem(ProblemKind.CHANGED, path, "it became a directory while it was being listed")
        if not self._preserve:
            return Problem(ProblemKind.UNSUPPORTED, path, "a symbolic link was skipped; see the option symlinks")
        return entry


class _Draft:
    """A file in the making, beside its place; what is not placed at the end of the block is gone without a trace.

    Where the system can, it has no name, so that not even a killed process leaves it behind. Only a new file can be
    placed that way; one that replaces another is renamed from a temporary name.
    """

    def __init__(self, path: str, directory: str, *, nameless: bool, private: bool) -> None:
        self._path = path
        self._directory = directory
        self._nameless = nameless and _CAN_BE_NAMELESS
        # Nobody may read what will be private before it is.
        self._permissions = 0o600 if private else 0o666
        self._name: Optional[str] = None
        self._descriptor = -1

    def __enter__(self) -> _Draft:
        if self._nameless:
            self._descriptor = self._opened_nameless()
        if self._descriptor < 0:
            self._open_named()
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()
        if self._name is not None:
            self._discard(self._name)

    def fill(self, content: Source) -> None:
        """Take in all of *content*; raises PreconditionFailed where its length is not what it said."""
        moved = self._filled(content)
        if content.size is not None and moved != content.size:
            reason = f"{moved:,} bytes came where {content.size:,} were expected"
            raise PreconditionFailed(f"{shown(self._path)}: {reason}", path=self._path)

    def finished(self, mtime_ns: Optional[int], mode: Optional[int]) -> Stamp:
        """Set what is to be set and return the stamp, which stays true under the final name."""
        if mode is not None:
            os.fchmod(self._descriptor, mode)
        if mtime_ns is not None:
            os.utime(self._descriptor, ns=(mtime_ns, mtime_ns))
        return _stamp(os.fstat(self._descriptor))

    def create(self, place: str) -> None:
        """Give the file its name, which must be free."""
        if self._name is None:
            own = f"/proc/self/fd/{self._descriptor}"
            # The descriptor of a directory is not looked at for an absolute path, but it makes the call follow links.
            os.link(own, place, src_dir_fd=self._descriptor, follow_symlinks=True)
            return
        self._close()
        _rename_exclusively(self._directory + self._name, place)
        self._forget_name()

    def replace(self, place: str) -> None:
        """Give the file its name, in place of what has it now."""
        # Some network file systems report a full disk no earlier than when the file is closed.
        self._close()
        os.replace(f"{self._directory}{self._name}", place)
        self._forget_name()

    def _opened_nameless(self) -> int:
        try:
            return os.open(self._directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, self._permissions)
        except OSError as error:
            if error.errno not in _NO_NAMELESS_FILES:
                raise
            return -1

    def _open_named(self) -> None:
        from .temporary import temporary_name

        self._name = temporary_name()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._directory + self._name, flags, self._permissions)
        except BaseException:
            self._forget_name()
            raise

    def _filled(self, content: Source) -> int:
        advance = getattr(content, "advance", None)
        descriptor = getattr(content, "descriptor", None)
        if descriptor is not None and content.size is not None:
            return _poured(descriptor, self._descriptor, content.size, advance)
        if content.local_path is not None:
            return self._filled_from(content.local_path, advance)
        return sum(_written(self._descriptor, data) for data in iter(lambda: content.read(CHUNK_BYTES), b""))

    def _filled_from(self, local_path: str, advance: Optional[Callable[[int], None]]) -> int:
        descriptor = os.open(local_path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _poured(descriptor, self._descriptor, os.fstat(descriptor).st_size, advance)
        finally:
            os.close(descriptor)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _discard(self, name: str) -> None:
        self._forget_name()
        with suppress(FileNotFoundError):
            os.unlink(self._directory + name)

    def _forget_name(self) -> None:
        from .temporary import release

        release(self._name or "")
        self._name = None


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino


def _identity_at(place: str) -> Optional[_Identity]:
    try:
        return _identity(os.lstat(place))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _version(found: os.stat_result) -> Tuple[int, ...]:
    # The time of the inode moves with every write and rename and cannot be set back.
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_size, found.st_mtime_ns, None, None, (), str(found.st_ino))


def _entry(path: str, found: os.stat_result, place: str = "") -> Entry:
    mode = found.st_mode
    if S_ISREG(mode):
        return Entry(path, Kind.FILE, _stamp(found), S_IMODE(mode))
    if S_ISDIR(mode):
        return Entry(path, Kind.DIRECTORY, _NO_STAMP)
    if S_ISLNK(mode):
        return Entry(path, Kind.SYMLINK, _stamp(found), None, os.readlink(place))
    name = next((name for matches, name in _SPECIAL_KINDS if matches(mode)), "neither a file nor a directory")
    raise Unsupported(f"{shown(path)}: it is {name}, which cannot be synced", path=path)


def _problem(error: OSError, path: str, extent: Extent) -> Problem:
    from .translation import problem_from

    if error.errno == errno.ELOOP:
        return Problem(ProblemKind.UNSUPPORTED, path, f"{shown(path)}: {error.strerror}", extent=extent)
    return problem_from(translated(error, path), path, extent=extent)


def _leads_to_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link in a circle or into a closed directory: looking at it as at a file tells what is wrong.
        return False


def _followed(place: str, link: os.stat_result) -> os.stat_result:
    """Look at what a link leads to, or at the link itself where it leads nowhere."""
    try:
        return os.stat(place)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return link
        raise


def _looked_at_or_made(place: str, *, make: bool) -> os.stat_result:
    try:
        return os.lstat(place)
    except FileNotFoundError:
        if not make:
            raise
    # Where another worker made it, or something else took the name, the look decides.
    with suppress(FileExistsError):
        os.mkdir(place)
    return os.lstat(place)


def _linked(place: str, new_place: str) -> bool:
    """Make a hard link; say whether there can be one."""
    try:
        os.link(place, new_place, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_HARD_LINKS:
            return False
        raise
    return True


def _rename_over(old: str, new: str) -> None:
    before = os.lstat(old)
    os.replace(old, new)
    # To rename onto another hard link of the same file does nothing. Where case is folded both names may be one.
    if before.st_nlink > 1 and old.casefold() != new.casefold() and _identity_at(old) == _identity(before):
        os.unlink(old)


def _rename_exclusively(old: str, new: str) -> None:
    """Rename without ever replacing anything; raises FileExistsError."""
    if _renamed_by_kernel(old, new):
        return
    if _linked(old, new):
        os.unlink(old)
        return
    # RACE: neither of the ways that cannot overwrite is there; see the windows.
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(old, new)


@lru_cache(maxsize=1)
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _renamed_by_kernel(old: str, new: str) -> bool:
    """Rename by the one call that refuses to replace; say whether the system has it."""
    import ctypes

    at_working_directory, no_replace = -100, 1
    rename = getattr(_libc(), "renameat2", None)
    if rename is None:
        return False
    if rename(at_working_directory, os.fsencode(old), at_working_directory, os.fsencode(new), no_replace) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCLUSIVE_RENAME:
        return False
    raise OSError(number, os.strerror(number))


def _flush_file_system(place: str) -> None:
    import ctypes

    flush = getattr(_libc(), "syncfs", None)
    if flush is None:
        os.sync()
        return
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if flush(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def _copied_by_kernel(origin: int, target: int, count: int) -> int:
    return os.copy_file_range(origin, target, count)


def _sent_by_kernel(origin: int, target: int, count: int) -> int:
    return os.sendfile(target, origin, None, count)


def _copied_by_hand(origin: int, target: int, count: int) -> int:
    return _written(target, os.read(origin, min(count, CHUNK_BYTES)))


_COPIERS = (
    *((_copied_by_kernel,) if hasattr(os, "copy_file_range") else ()),
    *((_sent_by_kernel,) if hasattr(os, "sendfile") else ()),
    _copied_by_hand,
)


def _poured(origin: int, target: int, size: int, advance: Optional[Callable[[int], None]]) -> int:
    """Copy *size* bytes between two open files, by the kernel where it can, and return how many there were."""
    moved = 0
    for copier in _COPIERS:
        while moved < size:
            try:
                count = copier(origin, target, min(size - moved, _KERNEL_SLICE_BYTES))
            except OSError as error:
                if copier is _copied_by_hand or error.errno not in _NO_KERNEL_COPY:
                    raise
                break
            if count == 0:
                break
            moved += count
            if advance is not None:
                advance(count)
    return moved


def _written(target: int, data: bytes) -> int:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]
    return len(data)
