"""The suite every storage client passes; run it on your own.

Each check is a function that takes a factory and raises NotConforming where a client breaks the protocol or claims
what it cannot do. The factory gets the files that the storage is to hold, made fresh for every check and put there by
whatever means, and returns a Subject::

    from syncengine.storage import conformance

    def make(files):
        store = my_server(files)
        return conformance.Subject(MyClient(store), again=lambda: MyClient(store))

    conformance.check(make)                                     # all at once

    @pytest.mark.parametrize("one", conformance.CHECKS, ids=conformance.name_of)
    def test_my_client(one):                                    # or one by one
        one(make)

What a client cannot do is said in its Capabilities and by the optional protocols it lacks; those checks pass it by.
A name it cannot hold, it refuses with Unsupported.
"""

from __future__ import annotations

import hashlib
import io
import threading
from typing import Any, Callable, Collection, Dict, List, Mapping, Optional, Set, Tuple, Type

from attrs import frozen

from ..core.entry import Entry, Kind, Listed, Problem, ProblemKind, Stamp
from ..core.paths import TEMPORARY_PREFIX, TRASH_FOLDER, encoded, fold
from ..errors import NotFound, PreconditionFailed, StorageError, Unavailable, Unsupported
from .protocol import (
    ABSENT,
    ANYTHING,
    Precondition,
    StorageClientProtocol,
    SupportsClose,
    SupportsCopy,
    SupportsDigest,
    SupportsDirectories,
    SupportsLinks,
    SupportsMove,
    SupportsMoveDirectory,
    SupportsSweep,
    exactly,
)
from .temporary import host_mark


class NotConforming(AssertionError):
    """A client does not do what the protocol, or its own capabilities, say."""


@frozen
class Subject:
    """A client to be checked; ``again`` makes another client of the same storage, as another program would."""

    client: StorageClientProtocol
    again: Callable[[], StorageClientProtocol]


Factory = Callable[[Mapping[str, bytes]], Subject]
Check = Callable[[Factory], None]

TREE: Mapping[str, bytes] = {
    "a-b": b"1",
    "a.txt": b"22",
    "a/b/c": b"333",
    "a/b.txt": b"4444",
    "a0": b"",
    "é/x": b"5",
    "z/deep/deeper/deepest": b"66",
}

NAMES: Tuple[str, ...] = (
    "a[1].txt",
    "a1.txt",
    "star*.txt",
    "starX.txt",
    "what?.txt",
    "with space.txt",
    " leading",
    "trailing ",
    "percent%20.txt",
    "100%",
    "hash#1.txt",
    "plus+and&semi;comma,equals=.txt",
    "quotes'\".txt",
    "colon:and::double",
    "back\\slash",
    "~tilde",
    "-dash",
    ".hidden",
    "..two.dots",
    "at@sign",
    "<angle>|pipe",
    "$dollar^caret{brace}",
    "emoji-\N{GRINNING FACE}",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
    "cafe\N{COMBINING ACUTE ACCENT}",
    "Case",
    "case",
    "line\nbreak",
)


class Bytes:
    """A Source over bytes, which may misbehave the way sources do."""

    local_path: Optional[str] = None

    def __init__(
        self,
        content: bytes,
        *,
        size: Optional[int] = None,
        fails_after: Optional[int] = None,
        changes: bool = False,
        on_read: Optional[Callable[[], None]] = None,
    ) -> None:
        self.size: Optional[int] = len(content) if size is None else size
        self._stream = io.BytesIO(content)
        self._fails_after = fails_after
        self._changes = changes
        self._on_read = on_read

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, one at a time until a planned failure."""
        if self._on_read is not None:
            self._on_read()
        if self._fails_after is not None:
            if self._stream.tell() >= self._fails_after:
                raise Unavailable("the source broke off")
            size = 1
        return self._stream.read(size)

    def verify(self) -> Stamp:
        """Return a stamp, or say that the content changed."""
        if self._changes:
            raise PreconditionFailed("the source changed while it was being read")
        return Stamp(size=self.size)


def check(make: Factory) -> None:
    """Run every check and raise NotConforming with all that failed, also by an exception that nobody expected."""
    errors = ((one, _attempted(one, make)) for one in CHECKS)
    failures = [f"{name_of(one)}: {_finding(error)}" for one, error in errors if error is not None]
    if failures:
        raise NotConforming("\n".join(failures))


def _attempted(call: Callable[..., Any], *arguments: Any) -> Optional[Exception]:
    """Return what *call* raises, or None: this is the border to a client under test, which may raise anything."""
    try:
        call(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever a client raises is a finding about it
        return error
    return None


def _finding(error: Exception) -> str:
    """Return what a check found, or what a client raised where it should not have and the call that led to it."""
    import traceback

    if isinstance(error, NotConforming):
        return str(error)
    kind = "only subclasses of StorageError may be raised" if not isinstance(error, StorageError) else "unexpected"
    calls = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__]
    where = f" at `{calls[-1].line}`" if calls else ""
    return f"{kind}: {type(error).__name__}: {error}{where}"


def name_of(one: Check) -> str:
    """Return a check's name as words."""
    return one.__name__.replace("_", " ")


def _need(holds: object, message: str) -> None:
    if not holds:
        raise NotConforming(message)


def _refused(kind: Type[Exception], why: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    try:
        call(*arguments, **options)
    except kind:
        return
    except StorageError as error:
        raise NotConforming(f"{why}: raised {type(error).__name__} instead of {kind.__name__}: {error}") from error
    raise NotConforming(f"{why}: nothing was raised")


def _content(client: StorageClientProtocol, path: str) -> bytes:
    with client.read(path) as source:
        return b"".join(iter(lambda: source.read(1 << 16), b""))


def _files(client: StorageClientProtocol, prefix: str = "") -> Dict[str, Entry]:
    listed = client.list(prefix)
    return {item.path: item for item in listed if isinstance(item, Entry) and item.kind is Kind.FILE}


def _entry(client: StorageClientProtocol, path: str) -> Entry:
    found = client.stat(path)
    if found is None:
        raise NotConforming(f"stat({path!r}) is None for a file that exists")
    return found


def _same(client: StorageClientProtocol, first: Stamp, second: Stamp) -> Optional[bool]:
    return first.same_version(second, granularity_ns=client.capabilities.mtime_granularity_ns)


def _writable(make: Factory, files: Mapping[str, bytes]) -> Optional[Subject]:
    subject = make(files)
    return subject if subject.client.capabilities.writable else None


# Reading


def lists_everything_once_and_in_order(make: Factory) -> None:
    """Positions rise strictly in byte order; directories are delivered where they are real."""
    client = make(TREE).client
    items = list(client.list())
    positions = [encoded(item.position) for item in items]
    _need(positions == sorted(set(positions)), f"positions do not rise strictly: {positions}")
    _need(not [item for item in items if isinstance(item, Problem)], f"problems in a sound tree: {items}")
    files = {item.path for item in items if isinstance(item, Entry) and item.kind is Kind.FILE}
    _need(files == set(TREE), f"files differ: {sorted(files ^ set(TREE))}")
    directories = {item.path for item in items if isinstance(item, Entry) and item.kind is Kind.DIRECTORY}
    expected = {"a", "a/b", "é", "z", "z/deep", "z/deep/deeper"} if client.capabilities.real_directories else set()
    _need(directories == expected, f"directories differ: {sorted(directories ^ expected)}")


def lists_below_a_prefix(make: Factory) -> None:
    """A prefix limits the listing and does not change the keys."""
    client = make(TREE).client
    _need(set(_files(client, "a")) == {"a/b/c", "a/b.txt"}, "list('a') is not what lies below 'a'")


def lists_what_a_look_shows(make: Factory) -> None:
    """The stamp in a listing and the stamp of a look never contradict each other."""
    client = make(TREE).client
    for path, entry in _files(client).items():
        looked = _entry(client, path)
        _need(_same(client, entry.stamp, looked.stamp) is not False, f"{path}: {entry.stamp} and {looked.stamp}")
        _need(looked.stamp.size in (None, len(TREE[path])), f"{path}: size {looked.stamp.size}")


def keeps_names_literal(make: Factory) -> None:
    """A name is one file, whatever characters it has; two names are two files."""
    names = _kinds_of_names(make({}).client)
    written = {name: name.encode("utf-8") for name in names}
    subject = make({}) if make({}).client.capabilities.writable else make(written)
    client = subject.client
    if client.capabilities.writable:
        written = {name: content for name, content in written.items() if _could_write(client, name, content)}
    _need(len(written) > len(names) / 2, f"refuses most names; holds only {sorted(written)}")
    # A file system that stores accents in a form of its own lists them in that form.
    form = client.capabilities.unicode_form
    found, expected = ({fold(name, form) for name in names} for names in (_files(client), written))
    _need(found == expected, f"names differ: {sorted(found ^ expected)}")
    for name, content in written.items():
        _need(_content(client, name) == content, f"{name!r} has the content of another file")
    if client.capabilities.writable and "star*.txt" in written:
        client.delete("star*.txt", expect=exactly(_entry(client, "star*.txt").stamp))
        left = set(written) - {"star*.txt"}
        same = {fold(name, form) for name in _files(client)} == {fold(name, form) for name in left}
        _need(same, "deleting 'star*.txt' deleted something else")


def _kinds_of_names(client: StorageClientProtocol) -> List[str]:
    able = client.capabilities
    folded: Set[str] = set()
    names = []
    for name in NAMES:
        key = fold(name, able.unicode_form, case=able.case_insensitive)
        if key not in folded:
            names.append(name)
        folded.add(key)
    return names


def _could_write(client: StorageClientProtocol, name: str, content: bytes) -> bool:
    try:
        client.write(name, Bytes(content), expect=ABSENT)
    except Unsupported:
        return False
    return True


def says_what_is_missing(make: Factory) -> None:
    """A missing path is None to a look and NotFound to everything else."""
    client = make(TREE).client
    _need(client.stat("missing") is None, "stat of a missing path is not None")
    _need(client.stat("a/missing/deep") is None, "stat below a missing directory is not None")
    _refused(NotFound, "reading a missing file", _content, client, "missing")
    _refused(NotFound, "listing a missing prefix", _files, client, "missing")


def knows_its_root(make: Factory) -> None:
    """A root that holds something is a directory."""
    root = make(TREE).client.stat("")
    _need(root is not None and root.kind is Kind.DIRECTORY, f"stat('') is {root}")


def refuses_keys_that_leave_the_root(make: Factory) -> None:
    """A path with ``..``, an absolute one and one with an empty part are nothing that can be read."""
    client = make(TREE).client
    for path in ("../a.txt", "/a.txt", "a//b.txt", "a/../a.txt", "a\0"):
        _refused(StorageError, f"reading {path!r}", _content, client, path)


def reads_one_version(make: Factory) -> None:
    """Content comes whole, in pieces of any size, and only of the version that was expected."""
    content = bytes(range(256)) * 4096
    client = make({"big": content, "small": b"abc"}).client
    entry = _entry(client, "big")
    with client.read("big", expect=entry.stamp) as source:
        _need(source.size in (None, len(content)), f"size is {source.size}")
        got = b"".join(iter(lambda: source.read(10_007), b""))
        _need(got == content, "the content differs")
        _need(source.read(10) == b"", "there is something after the end")
        _need(_same(client, source.verify(), entry.stamp) is not False, "verify() returned another version")
    with client.read("small") as source:
        _need(source.read() == b"abc", "read() without a size does not return everything")
    with client.read("small") as source:
        source.read(1)
    _refused(PreconditionFailed, "reading a stale version", _read_expecting, client, "small", Stamp(size=99))


def _read_expecting(client: StorageClientProtocol, path: str, stamp: Stamp) -> bytes:
    with client.read(path, expect=stamp) as source:
        return source.read()


def hides_reserved_names(make: Factory) -> None:
    """The trash and temporary files are entries only of a listing of the trash; a temporary file is a leftover."""
    leftover = f"{TEMPORARY_PREFIX}1-00000000-00"
    files = {"kept": b"1", f"{TRASH_FOLDER}/run/old": b"2", f"d/{leftover}": b"3", "d/kept": b"4"}
    client = make(files).client
    items = list(client.list())
    entries = {item.path for item in items if isinstance(item, Entry) and item.kind is Kind.FILE}
    _need(entries == {"kept", "d/kept"}, f"entries are {sorted(entries)}")
    asked = [item.path for item in client.list(TRASH_FOLDER) if isinstance(item, Entry) and item.kind is Kind.FILE]
    _need(asked == [f"{TRASH_FOLDER}/run/old"], f"a listing of the trash itself shows {asked}")
    problems = {(item.kind, item.path) for item in items if isinstance(item, Problem)}
    _need(problems == {(ProblemKind.LEFTOVER, f"d/{leftover}")}, f"problems are {problems}")


class _Pruning:
    def __init__(self, hidden: str) -> None:
        self.hidden = hidden
        self.entered: List[str] = []

    def enter(self, directory: str, names: Collection[str]) -> None:
        self.entered.append(directory)

    def __call__(self, directory: str) -> bool:
        return directory == self.hidden


def enters_only_what_is_not_pruned(make: Factory) -> None:
    """A pruned directory is delivered where directories are, but nothing in it is looked at."""
    client = make(TREE).client
    prune = _Pruning("z")
    items: List[Listed] = list(client.list(prune=prune))
    paths = {item.path for item in items}
    _need(not [path for path in paths if path.startswith("z/")], "a pruned directory was entered")
    _need(("z" in paths) == client.capabilities.real_directories, "a pruned directory is delivered like any other")
    _need(sorted(prune.entered) == ["", "a", "a/b", "é"], f"enter() was called for {prune.entered}")


def claims_only_what_it_has(make: Factory) -> None:
    """Capabilities and the optional protocols say the same."""
    client = make({}).client
    able = client.capabilities
    _need(able.server_copy == isinstance(client, SupportsCopy), "server_copy and SupportsCopy differ")
    _need(able.server_move == isinstance(client, SupportsMove), "server_move and SupportsMove differ")
    if able.writable:
        _need(able.real_directories == isinstance(client, SupportsDirectories), "real_directories: no methods for them")
    conditions = ("create_if_absent", "replace_if_unchanged", "delete_if_unchanged")
    silent = [name for name in conditions if not getattr(able, name) and name not in dict(able.windows)]
    _need(not able.writable or not silent, f"no window is declared for {silent}")
    _need(isinstance(client.identity, str) and client.identity, "there is no identity")


# Writing


def returns_the_stamp_of_what_it_wrote(make: Factory) -> None:
    """The stamp that write returns is the one that a fresh look shows, for new and for replaced files."""
    subject = _writable(make, {})
    if subject is None:
        return
    client = subject.client
    for path, content in (("new/deep/file", b"one"), ("new/deep/file", b"three"), ("empty", b"")):
        stamp = client.write(path, Bytes(content), expect=ANYTHING)
        looked = _entry(subject.again(), path)
        _need(_same(client, stamp, looked.stamp), f"{path}: wrote {stamp}, a look shows {looked.stamp}")
        _need(looked.stamp.size in (None, len(content)), f"{path}: {looked.stamp.size} bytes")
        _need(_content(client, path) == content, f"{path}: other content")


def writes_content_of_unknown_length(make: Factory) -> None:
    """A source need not know its size."""
    subject = _writable(make, {})
    if subject is None:
        return
    source = Bytes(b"x" * 200_000)
    source.size = None
    subject.client.write("file", source, expect=ABSENT)
    _need(_content(subject.client, "file") == b"x" * 200_000, "other content")


def writes_all_or_nothing(make: Factory) -> None:
    """Whatever goes wrong with the content, the old version stays, nothing new appears and no litter is left."""
    broken: Mapping[str, Callable[[], Bytes]] = {
        "breaks off": lambda: Bytes(b"new content", fails_after=4),
        "is too short": lambda: Bytes(b"new", size=11),
        "is too long": lambda: Bytes(b"new content, and more", size=11),
        "changed": lambda: Bytes(b"new content", changes=True),
    }
    subject = _writable(make, {"old": b"old content"})
    if subject is None:
        return
    client = subject.client
    for what, content in broken.items():
        for path in ("old", "new"):
            why = f"writing {path!r} from a source that {what}"
            _refused(StorageError, why, client.write, path, content(), expect=ANYTHING)
    items = [item for item in subject.again().list() if not isinstance(item, Entry) or item.kind is Kind.FILE]
    _need([item.path for item in items] == ["old"], f"after failures the storage holds {items}")
    _need(_content(subject.again(), "old") == b"old content", "the old version was touched")


def keeps_the_old_version_until_the_new_one_is_complete(make: Factory) -> None:
    """While a file is being replaced, everybody else reads the old version."""
    subject = _writable(make, {"file": b"old"})
    if subject is None:
        return
    seen: List[bytes] = []
    other = subject.again()

    def look(other: StorageClientProtocol = other, seen: List[bytes] = seen) -> None:
        seen.append(_content(other, "file"))

    subject.client.write("file", Bytes(b"new" * 1000, on_read=look), expect=ANYTHING)
    _need(set(seen) == {b"old"}, f"others saw {set(seen)}")
    _need(_content(other, "file") == b"new" * 1000, "the new version is not there")


def writes_only_what_was_expected(make: Factory) -> None:
    """A write whose precondition fails changes nothing."""
    subject = _writable(make, {"file": b"old"})
    if subject is None:
        return
    client = subject.client
    stamp = _entry(client, "file").stamp
    stale = exactly(Stamp(size=99))
    _refused(PreconditionFailed, "absent, but exists", client.write, "file", Bytes(b"n"), expect=ABSENT)
    _refused(PreconditionFailed, "another version", client.write, "file", Bytes(b"n"), expect=stale)
    _refused(PreconditionFailed, "exactly, but absent", client.write, "none", Bytes(b"n"), expect=stale)
    _need(_content(client, "file") == b"old", "a refused write changed the file")
    _need(client.stat("none") is None, "a refused write made a file")
    newer = client.write("file", Bytes(b"newer"), expect=exactly(stamp))
    _refused(PreconditionFailed, "stale stamp", client.write, "file", Bytes(b"x"), expect=exactly(stamp))
    client.write("file", Bytes(b"newest"), expect=exactly(newer))
    _need(_content(client, "file") == b"newest", "the last expected write is not there")


def deletes_only_what_was_expected(make: Factory) -> None:
    """A delete whose precondition fails deletes nothing; what is gone already is gone."""
    subject = _writable(make, {"d/file": b"old", "d/other": b"1"})
    if subject is None:
        return
    client = subject.client
    stale = exactly(Stamp(size=99))
    _refused(PreconditionFailed, "deleting another version", client.delete, "d/file", expect=stale)
    _refused(PreconditionFailed, "deleting what is gone, exactly", client.delete, "d/gone", expect=stale)
    if client.capabilities.real_directories:
        _refused(StorageError, "deleting a directory as a file", client.delete, "d", expect=ANYTHING)
    client.delete("d/gone", expect=ANYTHING)
    client.delete("d/file", expect=exactly(_entry(client, "d/file").stamp))
    _need(set(_files(subject.again())) == {"d/other"}, "after the delete other files are there")


def looks_freshly(make: Factory) -> None:
    """What another program does is seen by the next look, listing and read."""
    subject = _writable(make, {"file": b"old", "gone": b"1"})
    if subject is None:
        return
    client, other = subject.client, subject.again()
    before = _entry(client, "file")
    list(client.list())
    other.write("file", Bytes(b"newer"), expect=ANYTHING)
    other.write("added/file", Bytes(b"2"), expect=ANYTHING)
    other.delete("gone", expect=ANYTHING)
    _need(_same(client, before.stamp, _entry(client, "file").stamp) is False, "a look shows the old version")
    _need(client.stat("gone") is None, "a look shows what was deleted")
    _need(set(_files(client)) == {"file", "added/file"}, "a listing shows the old state")
    _need(_content(client, "file") == b"newer", "a read shows the old version")
    _refused(PreconditionFailed, "reading a stale stamp", _read_expecting, client, "file", before.stamp)


def never_mixes_two_versions(make: Factory) -> None:
    """A file that is replaced while it is read comes out whole, or not at all."""
    old, new = b"o" * 3_000_000, b"n" * 3_000_001
    subject = _writable(make, {"file": old})
    if subject is None:
        return
    other = subject.again()
    with subject.client.read("file") as source:
        got = source.read(1000)
        other.write("file", Bytes(new), expect=ANYTHING)
        try:
            got += b"".join(iter(lambda: source.read(1 << 16), b""))
            source.verify()
        except StorageError:
            return
        _need(got in (old, new), "two versions were mixed and verify() accepted them")


def keeps_the_conditions_it_claims_under_threads(make: Factory) -> None:
    """Of two writers with the same claimed condition one succeeds."""
    subject = _writable(make, {})
    if subject is None:
        return
    client, able = subject.client, subject.client.capabilities
    for turn in range(10):
        path = f"file-{turn}"
        if able.create_if_absent:
            _one_of_two(subject, "creating", _write_one, path, ABSENT)
        client.write(path, Bytes(b"base"), expect=ANYTHING)
        if able.replace_if_unchanged:
            _one_of_two(subject, "replacing", _write_one, path, exactly(_entry(client, path).stamp))
        if able.delete_if_unchanged:
            _one_of_two(subject, "deleting", _delete_one, path, exactly(_entry(client, path).stamp))


def _write_one(client: StorageClientProtocol, path: str, expect: Precondition, content: bytes) -> None:
    client.write(path, Bytes(content), expect=expect)


def _delete_one(client: StorageClientProtocol, path: str, expect: Precondition, content: bytes) -> None:
    client.delete(path, expect=expect)


_Change = Callable[[StorageClientProtocol, str, Precondition, bytes], None]


def _one_of_two(subject: Subject, what: str, change: _Change, path: str, expect: Precondition) -> None:
    barrier = threading.Barrier(2)
    ends: List[Optional[Exception]] = []

    def run(client: StorageClientProtocol, content: bytes) -> None:
        barrier.wait(10)
        ends.append(_attempted(change, client, path, expect, content))

    pairs = ((subject.client, b"first"), (subject.again(), b"second"))
    threads = [threading.Thread(target=run, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in ends:
        if error is not None and not isinstance(error, PreconditionFailed):
            raise error
    _need(ends.count(None) == 1, f"{what} at once: {ends.count(None)} of 2 succeeded")


def sets_times_where_it_says_so(make: Factory) -> None:
    """A time that is given is kept, within the granularity."""
    wanted = 1_600_000_000_000_000_000
    subject = _writable(make, {})
    if subject is None:
        return
    if subject.client.capabilities.set_mtime:
        subject.client.write("file", Bytes(b"1"), expect=ABSENT, mtime_ns=wanted)
        kept = _entry(subject.client, "file").stamp.mtime_ns
        _need(kept == wanted, f"the time is {kept} instead of {wanted}")


# What some can do besides


def copies_within_itself(make: Factory) -> None:
    """A copy has the content, keeps its origin, and obeys both preconditions."""
    subject = _writable(make, {"old": b"content", "taken": b"1"})
    if subject is None:
        return
    client = subject.client
    if not isinstance(client, SupportsCopy):
        return
    _refused(PreconditionFailed, "copying onto a file", client.copy, "old", "taken", expect=ABSENT)
    stale = Stamp(size=99)
    _refused(PreconditionFailed, "origin", client.copy, "old", "n", expect=ABSENT, expect_origin=stale)
    stamp = client.copy("old", "new[1]/copy*", expect=ABSENT, expect_origin=_entry(client, "old").stamp)
    _need(_same(client, stamp, _entry(client, "new[1]/copy*").stamp), "the stamp of the copy is another")
    _need(_content(client, "new[1]/copy*") == b"content", "the copy has other content")
    _need(_content(client, "taken") == b"1", "a refused copy changed its target")
    client.copy("old", "taken", expect=exactly(_entry(client, "taken").stamp))
    _need(_content(client, "taken") == b"content", "a copy over an expected version did not happen")
    _need(set(_files(client)) == {"old", "taken", "new[1]/copy*"}, "a copy left something else")


def moves_within_itself(make: Factory) -> None:
    """A move keeps the content, replaces only what was expected, and leaves nothing behind."""
    subject = _writable(make, {"old": b"content", "taken": b"1"})
    if subject is None:
        return
    client = subject.client
    if not isinstance(client, SupportsMove):
        return
    _refused(PreconditionFailed, "moving onto a file", client.move, "old", "taken", expect=ABSENT)
    _refused(NotFound, "moving what is missing", client.move, "none", "n", expect=ABSENT)
    stale = Stamp(size=99)
    _refused(PreconditionFailed, "origin", client.move, "old", "n", expect=ABSENT, expect_origin=stale)
    _need(_content(client, "taken") == b"1", "a refused move changed its target")
    stamp = client.move("old", "new[1]/moved*", expect=ABSENT)
    _need(_same(client, stamp, _entry(client, "new[1]/moved*").stamp), "the stamp at the new name is another")
    client.move("new[1]/moved*", "taken", expect=exactly(_entry(client, "taken").stamp))
    found = _files(subject.again())
    _need(set(found) == {"taken"}, f"after two moves there are {sorted(found)}")
    _need(_content(client, "taken") == b"content", "the moved file has other content")


def moves_whole_directories(make: Factory) -> None:
    """A directory moves with everything in it, whose stamps stay, and never over anything."""
    subject = _writable(make, {"old[1]/file": b"1", "old[1]/deep/file": b"22", "taken/file": b"3", "file": b"4"})
    if subject is None:
        return
    client = subject.client
    if not isinstance(client, SupportsMoveDirectory):
        return
    before = {path: entry.stamp for path, entry in _files(client, "old[1]").items()}
    _refused(PreconditionFailed, "moving onto a directory", client.move_directory, "old[1]", "taken")
    _refused(PreconditionFailed, "moving onto a file", client.move_directory, "old[1]", "file")
    _refused(PreconditionFailed, "moving a file as a directory", client.move_directory, "file", "new")
    _refused(NotFound, "moving what is missing", client.move_directory, "none", "new")
    _need(_files(client, "old[1]").keys() == before.keys(), "a refused move moved something")
    client.move_directory("old[1]", "new/place*")
    _need(client.stat("old[1]") is None, "the directory also stands under its old name")
    found = _files(subject.again(), "new/place*")
    moved = {"new/place*" + path[len("old[1]") :]: stamp for path, stamp in before.items()}
    _need(found.keys() == moved.keys(), f"the moved directory holds {sorted(found)}")
    _need(all(_same(client, moved[path], found[path].stamp) for path in moved), "a stamp changed by moving")


def makes_and_removes_directories(make: Factory) -> None:
    """A directory is made with its parents, listed while empty, and removed only while empty."""
    subject = _writable(make, {"full/file": b"1"})
    if subject is None:
        return
    client = subject.client
    if not isinstance(client, SupportsDirectories):
        return
    client.make_directory("new/deep")
    client.make_directory("new/deep")
    directories = [item.path for item in client.list() if isinstance(item, Entry) and item.kind is Kind.DIRECTORY]
    _need(directories == ["full", "new", "new/deep"], f"directories are {directories}")
    _refused(PreconditionFailed, "removing a directory that holds one", client.remove_directory, "new")
    _refused(PreconditionFailed, "removing a directory that is full", client.remove_directory, "full")
    _refused(StorageError, "a directory in place of a file", client.make_directory, "full/file")
    client.remove_directory("new/deep")
    client.remove_directory("new")
    _need(client.stat("new") is None, "the removed directory is still there")
    client.delete("full/file", expect=ANYTHING)
    _need(_entry(client, "full").kind is Kind.DIRECTORY, "a directory vanished with its last file")


def digests_the_expected_version(make: Factory) -> None:
    """A digest is of the content, and of no other version."""
    client = make({"file": b"content"}).client
    if isinstance(client, SupportsDigest):
        wanted = "sha256:" + hashlib.sha256(b"content").hexdigest()
        _need(client.digest("file", "sha256") == wanted, "the digest is another")
        stale = Stamp(size=99)
        _refused(PreconditionFailed, "digesting another version", client.digest, "file", "sha256", expect=stale)


def holds_links_where_it_says_so(make: Factory) -> None:
    """A link keeps its target literally."""
    subject = _writable(make, {"file": b"1"})
    if subject is None:
        return
    client = subject.client
    if isinstance(client, SupportsLinks) and client.capabilities.symlinks:
        client.write_link("link", "no/such/target", expect=ABSENT)
        _refused(PreconditionFailed, "a link over a file", client.write_link, "file", "x", expect=ABSENT)
        _need(_content(client, "file") == b"1", "a refused link changed the file")


def sweeps_only_what_was_abandoned(make: Factory) -> None:
    """A dead writer's temporary file is swept, a user's file never."""
    abandoned = f"{TEMPORARY_PREFIX}999999999-{host_mark()}-00"
    subject = _writable(make, {"file": b"1", f"d/{abandoned}": b"2"})
    if subject is None:
        return
    client = subject.client
    if isinstance(client, SupportsSweep):
        _need(not client.sweep("file"), "a user's file was swept")
        _need(client.sweep(f"d/{abandoned}"), "an abandoned temporary file was not swept")
        _need(not client.sweep(f"d/{abandoned}"), "a temporary file was swept twice")
        _need([item.path for item in client.list() if isinstance(item, Problem)] == [], "the leftover is still there")
        _need(_content(client, "file") == b"1", "a user's file was touched")


def lets_go_when_it_is_closed(make: Factory) -> None:
    """Closing is silent, and other clients of the storage go on."""
    subject = make({"file": b"1"})
    other = subject.again()
    _content(subject.client, "file")
    if isinstance(subject.client, SupportsClose) and other is not subject.client:
        subject.client.close()
    _need(_content(other, "file") == b"1", "another client cannot read any more")


CHECKS: Tuple[Check, ...] = (
    lists_everything_once_and_in_order,
    lists_below_a_prefix,
    lists_what_a_look_shows,
    keeps_names_literal,
    says_what_is_missing,
    knows_its_root,
    refuses_keys_that_leave_the_root,
    reads_one_version,
    hides_reserved_names,
    enters_only_what_is_not_pruned,
    claims_only_what_it_has,
    returns_the_stamp_of_what_it_wrote,
    writes_content_of_unknown_length,
    writes_all_or_nothing,
    keeps_the_old_version_until_the_new_one_is_complete,
    writes_only_what_was_expected,
    deletes_only_what_was_expected,
    looks_freshly,
    never_mixes_two_versions,
    keeps_the_conditions_it_claims_under_threads,
    sets_times_where_it_says_so,
    copies_within_itself,
    moves_within_itself,
    moves_whole_directories,
    makes_and_removes_directories,
    digests_the_expected_version,
    holds_links_where_it_says_so,
    sweeps_only_what_was_abandoned,
    lets_go_when_it_is_closed,
)
"""Every check, in the order in which a new client is best built."""
