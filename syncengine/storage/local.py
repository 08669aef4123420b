"""Files of this machine, through the system's own calls.

The client's methods are here; what they stand on is beside them: ``local_listing`` walks, ``local_reading`` opens one
version, ``local_writing`` makes drafts and renames, ``local_facts`` says what the system's answers mean. Nothing is
ever written through a symbolic link that leaves the root. Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import os
from functools import partial, wraps
from stat import S_ISDIR, S_ISLNK
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Optional, Set, Tuple, TypeVar, cast

from attrs import evolve

from ..core.entry import Entry, Kind, Listed, Stamp
from ..core.modes import SymlinkPolicy
from ..core.packs import Listing, Packed
from ..core.paths import parent, parents, refusal, shown
from ..errors import NotFound, PreconditionFailed, StorageError, Unsupported
from . import local_writing
from .local_ahead import read_ahead
from .local_facts import Identity, entry_of, folds_case, followed, identity_at, identity_of, stamp_of, translated
from .local_listing import Walk
from .local_reading import LocalSource
from .local_small import SMALL_BYTES, copied
from .local_unicode import unicode_form_of
from .local_writing import Draft, flush_file_system, hard_linked, looked_at_or_made, rename_exclusively, rename_over
from .protocol import Capabilities, Expectation, Precondition, Prune, Source, exactly

if TYPE_CHECKING:
    from .local_small import Content, File, Folder, Folders

_REMEMBERED_DIRECTORIES = 10_000

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

_Method = TypeVar("_Method", bound=Callable[..., Any])


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
        case, form = folds_case(self.root), unicode_form_of(self.root)
        folds = case or form is not None
        self.capabilities = evolve(CAPABILITIES, case_insensitive=case, unicode_form=form) if folds else CAPABILITIES
        self.identity = "file://" + os.path.realpath(self.root) if identity is None else identity
        self._base = self.root.rstrip("/") + "/"
        self._follow = symlinks is SymlinkPolicy.FOLLOW
        self._root: Optional[Identity] = None
        self._directories: Dict[str, Identity] = {}
        self._devices: Set[int] = set()

    def list(self, prefix: str = "", *, prune: Optional[Prune] = None) -> Iterator[Listed]:
        """Yield what lies below *prefix*, sorted by position; raises where the prefix itself cannot be listed."""
        packed = partial(self._listed, prefix, packed=True)
        return Listing(
            partial(self._listed, prefix, prune, packed=False),
            partial(packed, prune),
            lambda: read_ahead(packed, prune),
        )

    def _listed(self, prefix: str, prune: Optional[Prune], *, packed: bool) -> Iterator[Packed]:
        place = self._place(prefix) if prefix else self._base
        try:
            if prefix and not self._follow and S_ISLNK(os.lstat(place).st_mode):
                raise NotFound(f"{shown(prefix)}: a symbolic link is not followed", path=prefix)
            self._root = identity_of(os.stat(self._base))
            walk = Walk(self._base, self._root, self.symlinks, prune, packed=packed)
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
            self._root = identity_of(found)
        return entry_of("", found)

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
        with Draft(path, directory, nameless=creating, private=mode is not None) as draft:
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

    def copy_small(
        self,
        origin: LocalStorageClient,
        old: str,
        new: str,
        *,
        expect_origin: Stamp,
        mtime_ns: Optional[int],
        mode: Optional[int],
    ) -> Optional[Tuple[Stamp, Stamp]]:
        """Copy a small file of *origin* to the free name *new*, parents included; return what was read and written.

        None means that nothing was done: ``read`` and ``write`` do it, or say why it cannot be done.
        """
        file = small_file(old, new, expect_origin, mtime_ns, mode)
        folders = None if file is None else self.small_folders(origin, parent(old), parent(new))
        made = None if folders is None or file is None else copied(folders, (file,))[0]
        return None if made is None else (expect_origin, Stamp(made[0], made[1], None, None, (), made[2]))

    def small_folders(self, origin: LocalStorageClient, old: str, new: str) -> Optional[Folders]:
        """Return what ``local_small.copied`` needs to know of a folder of *origin* and of the folder *new*, made here.

        None where it cannot copy there. That the folder is still the one that was found is looked at before it copies.
        """
        folder = None if origin._follow else self.small_folder(new)
        if folder is None or (old and refusal(old) is not None):
            return None
        place = _encoded(origin._base + old)
        return None if place is None else (place, *folder)

    def small_folder(self, new: str) -> Optional[Folder]:
        """Return what ``local_small.written`` needs to know of the folder *new*, made here; None where it cannot."""
        place = _encoded(self._base + new) if local_writing.CAN_BE_NAMELESS else None
        if place is None:
            return None
        try:
            if new not in self._directories:
                self._check_directories(new, make=True)
            return (place, *self._directories[new])
        except (OSError, StorageError):
            return None

    def small_write(
        self, path: str, content: bytes, *, mtime_ns: Optional[int], mode: Optional[int]
    ) -> Optional[Tuple[Folder, Content]]:
        """Return what ``local_small.written`` needs to know to write *content* to the free name *path*; None: write it.

        The folders on the way are made here.
        """
        name = _encoded(path.rpartition("/")[2]) if refusal(path) is None else None
        folder = None if name is None else self.small_folder(parent(path))
        return None if folder is None or name is None else (folder, (name, content, mtime_ns, mode))

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
            rename_over(old_place, new_place)
            return origin.stamp
        try:
            rename_exclusively(old_place, new_place)
        except FileExistsError as error:
            raise translated(error, new) from error
        return origin.stamp

    @_translating
    def move_directory(self, old: str, new: str) -> None:
        """Rename a directory with everything in it, parents of *new* included; never over anything."""
        if self._origin(old, None).kind is not Kind.DIRECTORY:
            raise PreconditionFailed(f"{shown(old)}: it is not a directory", path=old)
        old_place, new_place = self._safe_place(old), self._safe_place(new, make=True)
        try:
            rename_exclusively(old_place, new_place)
        except FileExistsError as error:
            raise translated(error, new) from error
        self._directories.clear()

    @_translating
    def change_times(self, directory: str) -> Optional[Iterator[Tuple[str, int]]]:
        """Yield the files below *directory* with the change times of their inodes; None where these prove nothing."""
        from .local_times import change_times, keeps_change_times

        if not keeps_change_times(self._base + directory):
            return None
        return iter(list(change_times(self._base, directory)))

    @_translating
    def preserve(self, path: str, new: str, *, expect: Precondition) -> Stamp:
        """Make the version at *path* also available at *new*, which must be free: by a hard link, or else a copy."""
        found = self._expected(path, expect)
        if found is None:
            raise NotFound(f"{shown(path)}: there is nothing to preserve", path=path)
        place, new_place = self._safe_place(path), self._safe_place(new, make=True)
        if self._is_followed_link(place) or not hard_linked(place, new_place):
            return self.copy(path, new, expect=Precondition(Expectation.ABSENT), expect_origin=found.stamp)
        linked = entry_of(new, os.lstat(new_place), new_place)
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
            found = entry_of(path, os.fstat(descriptor))
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
            return stamp_of(os.lstat(place))
        from .temporary import temporary

        with temporary() as name:
            draft = directory + name
            os.symlink(target, draft)
            try:
                stamp = stamp_of(os.lstat(draft))
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
                flush_file_system(self._base)
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
                found = followed(place, found)
            return entry_of(path, found, place)
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
        if known is None or known != identity_at(self._base + key):
            self._check_directories(key, make=make)
        return self._base + key + "/" if key else self._base

    def _check_directories(self, key: str, *, make: bool) -> None:
        self._check_root(make=make)
        for directory in (*parents(key), key) if key else ():
            found = looked_at_or_made(self._base + directory, make=make)
            if S_ISLNK(found.st_mode):
                self._check_link(directory)
            elif not S_ISDIR(found.st_mode):
                reason = "a file stands where a directory is needed"
                raise PreconditionFailed(f"{shown(directory)}: {reason}", path=directory)
            self._remember(directory, found)

    def _check_root(self, *, make: bool) -> None:
        # Asked before the look: another thread may make the root right after it, and that one did not stand before.
        stood = self._root is not None
        try:
            found = os.stat(self._base)
        except FileNotFoundError:
            # A root that was there before is not made anew: it may be a disk that was unmounted.
            if stood or not make:
                raise NotFound("the root is missing; check that it is mounted", path="") from None
            os.makedirs(self.root, exist_ok=True)
            found = os.stat(self._base)
        if self._root not in (None, identity_of(found)):
            raise NotFound("another directory stands at the root now; scan it again", path="")
        self._root = identity_of(found)
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
        self._directories[directory] = identity_of(found)
        self._devices.add(found.st_dev)


def small_file(old: str, new: str, expect: Stamp, mtime_ns: Optional[int], mode: Optional[int]) -> Optional[File]:
    """Return what ``local_small.copied`` needs to know of one file; None where it is none of those it copies."""
    size, sent_ns, number = expect.size, expect.mtime_ns, expect.file_id
    if size is None or size > SMALL_BYTES or sent_ns is None or number is None:
        return None
    if expect.etag is not None or expect.version is not None or expect.digests:
        return None
    if refusal(new) is not None or (old != new and refusal(old) is not None):
        return None
    old_name, new_name = _encoded(old.rpartition("/")[2]), _encoded(new.rpartition("/")[2])
    if old_name is None or new_name is None:
        return None
    return old_name, new_name, (size, sent_ns, number), mtime_ns, mode


def _encoded(name: str) -> Optional[bytes]:
    """Return a name as the system has it, None where this process cannot spell it."""
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:
        return None
