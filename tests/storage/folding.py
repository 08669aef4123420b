"""File systems that take several spellings for one name, as those of Windows and macOS do, on any local disk."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Iterator, Optional

from attrs import evolve

from syncengine.core.entry import Entry, Listed
from syncengine.core.paths import fold, refusal
from syncengine.storage.local import CAPABILITIES, LocalStorageClient
from syncengine.storage.protocol import Expectation, Precondition


class FoldingClient(LocalStorageClient):
    """Finds a file under every spelling, and keeps the one that it was made with."""

    folds_case: ClassVar[bool] = True
    form: ClassVar[Optional[str]] = None

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(root, **options)
        self.capabilities = evolve(CAPABILITIES, case_insensitive=self.folds_case, unicode_form=self.form)

    @classmethod
    def key(cls, name: str) -> str:
        return fold(name, "NFC" if cls.form is not None else None, case=cls.folds_case)

    @classmethod
    def stored(cls, name: str) -> str:
        return fold(name, cls.form)

    def found(self, path: str) -> str:
        """Return *path* as the names on disk spell it; what is not there is spelled as it would be stored."""
        if refusal(path) is not None:
            return path
        spelled = ""
        for part in path.split("/") if path else ():
            directory = os.path.join(self.root, spelled)
            names = os.listdir(directory) if os.path.isdir(directory) else []
            name = next((name for name in names if self.key(name) == self.key(part)), self.stored(part))
            spelled = f"{spelled}/{name}" if spelled else name
        return spelled

    def list(self, prefix: str = "", **options: Any) -> Iterator[Listed]:
        return super().list(self.found(prefix), **options)

    def stat(self, path: str) -> Optional[Entry]:
        entry = super().stat(self.found(path))
        return None if entry is None else evolve(entry, path=path)

    def read(self, path: str, **options: Any) -> Any:
        return super().read(self.found(path), **options)

    def write(self, path: str, content: Any, **options: Any) -> Any:
        return super().write(self.found(path), content, **options)

    def delete(self, path: str, **options: Any) -> None:
        super().delete(self.found(path), **options)

    def make_directory(self, path: str) -> None:
        super().make_directory(self.found(path))

    def remove_directory(self, path: str) -> None:
        super().remove_directory(self.found(path))

    def digest(self, path: str, algorithm: str, **options: Any) -> str:
        return super().digest(self.found(path), algorithm, **options)

    def copy(self, old: str, new: str, **options: Any) -> Any:
        return super().copy(self.found(old), self.found(new), **options)

    def preserve(self, path: str, new: str, **options: Any) -> Any:
        return super().preserve(self.found(path), self.found(new), **options)

    def move(self, old: str, new: str, *, expect: Precondition, **options: Any) -> Any:
        origin, target = self.found(old), self.found(new)
        if origin == target and expect.demand is Expectation.EXACTLY:
            # One file under two spellings: renaming it changes how it is spelled.
            respelled = os.path.join(os.path.dirname(origin), self.stored(new.rpartition("/")[2]))
            return super().move(origin, respelled, expect=Precondition(Expectation.ABSENT), **options)
        return super().move(origin, target, expect=expect, **options)

    def move_directory(self, old: str, new: str) -> None:
        super().move_directory(self.found(old), self.found(new))


class DecomposingClient(FoldingClient):
    """Stores accents apart from their letters, and tells case."""

    folds_case = False
    form = "NFD"


class MacClient(DecomposingClient):
    """Does both, as the disks of a Mac may."""

    folds_case = True
