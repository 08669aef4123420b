"""The listing of a directory of this machine: one ``scandir`` for each directory, one ``lstat`` for each file."""

from __future__ import annotations

import errno
import os
from typing import Dict, Iterator, List, Optional, Tuple

from ..core.entry import Entry, Extent, Kind, Listed, Problem, ProblemKind, Stamp
from ..core.modes import SymlinkPolicy
from ..core.paths import RESERVED_PREFIX, TEMPORARY_PREFIX, TRASH_FOLDER, encoded, refusal, shown
from ..errors import NotFound, Unsupported
from .local_facts import NO_STAMP, Identity, entry_of, identity_at, identity_of, translated
from .protocol import Prune

_Level = Tuple[str, Iterator[str], Optional[Identity]]


class Walk:
    """One listing: a stack of open directories, each with the names in it that are still to come."""

    def __init__(self, base: str, root: Identity, symlinks: SymlinkPolicy, prune: Optional[Prune]) -> None:
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
        file = Kind.FILE  # looked up once: an enum answers slowly
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
                        item = Entry(path, file, stamp, mode & 0o7777)
                    else:
                        item = self._special(path, found)
                if item is not None:
                    yield item
            else:
                stack.pop()

    def _unlooped(self, place: str) -> Identity:
        identity = identity_of(os.stat(place))
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
        """Say whether a name is to be jumped over; temporary files and trashes of other roots are reported instead."""
        if not name.startswith(RESERVED_PREFIX):
            return False
        if inside and name == TRASH_FOLDER + "/":
            from .temporary import trash_of_another_root

            self._odd[inside + name] = trash_of_another_root(inside + name[:-1])
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


def _leads_to_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link in a circle or into a closed directory: looking at it as at a file tells what is wrong.
        return False
