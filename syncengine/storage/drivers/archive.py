"""zip, tar and what libarchive reads."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from ...core.paths import refusal
from ...errors import NotFound
from ..quirks import Info
from .base import Child, Driver


class ArchiveDriver(Driver):
    """zip, tar and libarchive: the members are read once into a tree.

    A leading ``./`` of a member's name means nothing; of members of one name the last wins, as when unpacking.
    """

    writes_aside = False

    def __init__(self, filesystem: Any, root: str, *, private: bool) -> None:
        super().__init__(filesystem, root.strip("/"), private=private)
        self._members: Dict[str, Info] = {"": {"name": "", "type": "directory"}}
        self._below: Dict[str, Dict[str, Info]] = {"": {}}
        for info in self._infos():
            self._add(info)

    def _infos(self) -> List[Info]:
        self.filesystem._get_dirs()  # noqa: SLF001 - ls() walks all members for every directory
        links = self._links()
        members = self.filesystem.dir_cache.items()
        # Directories that fsspec inferred have nothing but these; the members below them imply them here too.
        inferred = {"name", "size", "type"}
        return [{**info, "name": name, **links.get(name, {})} for name, info in members if set(info) != inferred]

    def _links(self) -> Dict[str, Info]:
        archive = getattr(self.filesystem, "tar", None)
        odd = (
            [member for member in archive if not (member.isfile() or member.isdir() or member.islnk())]
            if archive
            else []
        )
        return {member.name: {"type": "link" if member.issym() else "special file"} for member in odd}

    def _add(self, info: Info) -> None:
        name = str(info["name"])
        while name.startswith("./"):
            name = name[2:]
        if name in ("", "."):
            return
        directory = ""
        while refusal(name) is not None or "/" in name:
            first, slash, rest = name.partition("/")
            if not slash or refusal(first) is not None:
                break
            directory = self._directory(directory, first)
            name = rest
        self._below[directory][name] = info
        path = f"{directory}/{name}" if directory else name
        self._members[path] = info
        if info.get("type") == "directory":
            self._below.setdefault(path, {})

    def _directory(self, above: str, name: str) -> str:
        path = f"{above}/{name}" if above else name
        if path not in self._below:
            self._below[path] = {}
            self._below[above].setdefault(name, {"name": path, "type": "directory"})
            self._members.setdefault(path, {"name": path, "type": "directory"})
        return path

    def path_of(self, key: str) -> str:
        """Return the place in the tree."""
        return f"{self.root}/{key}" if self.root and key else self.root or key

    def children(self, key: str) -> List[Child]:
        """Return the names in a directory of the archive."""
        path = self.path_of(key)
        if path not in self._below:
            raise NotFound(path)
        return list(self._below[path].items())

    def info(self, path: str) -> Info:
        """Return what the archive says about a member."""
        if path not in self._members:
            raise NotFound(path)
        return self._members[path]

    def opened(self, path: str, size: Optional[int]) -> Any:
        """Open a member by the name it has in the archive."""
        return super().opened(str(self.info(path)["name"]), size)

    def close(self) -> None:
        """Close the archive; the tar filesystem of older fsspec leaves that to its tar file."""
        closing = [getattr(held, "close", None) for held in (self.filesystem, getattr(self.filesystem, "tar", None))]
        if self.private:
            next(filter(None, closing))()
