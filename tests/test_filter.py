from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncengine.core.entry import Entry, Excluded, Extent, Kind, Listed, Problem, ProblemKind, Seen, Side, Stamp
from syncengine.core.paths import encoded, parents
from syncengine.errors import AccessDenied, NotFound, RecipeError, ScanError, StorageError, Throttled, Unavailable
from syncengine.stages.filter import IgnoreFileManager
from syncengine.storage.protocol import Prune

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
Tree = Dict[str, bytes]
"""Contents of files by path; a path that ends in a slash is an empty directory."""


def entries(tree: Iterable[str], *, directories: bool) -> List[Entry]:
    found = {}
    for path in tree:
        for place in parents(path):
            found[place + "/"] = Entry(place, Kind.DIRECTORY, Stamp())
        if not path.endswith("/"):
            found[path] = Entry(path, Kind.FILE, Stamp(size=1, mtime_ns=0))
    in_order = sorted(found.values(), key=lambda entry: encoded(entry.position))
    return [entry for entry in in_order if directories or entry.kind is Kind.FILE]


class Storage:
    """A storage in memory that lists like a disk, telling names before it enters, or flat like an object store."""

    def __init__(self, tree: Tree, *, flat: bool = False) -> None:
        self.tree = tree
        self.flat = flat
        self.entered: List[str] = []
        self.read_paths: List[str] = []
        self.failing: Dict[str, StorageError] = {}

    def read(self, path: str) -> Optional[bytes]:
        self.read_paths.append(path)
        if path in self.failing:
            raise self.failing[path]
        return self.tree.get(path)

    def list(self, prune: Prune, prefix: str = "") -> Iterator[Listed]:
        found = entries(self.tree, directories=not self.flat)
        found = [entry for entry in found if not prefix or entry.path.startswith(prefix + "/")]
        return iter(found) if self.flat else self._walk(found, prefix, prune)

    def _walk(self, found: List[Entry], directory: str, prune: Prune) -> Iterator[Entry]:
        below = directory + "/" if directory else ""
        children = [entry for entry in found if entry.path.startswith(below) and "/" not in entry.path[len(below) :]]
        self.entered.append(directory)
        prune.enter(directory, [entry.path[len(below) :] for entry in children])
        for entry in children:
            yield entry
            if entry.kind is Kind.DIRECTORY and not prune(entry.path):
                yield from self._walk(found, entry.path, prune)


def seen(manager: IgnoreFileManager, storage: Storage, side: Side = Side.SOURCE, prefix: str = "") -> List[Seen]:
    stream = storage.list(manager.prune(side, storage.read), prefix)
    return list(manager.filtered(side, stream, prefix=prefix))


def visible(found: Iterable[Seen]) -> List[str]:
    return [item.path for item in found if isinstance(item, Entry) and item.kind is Kind.FILE]


def excluded(found: Iterable[Seen]) -> Dict[str, str]:
    return {item.position: item.rule for item in found if isinstance(item, Excluded)}


def tree(*paths: str, **ignore_files: str) -> Tree:
    files = dict.fromkeys(paths, b"")
    for folder, text in ignore_files.items():
        files[".syncignore" if folder == "root" else f"{folder}/.syncignore"] = text.encode()
    return files


both_ways = pytest.mark.parametrize("flat", [False, True], ids=["disk", "object store"])

SELECTIONS: List[Tuple[str, Dict[str, Any], Tree, List[str], Dict[str, str]]] = [
    (
        "an argument hides files on any level",
        {"ignore": ["*.tmp"]},
        tree("a.tmp", "b", "c/d.tmp", "c/e"),
        ["b", "c/e"],
        {"a.tmp": "*.tmp (argument)", "c/d.tmp": "*.tmp (argument)"},
    ),
    (
        "an excluded directory is one item, and nothing below can be won back",
        {"ignore": ["build/", "!build/keep"]},
        tree("a", "build/keep", "build/x/y", "c"),
        ["a", "c"],
        {"build/": "build/ (argument)"},
    ),
    (
        "an ignore file speaks for its folder and wins over arguments",
        {"ignore": ["*.log"]},
        tree("a.log", "d/a.log", "d/b.log", "e/a.log", d="# kept\n!a.log\n"),
        ["d/.syncignore", "d/a.log"],
        {"a.log": "*.log (argument)", "d/b.log": "*.log (argument)", "e/a.log": "*.log (argument)"},
    ),
    (
        "the deeper file wins over the one above",
        {},
        tree("d/a", "d/e/a", root="a\n", d="x\n!a\n", **{"d/e": "\n\na\n"}),
        [".syncignore", "d/.syncignore", "d/a", "d/e/.syncignore"],
        {"d/e/a": "a (source d/e/.syncignore:3)"},
    ),
    (
        "names that sort before the ignore file obey it too",
        {},
        tree("!x", "+/y", ".a", ".git/objects/1", ".git/x", "z", root="!!x\n[!z]*\n!.syncignore\n"),
        [".syncignore", "z"],
        dict.fromkeys(("!x", "+/", ".a", ".git/"), "[!z]* (source .syncignore:2)"),
    ),
    (
        "an ignore file in an excluded folder is not asked",
        {},
        tree(".d/.a", ".d/b", "e", root=".d/\n", **{".d": "!*\n"}),
        [".syncignore", "e"],
        {".d/": ".d/ (source .syncignore:1)"},
    ),
    (
        "include limits to files of a kind on any level",
        {"include": ["*.csv"]},
        tree("a.csv", "b/c.csv", "b/d.txt", "e"),
        ["a.csv", "b/c.csv"],
        {"b/d.txt": "not included", "e": "not included"},
    ),
    (
        "include of a directory takes everything below, and nothing else is entered",
        {"include": ["/raw/2026/"], "ignore": ["*.tmp"]},
        tree("raw/2026/a", "raw/2026/b/c.tmp", "raw/2025/a", "raw/x", "other/2026/a"),
        ["raw/2026/a"],
        {
            "other/": "not included",
            "raw/2025/": "not included",
            "raw/2026/b/c.tmp": "*.tmp (argument)",
            "raw/x": "not included",
        },
    ),
    (
        "include with stars in the middle leads through every folder they may stand for",
        {"include": ["a/**/x.csv", "b/*/y.csv"]},
        tree("a/p/q/x.csv", "a/z", "b/p/y.csv", "b/p/q/y.csv", "c/x.csv"),
        ["a/p/q/x.csv", "b/p/y.csv"],
        {"a/z": "not included", "b/p/q/": "not included", "c/": "not included"},
    ),
    (
        "include takes back what a later pattern negates",
        {"include": ["data/", "!data/tmp/", "!*.bak"]},
        tree("data/a", "data/a.bak", "data/tmp/b"),
        ["data/a"],
        {"data/a.bak": "not included", "data/tmp/b": "not included"},
    ),
    (
        "files_from takes the paths it names and what lies below them",
        {"files_from": ["./a/b", "c/"]},
        tree("a/b", "a/c", "c/d/e", "d/b"),
        ["a/b", "c/d/e"],
        {"a/c": "not in files_from", "d/": "not in files_from"},
    ),
    ("files_from with nothing in it takes nothing", {"files_from": []}, tree("a"), [], {"a": "not in files_from"}),
    (
        "other names for ignore files",
        {"ignore_files": [".gitignore", ".syncignore"]},
        {"a": b"", "b": b"", ".gitignore": b"a\nb\n", ".syncignore": b"!b\n"},
        [".gitignore", ".syncignore", "b"],
        {"a": "a (source .gitignore:1)"},
    ),
    ("no ignore files at all", {"ignore_files": []}, tree("a", root="a"), [".syncignore", "a"], {}),
    ("a folder called like an ignore file is a folder", {}, tree("a", ".syncignore/a"), [".syncignore/a", "a"], {}),
]


@both_ways
@pytest.mark.parametrize("case", SELECTIONS, ids=[case[0] for case in SELECTIONS])
def test_what_takes_part(case: Tuple[str, Dict[str, Any], Tree, List[str], Dict[str, str]], flat: bool) -> None:
    _, arguments, files, kept, hidden = case

    found = seen(IgnoreFileManager(**arguments), Storage(files, flat=flat))

    assert kept == visible(found)
    assert hidden == excluded(found)
    assert [item.position for item in found] == sorted((item.position for item in found), key=encoded)


@pytest.mark.parametrize("case", SELECTIONS, ids=[case[0] for case in SELECTIONS])
def test_a_path_asked_for_alone_gets_the_same_answer_as_in_the_stream(
    case: Tuple[str, Dict[str, Any], Tree, List[str], Dict[str, str]],
) -> None:
    _, arguments, files, kept, _ = case
    manager = IgnoreFileManager(**arguments)
    for side in Side:
        seen(manager, Storage(files), side)

    assert kept == sorted((path for path in files if manager.excludes(path, Kind.FILE) is None), key=encoded)


def test_excluded_directories_are_not_entered() -> None:
    storage = Storage(tree("a/b/c", "build/x/y", "d/build/x", "e/f/g", d="f/\n", root="/e/f\n"))

    seen(IgnoreFileManager(ignore=["build/"]), storage)

    assert storage.entered == ["", "a", "a/b", "d", "e"]


def test_directories_outside_the_selection_are_not_entered() -> None:
    storage = Storage(tree("raw/2026/a/b", "raw/2025/a/b", "other/a/b"))

    seen(IgnoreFileManager(include=["/raw/2026/**"]), storage)

    assert storage.entered == ["", "raw", "raw/2026", "raw/2026/a"]


def test_a_directory_that_only_leads_to_the_selection_is_left_out_without_a_word() -> None:
    found = seen(IgnoreFileManager(include=["*.csv"]), Storage(tree("a/b.csv", "empty/")))

    assert [item.position for item in found] == ["a/b.csv"]


def test_an_ignore_file_in_an_excluded_folder_is_not_read() -> None:
    for flat in (False, True):
        storage = Storage(tree(".d/.a", "e", root=".d/\n", **{".d": "!*\n"}), flat=flat)

        seen(IgnoreFileManager(), storage)

        assert storage.read_paths == [".syncignore"]


def test_the_ignore_files_above_a_listing_that_starts_deeper_are_read_first() -> None:
    for flat in (False, True):
        storage = Storage(tree("a/b/c.tmp", "a/b/d", "a/b/e", root="*.tmp\n", a="/b/d\n"), flat=flat)

        found = seen(IgnoreFileManager(), storage, prefix="a/b")

        assert visible(found) == ["a/b/e"]
        assert excluded(found) == {
            "a/b/c.tmp": "*.tmp (source .syncignore:1)",
            "a/b/d": "/b/d (source a/.syncignore:1)",
        }


# Both sides


def two_sides(
    source: Tree, destination: Tree, *, flat: bool = False, **arguments: Any
) -> Tuple[IgnoreFileManager, Storage, Storage]:
    """Read both sides in step, as the join does."""
    manager = IgnoreFileManager(**arguments)
    storages = (Storage(source, flat=flat), Storage(destination, flat=flat))
    streams = [
        manager.filtered(side, storage.list(manager.prune(side, storage.read))) for side, storage in zip(Side, storages)
    ]
    heads = [next(stream, None) for stream in streams]
    while any(head is not None for head in heads):
        first = min(encoded(head.position) for head in heads if head is not None)
        for number, head in enumerate(heads):
            if head is not None and encoded(head.position) == first:
                heads[number] = next(streams[number], None)
    return (manager, *storages)


@both_ways
def test_excluded_on_either_side_is_excluded(flat: bool) -> None:
    manager, _, _ = two_sides(
        tree("d/a", "d/b", "d/c", d="a\n"), tree("d/a", "d/b", "d/c", root="b\n", d="!b\nc\n"), flat=flat
    )

    assert manager.excludes("d/a", Kind.FILE) == "a (source d/.syncignore:1)"
    assert manager.excludes("d/b", Kind.FILE) is None
    assert manager.excludes("d/c", Kind.FILE) == "c (destination d/.syncignore:2)"
    assert manager.excludes("e/a", Kind.FILE) is None


def test_a_negation_works_within_one_side() -> None:
    manager, _, _ = two_sides(tree("a.log", root="!a.log\n"), tree("a.log"), ignore=["*.log"])

    assert manager.excludes("a.log", Kind.FILE) == "*.log (argument)"

    manager, _, _ = two_sides(tree("a.log", root="!a.log\n"), tree("a.log", root="!a.log\n"), ignore=["*.log"])

    assert manager.excludes("a.log", Kind.FILE) is None


def test_a_folder_that_the_other_side_excludes_is_not_entered() -> None:
    _, source, destination = two_sides(tree("a/b", "build/x", root="build/\n"), tree("a/b", "build/x", "build/y/z"))

    assert source.entered == ["", "a"]
    assert destination.entered == ["", "a"]


def test_a_folder_that_a_deeper_file_of_the_other_side_may_win_back_is_entered() -> None:
    manager = IgnoreFileManager()
    source = Storage(tree("x/d/a", root="d/\n", x="!d/\n"))
    ahead = Storage(tree("x/d/a"))
    stream = manager.filtered(Side.SOURCE, source.list(manager.prune(Side.SOURCE, source.read)))
    assert next(stream) == Entry(".syncignore", Kind.FILE, Stamp(size=1, mtime_ns=0))

    found = seen(manager, ahead, Side.DESTINATION)

    assert ahead.entered == ["", "x", "x/d"]
    assert visible(found) == ["x/d/a"]
    assert visible(stream) == ["x/.syncignore", "x/d/a"]


# Sizes, ages, predicate


def file(**stamp: Any) -> Entry:
    return Entry("f", Kind.FILE, Stamp(**stamp))


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


WEEK_AGO = ns(NOW - timedelta(days=7))
MEASURES: List[Tuple[Dict[str, Any], Entry, Optional[str]]] = [
    ({"min_size": 10}, file(size=10), None),
    ({"min_size": 10}, file(size=9), "min_size"),
    ({"max_size": "1kB"}, file(size=1000), None),
    ({"max_size": "1kB"}, file(size=1001), "max_size"),
    ({"max_size": "1KiB"}, file(size=1024), None),
    ({"min_size": 1}, file(), "min_size (the storage does not tell)"),
    ({"newer_than": "7d"}, file(mtime_ns=WEEK_AGO), "newer_than"),
    ({"newer_than": "7d"}, file(mtime_ns=WEEK_AGO + 1), None),
    ({"older_than": timedelta(days=7)}, file(mtime_ns=WEEK_AGO), "older_than"),
    ({"older_than": timedelta(days=7)}, file(mtime_ns=WEEK_AGO - 1), None),
    ({"newer_than": NOW}, file(mtime_ns=ns(NOW) + 1), None),
    ({"newer_than": "2026-05-25T02:00:00+02:00"}, file(mtime_ns=WEEK_AGO + 1), None),
    ({"older_than": "1h"}, file(), "older_than (the storage does not tell)"),
    ({"predicate": lambda entry: entry.stamp.size != 3}, file(size=3), "predicate"),
    ({"predicate": lambda entry: entry.stamp.size != 3}, file(size=4), None),
]


@pytest.mark.parametrize(("arguments", "entry", "rule"), MEASURES)
def test_sizes_ages_and_the_predicate(arguments: Dict[str, Any], entry: Entry, rule: Optional[str]) -> None:
    manager = IgnoreFileManager(now=NOW, **arguments)

    assert manager.active
    assert list(manager.filtered(Side.SOURCE, [entry])) == (
        [entry] if rule is None else [Excluded("f", entry.kind, rule)]
    )
    assert manager.rule_for("f", Kind.FILE, entry) == rule
    assert manager.excludes("f", Kind.FILE) is None


def test_sizes_and_ages_look_at_files_only() -> None:
    others = [Entry("d", Kind.DIRECTORY, Stamp()), Entry("l", Kind.SYMLINK, Stamp())]
    manager = IgnoreFileManager(min_size=1, newer_than="1d", predicate=lambda _: False, now=NOW)

    assert list(manager.filtered(Side.SOURCE, others)) == others


WRONG: List[Tuple[Dict[str, Any], str]] = [
    ({"min_size": "10M"}, "min_size: '10M' is ambiguous; write 10MB .of 1000. or 10MiB .of 1024."),
    ({"max_size": -1}, "max_size is a number of bytes"),
    ({"max_size": True}, "max_size is a number of bytes"),
    ({"max_size": "big"}, "max_size is a number of bytes"),
    ({"newer_than": "7 days"}, "newer_than is a duration such as"),
    ({"older_than": datetime(2026, 1, 1)}, "older_than: .* has no time zone"),  # noqa: DTZ001 - the fault
    ({"ignore_files": ["a/b"]}, "ignore_files holds names"),
    ({"ignore_files": [""]}, "ignore_files holds names"),
    ({"files_from": ["../a"]}, "files_from: '../a' has a '..' part"),
    ({"files_from": "a"}, "files_from is an iterable of paths"),
    ({"ignore": ["\ud800"]}, "cannot be encoded"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_a_value_that_cannot_be_read_is_refused_by_name(arguments: Dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        IgnoreFileManager(now=NOW, **arguments)


def test_a_duration_needs_the_present() -> None:
    with pytest.raises(RecipeError, match="counts back from the present"):
        IgnoreFileManager(newer_than="7d")


# Problems


ERRORS = [
    (AccessDenied("no"), ProblemKind.DENIED, False),
    (Throttled("slow down"), ProblemKind.THROTTLED, True),
    (Unavailable("away"), ProblemKind.TIMEOUT, True),
    (StorageError("odd"), ProblemKind.INTERNAL, False),
]


@both_ways
@pytest.mark.parametrize(("error", "kind", "retryable"), ERRORS, ids=[kind.value for _, kind, _ in ERRORS])
def test_an_ignore_file_that_cannot_be_read_makes_its_folder_unknown(
    error: StorageError, kind: ProblemKind, retryable: bool, flat: bool
) -> None:
    storage = Storage(tree("a", "d/+", "d/e/f", "d/g", "h", d="g\n"), flat=flat)
    storage.failing["d/.syncignore"] = error

    found = seen(IgnoreFileManager(), storage)

    (problem,) = [item for item in found if isinstance(item, Problem)]
    assert (problem.path, problem.extent, problem.kind) == ("d", Extent.SUBTREE, kind)
    assert (problem.retryable, problem.side) == (retryable, Side.SOURCE)
    assert "d/.syncignore cannot be read" in problem.message
    assert visible(found) == ["a", "h"]


@both_ways
def test_a_root_whose_ignore_file_cannot_be_read_yields_nothing(flat: bool) -> None:
    storage = Storage(tree("+", "a", root="g\n"), flat=flat)
    storage.failing[".syncignore"] = Unavailable("away")

    with pytest.raises(ScanError, match=r"\.syncignore cannot be read"):
        seen(IgnoreFileManager(), storage)


@both_ways
def test_an_ignore_file_that_vanished_after_the_listing_holds_no_rules(flat: bool) -> None:
    storage = Storage(tree("a", root="a\n"), flat=flat)
    storage.failing[".syncignore"] = NotFound("gone")

    assert visible(seen(IgnoreFileManager(), storage)) == [".syncignore", "a"]


def test_a_folder_that_fell_silent_after_its_ignore_file_failed_is_still_a_problem() -> None:
    class Falling(Storage):
        def list(self, prune: Prune, prefix: str = "") -> Iterator[Listed]:
            prune.enter("", ["d", "z"])
            yield Entry("d", Kind.DIRECTORY, Stamp())
            prune.enter("d", [".syncignore"])
            assert prune("d/e")
            yield from rest

    rests: List[List[Listed]] = [[], [Entry("z", Kind.FILE, Stamp())]]
    for rest in rests:
        storage = Falling(tree(d="x"))
        storage.failing["d/.syncignore"] = AccessDenied("no")

        found = seen(IgnoreFileManager(), storage)

        assert [item.path for item in found] == ["d", "d", *(item.path for item in rest)]
        assert isinstance(found[1], Problem)


def problem(path: str, extent: Extent, kind: ProblemKind = ProblemKind.DENIED) -> Problem:
    return Problem(kind, path, "no", extent=extent)


def test_problems_of_what_is_excluded_are_not_problems() -> None:
    listed = [
        problem("../x", Extent.NOTHING, ProblemKind.BAD_NAME),
        problem("a.tmp", Extent.PATH),
        problem("b", Extent.PATH),
        problem("build", Extent.SUBTREE),
        problem("build/c", Extent.PATH),
        problem("build/.syncengine-tmp-1", Extent.NOTHING, ProblemKind.LEFTOVER),
        problem("d", Extent.SUBTREE),
        problem("e", Extent.REST),
    ]

    found = list(IgnoreFileManager(ignore=["*.tmp", "build/"]).filtered(Side.SOURCE, listed))

    assert found == [
        listed[0],
        Excluded("a.tmp", Kind.FILE, "*.tmp (argument)"),
        listed[2],
        Excluded("build", Kind.DIRECTORY, "build/ (argument)"),
        listed[6],
        listed[7],
    ]


# Explaining, and the cost of nothing to do


class Holding(Storage):
    """A storage that also holds a name that can be no key."""

    def __init__(self, name: str, files: Tree, *, flat: bool) -> None:
        super().__init__(files, flat=flat)
        self.odd = problem(name, Extent.NOTHING, ProblemKind.BAD_NAME)

    def list(self, prune: Prune, prefix: str = "") -> Iterator[Listed]:
        found = super().list(prune, prefix)
        return (
            iter(sorted([*found, self.odd], key=lambda item: encoded(item.position))) if self.flat else self._all(found)
        )

    def _all(self, found: Iterator[Listed]) -> Iterator[Listed]:
        yield from found
        yield self.odd


@both_ways
@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("a//b", {}, True),
        ("a//b", {"ignore": ["c"]}, True),
        ("a//b", {"ignore": ["b"]}, False),
        ("a//b", {"ignore": ["a/"]}, False),
        ("a//b", {"ignore": ["a/**"]}, False),
        ("a//b", {"ignore": ["a/b"]}, False),
        ("a//b", {"ignore": ["*", "!b"]}, False),
        ("a//b", {"ignore": ["*", "!a", "!b"]}, True),
        ("/b", {"ignore": ["/b"]}, False),
        ("../b", {"ignore": [".."]}, False),
        ("../b", {"ignore": ["../b"]}, False),
        ("./b", {"ignore": ["."]}, False),
        ("a/", {"ignore": ["a/"]}, False),
        ("a/", {"ignore": ["b"]}, True),
        ("a/", {"include": ["f"]}, False),
        ("", {"ignore": ["*"]}, True),
        ("a//b", {"include": ["/c"]}, False),
        ("a//b", {"include": ["a"]}, True),
        ("a//b", {"files_from": ["c"]}, False),
        ("a//b", {"max_size": 1}, True),
    ],
)
def test_a_name_that_no_key_can_have_is_told_unless_it_is_excluded(
    name: str, arguments: Dict[str, Any], told: bool, flat: bool
) -> None:
    found = seen(IgnoreFileManager(**arguments), Holding(name, tree("a/f", "z"), flat=flat))

    assert [item.path for item in found if isinstance(item, Problem)] == ([name] if told else [])


@pytest.mark.parametrize("name", ["../evil", "d//evil", "d/../evil", "z//evil"])
def test_an_ignore_file_behind_a_name_that_no_key_can_have_speaks_of_it_too(name: str) -> None:
    told = seen(IgnoreFileManager(), Holding(name, tree("d/f", "z/f"), flat=True))
    hidden = seen(IgnoreFileManager(), Holding(name, tree("d/f", "z/f", root="evil"), flat=True))

    assert [item.path for item in told if isinstance(item, Problem)] == [name]
    assert [item for item in hidden if isinstance(item, Problem)] == []


def test_explaining_names_every_rule_that_spoke() -> None:
    manager = IgnoreFileManager(ignore=["*.log"], max_size=1)
    storage = Storage(tree("d/a.log", d="!a.log\n"))
    manager.load(Side.SOURCE, "d/a.log", storage.read)

    assert manager.explain("d/a.log", Kind.FILE, file(size=2)) == (
        "d/a.log is kept by !a.log (source d/.syncignore:1)",
        "d/a.log is excluded by *.log (argument)",
        "d/a.log is excluded by max_size",
    )
    assert manager.explain("d/b", Kind.FILE) == ()
    assert IgnoreFileManager(include=["x"]).explain("d/b", Kind.FILE) == ("d/b is not included",)
    assert IgnoreFileManager(include=["/x"]).explain("d/b", Kind.FILE) == ("d is not included", "d/b is not included")


@both_ways
def test_without_rules_the_stream_passes_as_it_is_and_the_manager_is_inactive(flat: bool) -> None:
    manager = IgnoreFileManager()
    files = tree("+", "a/b", "c")

    assert seen(manager, Storage(files, flat=flat)) == entries(files, directories=not flat)
    assert not manager.active
    assert manager.excludes("a/b", Kind.FILE) is None


@both_ways
def test_an_ignore_file_makes_the_manager_active(flat: bool) -> None:
    manager = IgnoreFileManager()
    seen(manager, Storage(tree("d/a", d="a"), flat=flat))

    assert manager.active


def test_a_flat_listing_holds_back_only_what_an_ignore_file_may_still_speak_of() -> None:
    manager = IgnoreFileManager()
    names = ["d/+", "d/-/x", "d/a", "e/+", "e/.syncignore", "f"]
    taken: List[str] = []

    def listing() -> Iterator[Entry]:
        for name in names:
            taken.append(name)
            yield Entry(name, Kind.FILE, Stamp())

    manager.prune(Side.SOURCE, {"e/.syncignore": b"+\n"}.get)
    came = [(item.path, taken[-1]) for item in manager.filtered(Side.SOURCE, listing())]

    assert came == [
        ("d/+", "d/a"),
        ("d/-/x", "d/a"),
        ("d/a", "d/a"),
        ("e/+", "f"),
        ("e/.syncignore", "f"),
        ("f", "f"),
    ]


# Any tree

NAMES = ("+", ".a", ".syncignore", "a", "b", "é", "-x")
PATTERNS = ("a", "b/", "!a", "/a", "*", "!*/", "+", ".a", "a/b", "**/b", "!b", "?", "-*", "é", ".syncignore")

some_rules = st.lists(st.sampled_from(PATTERNS), max_size=3)
some_paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)


@st.composite
def trees(draw: Callable[[Any], Any]) -> Tree:
    files: Tree = {}
    for path in sorted(draw(st.sets(some_paths, max_size=8))):
        clash = any(place in files for place in parents(path)) or any(other.startswith(path + "/") for other in files)
        if not clash:
            files[path] = "\n".join(draw(some_rules)).encode() if path.endswith(".syncignore") else b""
    return files


@settings(max_examples=150, deadline=None)
@given(files=trees(), ignore=some_rules, include=st.just([]) | some_rules)
def test_disks_and_object_stores_see_the_same_of_any_tree(files: Tree, ignore: List[str], include: List[str]) -> None:
    managers = [IgnoreFileManager(ignore=ignore, include=include) for _ in range(2)]
    disk = seen(managers[0], Storage(files))
    store = seen(managers[1], Storage(files, flat=True))
    seen(managers[0], Storage(files), Side.DESTINATION)
    alone = [path for path in sorted(files, key=encoded) if managers[0].excludes(path, Kind.FILE) is None]

    assert visible(disk) == visible(store) == alone
    assert all(managers[0].rule_for(item.path, item.kind) for item in disk if isinstance(item, Excluded))
    for found in (disk, store):
        positions = [encoded(item.position) for item in found]
        assert positions == sorted(set(positions))
