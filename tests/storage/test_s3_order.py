"""Listings of servers that walk directories come in the order of bytes, and what comes in that order is not held."""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncengine.core.entry import Entry, Stamp
from syncengine.errors import Unsupported
from syncengine.storage.objects.listing import ObjectListing
from syncengine.storage.objects.s3_order import InOrder
from syncengine.storage.objects.service import ObjectInfo

Place = Callable[[str], object]


def walked(key: str) -> Tuple[str, ...]:
    return tuple(key.split("/"))


def by_bytes(key: str) -> bytes:
    return key.encode()


class Server:
    """Tells of *keys* sorted by *place*; one that does not begin where it is asked to begins at the beginning."""

    def __init__(self, keys: Sequence[str], place: Place, *, begins: bool = True, page_size: int = 2) -> None:
        self.keys = sorted(keys, key=place)  # type: ignore[arg-type]
        self.place, self.begins, self.page_size = place, begins, page_size
        self.asked: List[Tuple[str, str, int]] = []
        self.told = 0
        self.order = InOrder(self.pages_told)

    def pages_told(self, prefix: str, start_after: str, page_size: int) -> Iterator[List[ObjectInfo]]:
        self.asked.append((prefix, start_after, page_size))
        keys = [key for key in self.keys if key.startswith(prefix)]
        if start_after and self.begins:
            keys = [key for key in keys if self.place(key) > self.place(start_after)]  # type: ignore[operator]
        step = min(page_size, self.page_size)
        for start in range(0, len(keys), step):
            self.told += 1
            yield [ObjectInfo(key, Stamp(size=1)) for key in keys[start : start + step]]

    def pages(self, prefix: str, *, start_after: str = "", page_size: int = 1000) -> Iterator[Sequence[ObjectInfo]]:
        return self.order.pages(prefix, start_after, page_size)

    def head(self, key: str) -> Optional[ObjectInfo]:
        return ObjectInfo(key, Stamp(size=1)) if key in self.keys else None


def listed(server: Server, prefix: str = "", start_after: str = "") -> List[str]:
    return [info.key for page in server.pages(prefix, start_after=start_after) for info in page]


parts = st.text("ab-/.0é", min_size=1, max_size=7).map(lambda text: "/".join(filter(None, text.split("/"))))
some_keys = st.sets(parts.filter(bool), max_size=14).map(sorted)


@given(some_keys, st.sampled_from([walked, by_bytes]), st.booleans(), st.integers(1, 4), st.sampled_from(["", "a/"]))
def test_a_listing_is_in_the_order_of_bytes_whatever_the_server_does(
    keys: Sequence[str], place: Place, begins: bool, page_size: int, prefix: str
) -> None:
    server = Server(keys, place, begins=begins, page_size=page_size)
    due = sorted((key for key in keys if key.startswith(prefix)), key=by_bytes)

    # A page by itself may mix: the client sorts it.
    first = [sorted(info.key for info in page) for page in server.pages(prefix)]
    again = [sorted(info.key for info in page) for page in server.pages(prefix)]

    assert [key for page in first for key in page] == due
    assert [key for page in again for key in page] == due


@given(some_keys, st.sampled_from([walked, by_bytes]), st.booleans(), st.integers(1, 4), st.data())
def test_nothing_that_follows_a_key_is_left_out(
    keys: Sequence[str], place: Place, begins: bool, page_size: int, data: st.DataObject
) -> None:
    server = Server(keys, place, begins=begins, page_size=page_size)
    key = data.draw(st.sampled_from([*keys, "a", "a/\U0010ffff"]))

    for _ in range(2):
        assert [found for found in listed(server, start_after=key) if found > key] == [
            due for due in sorted(keys, key=by_bytes) if due > key
        ]


class Hides:
    def enter(self, directory: str, names: object) -> None:
        pass

    def __call__(self, directory: str) -> bool:
        return directory == "a"


@pytest.mark.parametrize("place", [walked, by_bytes])
@pytest.mark.parametrize("begins", [True, False])
def test_what_stands_beside_a_long_hidden_directory_is_listed(place: Place, begins: bool) -> None:
    hidden = [f"a/{number}" for number in range(9)]
    server = Server([*hidden, "a-b", "a.b", "a0", "a.d/x", "b/1", "b/2"], place, begins=begins)

    found = list(ObjectListing(server, "", "", Hides()))  # type: ignore[arg-type]

    assert [entry.path for entry in found if isinstance(entry, Entry)] == ["a-b", "a.b", "a.d/x", "a0", "b/1", "b/2"]


def test_a_server_that_goes_by_bytes_is_asked_at_most_once_and_holds_nothing() -> None:
    server = Server([f"a/{number}" for number in range(10, 30)], by_bytes)
    pages = server.pages("")

    assert [info.key for info in next(pages)] == ["a/10", "a/11"]
    assert server.told == 4  # two pages ahead of the first, and what follows its place and its end
    list(pages)
    listed(server)
    assert len(server.asked) == 4


@pytest.mark.parametrize("place", [walked, by_bytes])
def test_a_server_that_refuses_the_question_is_listed_all_the_same(place: Place) -> None:
    keys = ["a", *(f"b/{number}" for number in range(6)), "b-1"]
    server = Server(keys, place)
    told = server.pages_told

    def refuses(prefix: str, start_after: str, page_size: int) -> Iterator[List[ObjectInfo]]:
        if start_after:
            raise Unsupported("no key can hold this character")
        return told(prefix, start_after, page_size)

    server.order = InOrder(refuses)

    for _ in range(2):
        assert listed(server) == sorted(keys, key=by_bytes)


def test_what_shows_its_order_is_not_asked_about() -> None:
    server = Server(["a-b", "a/1", "a/2", "b"], by_bytes)

    assert listed(server) == ["a-b", "a/1", "a/2", "b"]
    assert len(server.asked) == 1


def test_only_what_lies_in_the_directory_at_hand_is_held() -> None:
    server = Server([f"{name}/{number}" for name in ("a", "a-b", "b", "c", "d") for number in range(4)], walked)
    pages = server.pages("")

    met: Dict[str, int] = {}
    for page in pages:
        for info in page:
            met.setdefault(info.key[:-1], server.told)

    assert list(met) == ["a-b/", "a/", "b/", "c/", "d/"]
    assert met["a-b/"] == met["a/"] < met["b/"] < met["c/"]
