"""The order of a listing. S3 goes by the bytes of whole keys; some servers walk directories, and are put in order here.

Who walks directories tells of all below ``a`` before it tells of ``a-b``, since a directory's name ends where the slash
begins: as if the slash came before every other character. What lies below ``a`` is then held until no sibling that
belongs before it can follow. Nothing but time and memory is lost where a server goes by bytes and nobody knew.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Callable, Iterable, Iterator, List, Optional, Sequence, Tuple

from attrs import define, field

from ...errors import StorageError
from .service import ObjectInfo

_BEFORE_SLASH = "." + "\U0010ffff"
"""What follows the name of a directory in the last key that comes before all that lies in it."""
_PAGE = 1000

ListPages = Callable[[str, str, int], Iterator[Sequence[ObjectInfo]]]
"""The pages as a server tells them: below a prefix, after a key, of this many keys."""


@define(eq=False)
class InOrder:
    """The listings of one bucket in the byte order of keys, whatever order the server tells them in."""

    told: ListPages
    goes_by_bytes: Optional[bool] = None
    """Whether the server does; None where nobody knows yet."""

    def pages(self, prefix: str, start_after: str, page_size: int) -> Iterator[Sequence[ObjectInfo]]:
        """Yield all whose key starts with *prefix* and follows *start_after*, of which only byte order is relied on.

        Pages of one key come as the server likes: who asks for them asks whether there is any.
        """
        if page_size == 1 or self.goes_by_bytes:
            yield from self.told(prefix, start_after, page_size)
            return
        for page in self._from_the_beginning(prefix, page_size):
            # What was passed is shown again where that cannot be helped, so that nobody asks for a part once more.
            yield page if self.goes_by_bytes is False else [info for info in page if info.key > start_after]

    def _from_the_beginning(self, prefix: str, page_size: int) -> Iterator[Sequence[ObjectInfo]]:
        pages = self.told(prefix, "", page_size)
        held = Held(prefix)
        page = next(pages, None)
        while page is not None:
            # The client puts a single page in order, so that only those of several are asked about.
            following = next(pages, None)
            if self.goes_by_bytes is None and following is not None:
                self.goes_by_bytes = self._asked(prefix, [info.key for info in page])
            if self.goes_by_bytes and following is not None:
                yield from (page, following)
                yield from pages
                return
            yield from held.passed(page)
            page = following
        yield from held.rest()

    def _asked(self, prefix: str, keys: Sequence[str]) -> Optional[bool]:
        """Say whether a listing that begins with *keys* goes by bytes; None where all of them lie beside each other.

        Where the keys themselves do not tell, the server is asked what follows the last key before a directory's.
        """
        shown = _shown(keys)
        directories = (key[: key.index("/", len(prefix))] for key in reversed(keys) if "/" in key[len(prefix) :])
        directory = next(directories, None)
        if shown is not None or directory is None:
            return shown
        first = self._first_after(prefix, directory + _BEFORE_SLASH)
        if first == keys[0]:
            # Some servers begin where they like, which then is here.
            return self._first_after(prefix, keys[-1]) > keys[-1]
        return first.startswith(directory + "/")

    def _first_after(self, prefix: str, key: str) -> str:
        page: Sequence[ObjectInfo] = ()
        # Who cannot be asked is not relied on; what keeps it from answering will be told by the listing itself.
        with suppress(StorageError):
            page = next(self.told(prefix, key, 1), ())
        return page[0].key if page else ""


def _shown(keys: Sequence[str]) -> Optional[bool]:
    walked = [_walked(key) for key in keys]
    if any(map(str.__gt__, keys, keys[1:])):
        return False
    return True if any(map(str.__gt__, walked, walked[1:])) else None


def _walked(key: str) -> str:
    return key.replace("/", "\0")


@define(eq=False)
class Held:
    """What is held of a listing of all below *prefix* until its place is certain."""

    prefix: str
    _directories: List[Tuple[str, List[ObjectInfo]]] = field(factory=list, init=False)
    """Outermost in the order of bytes last: each name begins with the ones before it."""

    def passed(self, page: Iterable[ObjectInfo]) -> Iterator[List[ObjectInfo]]:
        """Take *page* and yield, in pages, what no later key can come before."""
        certain: List[ObjectInfo] = []
        for info in sorted(page, key=lambda info: _walked(info.key)):
            while self._directories and not _may_precede(info.key, self._directories[-1][0]):
                certain.extend(self._innermost())
            slash = info.key.find("/", len(self.prefix))
            if slash < 0:
                certain.append(info)
            elif self._directories and self._directories[-1][0] == info.key[:slash]:
                self._directories[-1][1].append(info)
            else:
                self._directories.append((info.key[:slash], [info]))
        yield from _in_pages(certain)

    def rest(self) -> Iterator[List[ObjectInfo]]:
        """Yield what is still held at the end."""
        while self._directories:
            yield from _in_pages(self._innermost())

    def _innermost(self) -> List[ObjectInfo]:
        return sorted(self._directories.pop()[1], key=lambda info: info.key)


def _may_precede(key: str, directory: str) -> bool:
    """Say whether *key*, or one that follows it in a walk, may lie in *directory*, or come before it by bytes."""
    return key.startswith(directory) and key[len(directory) : len(directory) + 1] <= "/"


def _in_pages(infos: Sequence[ObjectInfo]) -> Iterator[List[ObjectInfo]]:
    for start in range(0, len(infos), _PAGE):
        yield list(infos[start : start + _PAGE])
