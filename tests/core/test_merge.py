"""Joining sorted streams, against a model that looks at everything at once."""

from __future__ import annotations

from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from syncengine.core.entry import Base, Entry, Excluded, Extent, Kind, Problem, ProblemKind, Seen, Side, Stamp
from syncengine.core.merge import Item, Joiner, Views, join
from syncengine.core.paths import encoded, is_within, parents
from syncengine.errors import ScanError

FILE, DIRECTORY, SYMLINK = Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK


def file(path: str) -> Entry:
    return Entry(path, FILE, Stamp(size=1))


def folder(path: str) -> Entry:
    return Entry(path, DIRECTORY, Stamp())


def row(path: str, kind: Kind = FILE) -> Base:
    return Base(path, kind, Stamp(size=1), Stamp(size=1))


def problem(path: str, extent: Extent) -> Problem:
    return Problem(ProblemKind.DENIED, path, "no", extent=extent)


def in_order(items: Iterable[Item]) -> List[Item]:
    return sorted(items, key=lambda item: encoded(item.position))


# ------------------------------------------------------------------------------------------------------------ join


def positions(*streams: Sequence[Item]) -> List[str]:
    return [position for position, *_ in join(*streams)]  # type: ignore[arg-type]


def test_every_position_comes_once_in_the_order_of_bytes() -> None:
    source = [file("a"), file("a!"), file("a-b"), file("a.b"), folder("a"), file("a0"), file("é"), file("\U0001f600")]
    destination = [file("a!"), file("a0"), file("\udc80"), file("é")]

    assert positions([row("b")], source, destination) == [
        "a",
        "a!",
        "a-b",
        "a.b",
        "a/",
        "a0",
        "b",
        "\udc80",
        "é",
        "\U0001f600",
    ]


def test_what_stands_at_one_position_comes_together() -> None:
    both = file("a")

    assert list(join([row("a")], [both], [both])) == [("a", row("a"), both, both)]
    assert list(join([row("a")], [], [both])) == [("a", row("a"), None, both)]
    assert list(join([row("a")], [], [])) == [("a", row("a"), None, None)]
    assert list(join([], [], [])) == []


@pytest.mark.parametrize(
    "stream",
    [
        [file("b"), file("a")],
        [file("a"), file("a")],
        [folder("a"), file("a.b")],
        [file("a"), folder("a"), file("a!")],
        [file("é"), file("\udc80")],
    ],
    ids=["descending", "twice", "a directory before its place", "after it", "by code points"],
)
def test_an_unsorted_stream_is_an_error_and_never_a_deletion(stream: List[Item]) -> None:
    for streams in ((stream, [], []), ([], stream, []), ([], [], stream)):
        with pytest.raises(ScanError, match="out of order"):
            positions(*streams)


def test_an_odd_name_has_no_place_in_the_order() -> None:
    odd = problem("zz/../a", Extent.NOTHING)

    assert positions([], [odd, file("a"), odd, file("b"), odd], [file("b")]) == ["", "a", "a", "b", "b"]


def test_the_streams_are_read_no_further_than_needed() -> None:
    def endless() -> Iterator[Entry]:
        number = 0
        while True:
            yield file(f"{number:09}")
            number += 1

    joined = join([], endless(), endless())

    assert [next(joined)[0] for _ in range(3)] == ["000000000", "000000001", "000000002"]


# ------------------------------------------------------------------------------------------------- files, directories


def views(
    base: Sequence[Base],
    source: Sequence[Seen],
    destination: Sequence[Seen],
    *,
    excludes: Optional[Callable[[str, Kind], Optional[str]]] = None,
    holds_both: bool = False,
) -> List[Views]:
    return list(Joiner(excludes, holds_both).views(join(base, source, destination)))


def shape(found: Views) -> Tuple[str, str]:
    """Return path, and in short what each side holds: ``f`` file, ``d`` directory, ``-`` nothing."""
    letters = {FILE: "f", DIRECTORY: "d", SYMLINK: "l"}
    return found.path, "".join(
        "-" if entry is None else letters[entry.kind] for entry in (found.source, found.destination)
    )


BETWEEN = [file("a!"), file("a-b"), file("a.b")]


@pytest.mark.parametrize("between", [[], BETWEEN])
@pytest.mark.parametrize("below", [[file("a/x")], [folder("a")], [folder("a"), file("a/x")]])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_file_meets_the_directory_of_its_name(between: List[Seen], below: List[Seen], swapped: bool) -> None:
    sides: List[List[Seen]] = [[file("a"), *between, file("a0")], [*between, *below, file("a0")]]
    found = [shape(each) for each in views([], *(reversed(sides) if swapped else sides))]

    clash = ("a", "df" if swapped else "fd")
    assert clash in found
    assert found.index(clash) < min(
        found.index(each) for each in found if each[0].startswith("a/") or each[1] in ("-d", "d-")
    )


def test_a_file_without_a_directory_comes_out_once_its_place_has_passed() -> None:
    found = [shape(each) for each in views([], [file("a"), file("a!"), file("b")], [file("a!"), file("a0")])]

    assert found == [("a!", "ff"), ("a", "f-"), ("a0", "-f"), ("b", "f-")]


def test_what_only_the_state_remembers_below_a_file_hides_no_directory() -> None:
    found = views([row("a/1"), row("a/3")], [file("a")], [file("a/2"), file("a/4")])

    assert ("a", "fd") in [shape(each) for each in found]
    assert len(found) == 5


def test_a_file_on_both_sides_faces_nothing() -> None:
    assert [shape(each) for each in views([], [file("a")], [file("a"), file("a/x")])] == [("a", "ff"), ("a/x", "-f")]


def test_a_name_that_one_side_uses_twice_is_a_collision_there() -> None:
    found = views([], [file("a"), file("a/x")], [])

    assert [(each.path, each.collision) for each in found] == [("a", True), ("a/x", False)]


def test_two_stores_without_directories_hold_a_file_and_names_below_it() -> None:
    found = views([], [file("a")], [file("a/x")], holds_both=True)

    assert [(shape(each), each.collision) for each in found] == [(("a", "f-"), False), (("a/x", "-f"), False)]
    assert not any(each.collision for each in views([], [file("a"), file("a/x")], [], holds_both=True))


@pytest.mark.parametrize(
    ("across", "excluded"), [(problem("a", Extent.SUBTREE), False), (Excluded("a", DIRECTORY, "rule"), True)]
)
def test_a_file_that_faces_a_hidden_directory_is_out_of_bounds(across: Seen, excluded: bool) -> None:
    (held, hidden) = views([], [file("a")], [across])

    for each in (held, hidden):
        assert each.region is not None
        assert (each.path, each.region.excluded) == ("a", excluded)


@pytest.mark.parametrize("side", list(Side), ids=lambda side: side.value)
@pytest.mark.parametrize(
    ("across", "excluded"), [(problem("a", Extent.SUBTREE), False), (Excluded("a", DIRECTORY, "rule"), True)]
)
def test_a_file_that_only_the_state_remembers_is_out_of_bounds_where_a_directory_hides_its_name(
    across: Seen, excluded: bool, side: Side
) -> None:
    between = file("a-b")
    seeing, blind = [between], [between, across]
    found = views([row("a")], *([blind, seeing] if side is Side.SOURCE else [seeing, blind]))

    remembered = [each for each in found if each.base is not None]
    assert [(each.path, shape(each)[1]) for each in remembered] == [("a", "--")]
    assert out_of_bounds(found) == {"a": excluded}


def test_a_file_that_only_the_state_remembers_faces_no_directory_that_can_be_seen() -> None:
    for below in ([folder("a"), file("a/x")], [file("a/x")]):
        for streams in ((below, []), ([], below), (below, below)):
            found = views([row("a")], *streams)

            assert [shape(each) for each in found if each.base is not None] == [("a", "--")]
            assert out_of_bounds(found) == {}


# --------------------------------------------------------------------------------------------------------- regions


def out_of_bounds(found: Iterable[Views]) -> Dict[str, bool]:
    """Return the paths that are out of bounds, and whether a filter says so."""
    return {each.path: each.region.excluded for each in found if each.region is not None}


@pytest.mark.parametrize("side", [0, 1])
def test_what_one_side_cannot_see_is_out_of_bounds_on_both(side: int) -> None:
    blind: List[Seen] = [problem("d", Extent.SUBTREE), file("d0")]
    seeing: List[Seen] = [folder("d"), file("d/x"), folder("d/y"), file("d/y/z"), file("d0")]
    found = views([row("d/gone")], *([blind, seeing] if side == 0 else [seeing, blind]))

    assert out_of_bounds(found) == dict.fromkeys(["d", "d/gone", "d/x", "d/y", "d/y/z"], False)


def test_names_that_only_begin_alike_are_in_bounds() -> None:
    found = views([], [problem("a", Extent.PATH)], [file("a!"), folder("a"), file("a/x"), file("a0"), file("ab")])

    assert set(out_of_bounds(found)) == {"a", "a/x"}
    assert {each.path for each in found} == {"a", "a!", "a/x", "a0", "ab"}


def test_everything_after_a_listing_that_broke_off_is_out_of_bounds() -> None:
    source: List[Seen] = [file("a"), file("b"), problem("b", Extent.REST)]
    found = views([row("c"), row("d")], source, [file("b"), file("d"), file("é")])

    assert set(out_of_bounds(found)) == {"b", "c", "d", "é"}
    assert [shape(each) for each in found if each.region is None] == [("a", "f-"), ("b", "ff")]


def test_a_file_whose_directory_may_lie_behind_the_break_is_out_of_bounds() -> None:
    found = views([], [file("a!"), problem("a!", Extent.REST)], [file("a")])

    assert "a" in out_of_bounds(found)


def test_an_odd_name_hides_nothing() -> None:
    odd = problem("..", Extent.NOTHING)

    assert [shape(each) for each in views([], [odd], [file("a")])] == [("a", "-f")]
    hidden = views(
        [], [file("a"), odd, file("a/x")], [file("a")], excludes=lambda path, _: "rule" if path == "a" else None
    )
    assert out_of_bounds(hidden) == {}


def test_the_other_side_is_asked_about_paths_that_only_one_side_has() -> None:
    asked: List[Tuple[str, Kind]] = []

    def excludes(path: str, kind: Kind) -> Optional[str]:
        asked.append((path, kind))
        return "a rule" if path == "d" else None

    source: List[Seen] = [file("a"), file("b"), folder("d"), file("d/x")]
    found = views([row("gone")], source, [file("b")], excludes=excludes)

    assert asked == [("a", FILE), ("d", DIRECTORY), ("gone", FILE)]
    assert out_of_bounds(found) == {"d": True, "d/x": True}


# ----------------------------------------------------------------------------------------------------------- a model

NAMES = ("a", "a!", "a-b", "a.b", "a0", "é", "\udcc3", "\U0001f600")


@frozen
class Case:
    """Three streams: what the state and both sides hold, in order."""

    base: Tuple[Base, ...]
    source: Tuple[Seen, ...]
    destination: Tuple[Seen, ...]
    excluded: frozenset[str]
    holds_both: bool

    def side(self, side: Side) -> Tuple[Seen, ...]:
        return self.source if side is Side.SOURCE else self.destination


@st.composite
def real_side(draw: st.DrawFn, prefix: str = "", depth: int = 2) -> List[Seen]:
    """Draw the listing of a side with directories: no name is a file and a directory."""
    items: List[Seen] = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4)):
        path = prefix + name
        what = draw(
            st.sampled_from(["file"] * 4 + ["folder"] * 4 + ["link", "path", "subtree", "no file", "no folder"])
        )
        items.append(
            {
                "file": file(path),
                "folder": folder(path),
                "link": Entry(path, SYMLINK, Stamp(), link="x"),
                "path": problem(path, Extent.PATH),
                "subtree": problem(path, Extent.SUBTREE),
                "no file": Excluded(path, FILE, "rule"),
                "no folder": Excluded(path, DIRECTORY, "rule"),
            }[what]
        )
        if what == "folder" and depth:
            items += draw(real_side(path + "/", depth - 1))
    return items


paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)


@st.composite
def flat_side(draw: st.DrawFn) -> List[Seen]:
    """Draw the listing of an object store: any keys, no directories."""
    return [
        draw(
            st.sampled_from([file(path), file(path), file(path), problem(path, Extent.PATH), Excluded(path, FILE, "r")])
        )
        for path in draw(st.lists(paths, unique=True, max_size=7))
    ]


@st.composite
def broken(draw: st.DrawFn, items: Sequence[Item]) -> Tuple[Item, ...]:
    """Draw where a listing breaks off, if it does, and where it meets a name that cannot be a key."""
    kept = list(items)
    if kept and draw(st.integers(0, 4)) == 0:
        kept = kept[: draw(st.integers(1, len(kept)))]
        kept.append(problem(kept[-1].path, Extent.REST))
    if draw(st.integers(0, 4)) == 0:
        kept.insert(draw(st.integers(0, max(len(kept) - 1, 0))), problem("..", Extent.NOTHING))
    return tuple(kept)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    flat = draw(st.sampled_from([(False, False), (False, True), (True, False), (True, True)]))
    sides = [draw(broken(in_order(draw(flat_side() if each else real_side())))) for each in flat]
    rows = {path: row(path, draw(st.sampled_from([FILE, DIRECTORY]))) for path in draw(st.lists(paths, max_size=5))}
    excluded = frozenset(draw(st.lists(paths, max_size=2)))
    return Case(tuple(in_order(rows.values())), sides[0], sides[1], excluded, all(flat))  # type: ignore[arg-type]


@frozen
class Modelled:
    """What the model expects of one path: the letters of both sides, and whether it is out of bounds."""

    path: str
    base: bool
    letters: str
    region: Optional[bool]
    collision: bool


class Model:
    """Says about each position what should come out, by looking at everything there is."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.rows = {each.position: each for each in case.base}
        self.at = {
            side: {item.position: item for item in case.side(side) if not self._odd_or_rest(item)} for side in Side
        }
        self.breaks = [self._break(case.side(side)) for side in Side]
        self.positions = sorted({*self.rows, *self.at[Side.SOURCE], *self.at[Side.DESTINATION]}, key=encoded)
        self.hidden_by_rule: Set[str] = set()

    @staticmethod
    def _odd_or_rest(item: Seen) -> bool:
        return isinstance(item, Problem) and item.extent in (Extent.NOTHING, Extent.REST)

    @staticmethod
    def _break(items: Sequence[Seen]) -> Optional[bytes]:
        """Return the place of the last item before a listing broke off."""
        if not items or not isinstance(items[-1], Problem) or items[-1].extent is not Extent.REST:
            return None
        before = [item for item in items[:-1] if not Model._odd_or_rest(item)]
        return encoded(before[-1].position)

    def expected(self) -> List[Modelled]:
        found = (self._at(position) for position in self.positions)
        return [each for each in found if each is not None]

    def _at(self, position: str) -> Optional[Modelled]:
        path = position.rstrip("/")
        entries = [self.at[side].get(position) for side in Side]
        seen = [entry if isinstance(entry, Entry) else None for entry in entries]
        region = self._hidden(position, path)
        if region is None and None in seen and path in self.case.excluded:
            region = True
            self.hidden_by_rule.add(path)
        base = position in self.rows
        if region is not None:
            return Modelled(path, base, self._letters(seen), region, collision=False)
        if not base and seen == [None, None]:
            return None
        return self._facing(position, path, seen, base=base)

    def _hidden(self, position: str, path: str) -> Optional[bool]:
        """Return whether something before, or here, hides the path: by a filter (True) or from sight (False)."""
        openers = [
            (encoded(item.position), isinstance(item, Excluded))
            for side in Side
            for item in self.at[side].values()
            if not isinstance(item, Entry) and is_within(path, item.path)
        ]
        openers = [each for each in openers if each[0] <= encoded(position)]
        if any(end is not None and encoded(position) > end for end in self.breaks):
            openers.append((encoded(position), False))
        if openers:
            return {excluded for _, excluded in openers} == {True}
        return True if {path, *parents(path)} & self.hidden_by_rule else None

    @staticmethod
    def _letters(seen: Sequence[Optional[Entry]]) -> str:
        letters = {FILE: "f", DIRECTORY: "d", SYMLINK: "l"}
        return "".join("-" if entry is None else letters[entry.kind] for entry in seen)

    def _facing(self, position: str, path: str, seen: Sequence[Optional[Entry]], *, base: bool) -> Modelled:
        letters = self._letters(seen)
        if self.case.holds_both or None not in seen or position.endswith("/"):
            return Modelled(path, base, letters, None, collision=False)
        if any(end is not None and encoded(path + "/") > end for end in self.breaks):
            return Modelled(path, base, letters, False, collision=False)
        if seen == [None, None]:
            hiding = [self.at[side].get(path + "/") for side in Side]
            kinds = [isinstance(item, Excluded) for item in hiding if item is not None and not isinstance(item, Entry)]
            return Modelled(path, base, letters, kinds[0] if kinds else None, collision=False)
        other = Side.DESTINATION if seen[0] is not None else Side.SOURCE
        below = [each for each in self.positions if each.startswith(path + "/") and self._anything(each)]
        if not below:
            return Modelled(path, base, letters, None, collision=False)
        across = self.at[other].get(below[0])
        if across is None:
            return Modelled(path, base, letters, None, collision=True)
        if not isinstance(across, Entry) and below[0] == path + "/":
            return Modelled(path, base, letters, isinstance(across, Excluded), collision=False)
        return Modelled(path, base, letters.replace("-", "d"), None, collision=False)

    def _anything(self, position: str) -> bool:
        return any(position in self.at[side] for side in Side)


def modelled(found: Views) -> Modelled:
    region = None if found.region is None else found.region.excluded
    return Modelled(found.path, found.base is not None, shape(found)[1], region, found.collision)


def run(case: Case) -> List[Views]:
    rule = dict.fromkeys(case.excluded, "a rule")
    return views(
        case.base,
        case.source,
        case.destination,
        excludes=lambda path, _: rule.get(path),
        holds_both=case.holds_both,
    )


def told_apart(found: Iterable[Modelled]) -> List[Tuple[object, ...]]:
    """Return what is compared, in any order; an item that only reports a break comes out as one of the region."""
    facts = {
        (each.path, each.base, each.letters, each.region is not None, each.collision)
        for each in found
        if each.base or each.letters != "--"
    }
    return sorted(facts)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_the_joiner_says_what_the_model_says(case: Case) -> None:
    assert told_apart(modelled(each) for each in run(case)) == told_apart(Model(case).expected())


@settings(max_examples=100, deadline=None)
@given(cases())
def test_every_file_comes_out_exactly_once(case: Case) -> None:
    found = run(case)
    for side in Side:
        listed = [item for item in case.side(side) if isinstance(item, Entry) and item.kind is not DIRECTORY]
        out = [each.source if side is Side.SOURCE else each.destination for each in found]
        given = [entry for entry in out if entry is not None and entry in listed]

        assert sorted(given, key=repr) == sorted(listed, key=repr)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_every_row_of_the_state_comes_out_exactly_once(case: Case) -> None:
    out = [each.base for each in run(case) if each.base is not None]

    assert sorted(out, key=repr) == sorted(case.base, key=repr)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_a_file_that_faces_a_directory_comes_before_what_either_side_has_below_it(case: Case) -> None:
    seen: List[str] = []
    for each in run(case):
        entries = [entry for entry in (each.source, each.destination) if entry is not None]
        if len({entry.kind is DIRECTORY for entry in entries}) == 2 and each.region is None:
            assert not any(is_within(path, each.path) for path in seen)
        if entries and each.region is None:
            seen.append(each.path)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_nothing_below_what_cannot_be_seen_is_in_bounds(case: Case) -> None:
    hidden = [
        item.path
        for side in Side
        for item in case.side(side)
        if isinstance(item, Problem) and item.extent in (Extent.PATH, Extent.SUBTREE)
    ]
    for each in run(case):
        strictly_below = any(each.path != path and is_within(each.path, path) for path in hidden)

        assert not strictly_below or each.region is not None
