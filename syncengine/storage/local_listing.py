"""The listing of a directory of this machine: one ``scandir`` for each directory, one ``lstat`` for each file.

A walk delivers entry by entry, each looked at when it is asked for, or in packs: then all files of a directory are
looked at while it is open, which spares the system the way to it and this process the making of entries.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import Collection, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ..core.entry import Entry, Extent, Kind, Listed, Problem, ProblemKind, Stamp
from ..core.modes import SymlinkPolicy
from ..core.packs import Packed, Run, plain
from ..core.paths import RESERVED_PREFIX, encoded, refusal, shown
from ..errors import NotFound, Unsupported
from .local_facts import NO_STAMP, Identity, entry_of, identity_at, identity_of, translated
from .protocol import Prune

_Piece = Union[str, Packed]
"""What comes next in a directory: the path of a directory in it, or something to deliver."""

_Level = Tuple[Iterator[_Piece], Optional[Identity]]

PACK = 512
"""How many files are looked at together."""

REMEMBERED = 20_000
"""How many files of one directory are held as the system's own records; of larger ones only the names are."""

_BY_DESCRIPTOR = os.scandir in os.supports_fd


class Walk:
    """One listing: a stack of directories, each with what is still to come of it; *packed* delivers packs."""

    def __init__(
        self, base: str, root: Identity, symlinks: SymlinkPolicy, prune: Optional[Prune], *, packed: bool = False
    ) -> None:
        self._base = base
        self._root = root
        self._preserve = symlinks is SymlinkPolicy.PRESERVE
        self._follow = symlinks is SymlinkPolicy.FOLLOW
        self._look = os.stat if self._follow else os.lstat
        self._prune = prune
        self._packed = packed
        self._stack: List[_Level] = []
        self._odd: Dict[str, Problem] = {}

    def open(self, directory: str) -> None:
        """Read the names in *directory* and make it the one that is walked next; raises OSError."""
        place = self._base + directory
        identity = self._unlooped(place) if self._follow else None
        inside = directory + "/" if directory else ""
        if not (self._packed and _BY_DESCRIPTOR):
            names = self._entered_names(directory, inside, self._read(place))
            self._stack.append((self._pieces(inside, names, {}), identity))
            return
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            found = self._read(descriptor)
            names = self._entered_names(directory, inside, found)
            if len(found) > REMEMBERED:
                found = {}
            pieces = self._pieces(inside, names, found)
            # The records look through the descriptor, so all of them are looked at before it is closed.
            self._stack.append((iter(list(pieces)) if found else pieces, identity))
        finally:
            os.close(descriptor)

    def _read(self, place: Union[str, int]) -> Dict[str, os.DirEntry[str]]:
        with os.scandir(place) as found:
            if self._follow:
                return {entry.name + "/" if _leads_to_directory(entry) else entry.name: entry for entry in found}
            return {entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name: entry for entry in found}

    def _entered_names(self, directory: str, inside: str, found: Collection[str]) -> List[str]:
        names = self._ordered(inside, list(found))
        if self._prune is not None:
            plain_names = [name.rstrip("/") for name in names] if "/" in "".join(names) else names
            self._prune.enter(directory, plain_names)
        return names

    def _pieces(self, inside: str, names: List[str], found: Dict[str, os.DirEntry[str]]) -> Iterator[_Piece]:
        """Yield the directories among *names*, and between them the files."""
        first = 0
        for index in self._apart(inside, names):
            yield from self._files(inside, names[first:index], found)
            path = inside + names[index]
            yield self._odd.pop(path) if path in self._odd else path[:-1]
            first = index + 1
        yield from self._files(inside, names[first:] if first else names, found)

    def _apart(self, inside: str, names: List[str]) -> List[int]:
        odd = self._odd
        if not odd and "/" not in "".join(names):
            return []  # no need to look at each: most directories hold files alone
        return [index for index, name in enumerate(names) if name[-1] == "/" or (odd and inside + name in odd)]

    def _files(self, inside: str, names: List[str], found: Dict[str, os.DirEntry[str]]) -> Iterator[Packed]:
        if not self._packed:
            yield from self._one_by_one(inside, names)
            return
        for first in range(0, len(names), PACK):
            together = names[first : first + PACK]
            try:
                looks = self._looks(inside, together, found)
                stamps = [plain(look.st_size, look.st_mtime_ns, look.st_ino) for look in looks]
            except (OSError, struct.error):
                yield from self._one_by_one(inside, together)  # something went, or has numbers beyond 64 bits
                continue
            yield from self._runs(inside, together, [look.st_mode for look in looks], stamps)

    def _looks(self, inside: str, names: List[str], found: Dict[str, os.DirEntry[str]]) -> List[os.stat_result]:
        if found:
            follow = self._follow
            return [found[name].stat(follow_symlinks=follow) for name in names]
        look, place = self._look, self._base + inside
        return [look(place + name) for name in names]

    def _runs(self, inside: str, names: List[str], modes: List[int], stamps: List[bytes]) -> Iterator[Packed]:
        run = Run(inside, names, modes, stamps)
        if all(map(_is_regular, set(modes))):
            yield run
            return
        first = 0
        for index in (index for index, mode in enumerate(modes) if not _is_regular(mode)):
            yield from run.part(first, index)
            yield from self._one_by_one(inside, [names[index]])
            first = index + 1
        yield from run.part(first, len(names))

    def _one_by_one(self, inside: str, names: Sequence[str]) -> Iterator[Listed]:
        base, look = self._base, self._look
        file = Kind.FILE  # looked up once: an enum answers slowly
        item: Optional[Listed]
        for name in names:
            path = inside + name
            try:
                found = look(base + path)
            except OSError as error:
                item = self._unseen(path, error)
            else:
                mode = found.st_mode
                if _is_regular(mode):
                    # Written out and by position: this runs once for every file there is.
                    stamp = Stamp(found.st_size, found.st_mtime_ns, None, None, (), str(found.st_ino))
                    item = Entry(path, file, stamp, mode & 0o7777)
                else:
                    item = self._special(path, found)
            if item is not None:
                yield item

    def entries(self) -> Iterator[Packed]:
        """Yield everything below the opened directory, depth first, which is key order."""
        stack = self._stack
        while stack:
            for piece in stack[-1][0]:
                if not isinstance(piece, str):
                    yield piece
                    continue
                item = self._entered(piece)
                if item is not None:
                    yield item
                # Whether it was entered or not, the place to go on is the top of the stack.
                break
            else:
                stack.pop()

    def _unlooped(self, place: str) -> Identity:
        identity = identity_of(os.stat(place))
        if any(identity == above for _, above in self._stack):
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
        """Say whether a name is to be jumped over; what is not the trash of this root is reported instead."""
        if not name.startswith(RESERVED_PREFIX):
            return False
        from .temporary import reserved_problem

        path = inside + name
        problem = reserved_problem(path.rstrip("/"), directory=name.endswith("/"))
        if problem is None:
            return True
        self._odd[path] = problem
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
        return Entry(path, Kind.DIRECTORY, NO_STAMP)

    def _unseen(self, path: str, error: OSError) -> Optional[Problem]:
        if self._follow and error.errno in (errno.ENOENT, errno.ELOOP) and os.path.islink(self._base + path):
            return Problem(ProblemKind.UNSUPPORTED, path, "a symbolic link that leads nowhere")
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            self._check_root()
            return None
        return _problem(error, path, Extent.PATH)

    def _check_root(self) -> None:
        """Let what is gone count as deleted, unless it went with the root: then nothing at all is known."""
        if identity_at(self._base) != self._root:
            raise NotFound("the root disappeared while it was being listed; check that it is mounted", path="")

    def _special(self, path: str, found: os.stat_result) -> Optional[Listed]:
        try:
            entry = entry_of(path, found, self._base + path)
        except OSError as error:
            return self._unseen(path, error)
        except Unsupported as error:
            return Problem(ProblemKind.UNSUPPORTED, path, str(error))
        if entry.kind is Kind.DIRECTORY:
            return Problem(ProblemKind.CHANGED, path, "it became a directory while it was being listed")
        if not self._preserve:
            return Problem(ProblemKind.UNSUPPORTED, path, "a symbolic link was skipped; see the option symlinks")
        return entry


def _problem(error: OSError, path: str, extent: Extent) -> Problem:
    from .translation import problem_from

    if error.errno == errno.ELOOP:
        return Problem(ProblemKind.UNSUPPORTED, path, f"{shown(path)}: {error.strerror}", extent=extent)
    return problem_from(translated(error, path), path, extent=extent)


def _is_regular(mode: int) -> bool:
    return mode & 0o170000 == 0o100000


def _leads_to_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link in a circle or into a closed directory: looking at it as at a file tells what is wrong.
        return False
