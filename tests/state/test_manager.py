import os
import random
import signal
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from attrs import evolve

from syncengine.core.entry import Base, Kind, Side, Stamp
from syncengine.core.modes import InitialSyncPreference
from syncengine.core.paths import encoded
from syncengine.errors import StateError
from syncengine.state.journal import Started
from syncengine.state.manager import SyncStateManager
from syncengine.state.records import Bootstrap, Ended, Intent, Run, default_place, pair_id

AT = datetime(2026, 11, 22, 13, 52, 16, tzinfo=timezone.utc)
HERE, THERE = "identity of here", "identity of there"

HOSTILE = [
    "a",
    "a.txt",
    "a/b",
    "a/b.txt",
    "a/b/c",
    "a0",
    "A",
    "ab",
    "a\x01",
    "a b",
    "line\nbreak",
    "tab\t",
    "é",
    "e\u0301",
    "\udcff\udcfe",
    "\udce9",
    "\U0001f600",
    "\uffff",
    "\ue000",
    "\u2028",
    "-",
    "~",
    "%41",
    "a[1].txt",
    "'; drop table rows; --",
    "x" * 255,
    "deep/" * 40 + "end",
]


def run(number=1, root="sha256:root", **changes):
    return Run(f"run-{number}", AT + timedelta(hours=number), "two-way", f"sha256:plan-{number}", root, **changes)


def manager(place, source=HERE, destination=THERE, **options):
    return SyncStateManager(str(place), source, destination, **options)


def file(path, size=1, **changes):
    row = Base(path, Kind.FILE, Stamp(size, 10**18 + size, file_id="1:2"), Stamp(size, 10**18, etag='"e"'))
    return evolve(row, **changes)


def plain(path, size=1):
    return Base(path, Kind.FILE, Stamp(size, 10**18, file_id="1:2"), Stamp(size, 10**18 + 1, file_id="3:4"))


def directory(path):
    return Base(path, Kind.DIRECTORY, Stamp(), Stamp())


def record(state, rows=(), number=1, root="sha256:root", **changes):
    state.begin(run(number, root))
    state.commit(rows, **changes)
    state.finish(AT + timedelta(hours=number, minutes=1), {"done": 1})


def paths(rows):
    return [row.path for row in rows]


@pytest.fixture(params=["disk", "process"])
def opened(request, tmp_path):
    """Open one pair again and again, on disk or in this process."""
    identity = f"{HERE} {tmp_path}"

    def open_again(source=identity, destination=THERE):
        return SyncStateManager(str(tmp_path / "place"), source, destination, ephemeral=request.param == "process")

    open_again.source = identity
    yield open_again
    open_again().erase()


# Rows


def test_reading_a_pair_that_was_never_recorded_finds_nothing_and_creates_nothing(tmp_path):
    with manager(tmp_path / "place") as state:
        assert not state.exists
        assert state.lineage is None
        assert state.reference.lineage is None
        assert state.generation == 0
        assert list(state.rows()) == []
        assert state.row("a") is None
        assert state.count_live() == state.count_live_files() == 0
        assert list(state.newer_rows(0, "sha256:root", ["a"])) == []
        assert list(state.undo_rows()) == []
        assert state.intents() == []
        assert state.runs() == []
        assert state.bootstrap == Bootstrap(("",), None)
        assert state.forget([""]) == 0
        assert not state.revert()
        state.check()
    assert list(SyncStateManager.pairs(str(tmp_path / "place"))) == []
    assert os.listdir(tmp_path) == []


ROWS = [
    plain("plain"),
    file("etag"),
    file("weak", weak=True, live=False),
    file("racy", racy=(Side.SOURCE,)),
    file("racy on both", racy=(Side.SOURCE, Side.DESTINATION)),
    file("digest", digest="sha256:abc"),
    file("large", size=2**63 + 1, source=Stamp(2**63 + 1, -(2**70), version="v", digests=("md5:1", "sha256:2"))),
    file("hostile stamp", source=Stamp(1, etag="\udcff\n\x00é", file_id="")),
    file("bare", source=Stamp(), destination=Stamp()),
    file("link", kind=Kind.SYMLINK),
    directory("directory"),
    evolve(directory("stamped directory"), source=Stamp(file_id="7:7"), live=False),
]


def test_every_row_comes_back_as_it_was_recorded(opened):
    with opened() as state:
        record(state, ROWS)
    with opened() as state:
        expected = [evolve(row, generation=1) for row in sorted(ROWS, key=lambda row: encoded(row.position))]
        assert list(state.rows()) == expected
        assert [state.row(row.path) for row in expected] == expected


def test_rows_come_in_the_order_of_their_positions_whatever_their_names(opened):
    rows = [plain(path) for path in HOSTILE] + [directory(path) for path in HOSTILE]
    random.Random(1).shuffle(rows)
    with opened() as state:
        record(state, rows)
    with opened() as state:
        positions = [row.position for row in state.rows()]
        assert positions == sorted((row.position for row in rows), key=encoded)


def test_swapping_the_sides_swaps_the_stamps_and_nothing_else(opened):
    row = file("a", racy=(Side.DESTINATION,), source=Stamp(1, 2, "s", "1", ("md5:1",), "f"))
    with opened() as state:
        record(state, [row, plain("b")])
        lineage = state.lineage
    with opened(THERE, opened.source) as state:
        assert state.lineage == lineage
        first, second = state.rows()
        assert (first.source, first.destination, first.racy) == (row.destination, row.source, (Side.SOURCE,))
        assert (second.source, second.destination) == (plain("b").destination, plain("b").source)
        record(state, [first], number=2)
    with opened() as state:
        assert state.row("a") == evolve(row, generation=2)


def test_a_pair_is_unordered_and_pairs_that_differ_by_a_blank_differ():
    assert pair_id("a", "b") == pair_id("b", "a")
    assert len({pair_id("a", "b"), pair_id("a ", "b"), pair_id("a", " b"), pair_id("ab", "")}) == 4


@pytest.mark.parametrize(
    ("prefixes", "expected"),
    [
        ([""], ["a", "a.txt", "a/b", "a/b.txt", "a/b/c", "a0", "b"]),
        (["a"], ["a", "a/b", "a/b.txt", "a/b/c"]),
        (["a/b"], ["a/b", "a/b/c"]),
        (["b", "a0"], ["a0", "b"]),
        (["a", "a.txt"], ["a", "a.txt", "a/b", "a/b.txt", "a/b/c"]),
        (["a", "a/b", "a"], ["a", "a/b", "a/b.txt", "a/b/c"]),
        (["nothing"], []),
        (["b", ""], ["a", "a.txt", "a/b", "a/b.txt", "a/b/c", "a0", "b"]),
    ],
)
def test_a_scope_gives_exactly_what_stands_at_and_below_it_in_order(opened, prefixes, expected):
    with opened() as state:
        record(state, [plain(path) for path in ["a", "a.txt", "a/b", "a/b.txt", "a/b/c", "a0", "b"]])
        assert paths(state.rows(prefixes)) == expected
        assert state.count_live(prefixes) == len(expected)


def test_live_rows_are_counted_through_every_change(opened):
    with opened() as state:
        state.begin(run())
        state.commit([plain("a"), plain("b"), directory("d"), plain("d/c", 2)])
        assert (state.count_live(), state.count_live_files()) == (4, 3)
        state.commit([plain("a", 7)], dormant=["b", "d/", "missing"])
        assert (state.count_live(), state.count_live_files()) == (2, 2)
        state.commit(forgotten=["a", "b", "missing"])
        assert (state.count_live(), state.count_live_files()) == (1, 1)
        assert (state.count_live(["d"]), state.count_live_files(["d"])) == (1, 1)
        state.finish(AT, {})
        state.check()
    with opened() as state:
        assert (state.count_live(), state.count_live_files()) == (1, 1)
        assert not state.row("d").live


def test_readers_see_one_moment_while_the_same_process_commits(opened):
    with opened() as state:
        record(state, [plain(f"{number:04}") for number in range(3000)])
        reading = state.rows()
        first = next(reading)
        state.begin(run(2))
        state.commit([plain("0001", 99), plain("new")], forgotten=["2999"])
        rest = list(reading)
        state.finish(AT, {})

        assert len([first, *rest]) == 3000
        assert {row.source.size for row in rest} == {1}
        assert len(list(state.rows())) == 3000
        assert state.row("0001").source.size == 99


def test_a_failing_group_records_nothing(opened):
    def rows():
        yield plain("b")
        raise KeyError("the caller failed")

    with opened() as state:
        record(state, [plain("a")])
        state.begin(run(2))
        with pytest.raises(KeyError):
            state.commit(rows(), forgotten=["a"])
        assert paths(state.rows()) == ["a"]
        assert state.generation == 1
        state.commit([plain("c")])
        assert state.generation == 2
        state.check()


def test_nothing_is_committed_outside_a_run(opened):
    with opened() as state:
        for attempt in (
            lambda: state.commit([plain("a")]),
            lambda: state.set_bootstrap([]),
            lambda: state.add_intents(Intent("1", "move", ("a", "b"))),
            lambda: state.finish(AT, {}),
        ):
            with pytest.raises(StateError, match="No run has begun"):
                attempt()
        assert not state.exists


# Generations


def test_a_run_counts_one_generation_and_only_if_it_commits(opened):
    with opened() as state:
        state.begin(run(1))
        state.finish(AT, {})
        assert state.generation == 0
        state.begin(run(2))
        state.commit([plain("a")])
        state.commit([plain("b")])
        state.finish(AT, {})
        assert state.generation == 1
        record(state, [plain("a", 2)], number=3)
        assert state.generation == 2
        assert [row.generation for row in state.rows()] == [2, 1]
        assert state.run("run-3").generations == (2,)


def test_rows_written_since_by_another_plan_are_told_apart_from_those_of_the_same_root(opened):
    with opened() as state:
        record(state, [plain("old"), plain("both"), directory("d")], number=1, root="first")
        record(state, [plain("both", 2)], number=2, root="second")
        record(state, [plain("new"), directory("d")], number=3, root="third")
        everything = ["old", "both", "d", "new", "missing"]

        assert list(state.newer_rows(3, None, everything)) == []
        assert list(state.newer_rows(1, None, everything)) == ["both", "d", "new"]
        assert list(state.newer_rows(1, "second", everything)) == ["d", "new"]
        assert list(state.newer_rows(1, "third", everything)) == ["both"]
        assert list(state.newer_rows(0, "first", everything)) == ["both", "d", "new"]


def test_the_generation_before_the_last_is_kept_and_can_be_put_back(opened):
    with opened() as state:
        record(state, [plain("a"), plain("b"), directory("d")])
        before = list(state.rows())
        state.begin(run(2))
        state.commit([plain("a", 5), plain("c")], forgotten=["b"])
        state.commit([plain("a", 6)], dormant=["d/"])
        state.finish(AT, {})
        undone = dict(state.undo_rows())
        assert undone == {"a": before[0], "b": before[1], "c": None, "d/": before[2]}
        assert state.revert()
        assert list(state.rows()) == before
        assert state.count_live_files() == 2
        assert state.generation == 3
        assert not state.revert()
        state.check()


@pytest.mark.parametrize("standing", [0, 1, 100, 2000])
def test_a_group_that_comes_among_rows_of_others_is_recorded_and_put_back_whole(opened, standing):
    others = [plain(f"{number:04}") for number in range(standing)]
    group = {f"{number:04}{more}": plain(f"{number:04}{more}", 2) for number in range(0, 2000, 3) for more in ("", "x")}
    with opened() as state:
        record(state, others)
        before = {row.path: row for row in state.rows()}

        record(state, group.values(), number=2)

        after = {row.path: row for row in state.rows()}
        assert after == {**before, **{path: evolve(row, generation=state.generation) for path, row in group.items()}}
        assert state.count_live() == len(after)
        assert dict(state.undo_rows()) == {path: before.get(path) for path in group}
        state.check()


def test_the_first_generation_goes_back_to_nothing_without_keeping_it_twice(opened):
    with opened() as state:
        state.begin(run())
        state.commit([plain("a"), plain("b")])
        state.commit(forgotten=["a"])
        state.finish(AT, {})
        assert dict(state.undo_rows()) == {"b": None}
        assert state.revert()
        assert list(state.rows()) == []
        assert state.count_live() == 0
        state.check()


# Bootstrap, intents, history


def test_a_first_sync_stays_unfinished_until_it_is_said_to_be_done(opened):
    with opened() as state:
        state.begin(run(), preference=InitialSyncPreference.SOURCE_WINS)
        state.commit([plain("a")])
    with opened() as state:
        assert state.bootstrap == Bootstrap(("",), InitialSyncPreference.SOURCE_WINS)
        with pytest.raises(StateError, match="'source-wins' and has not finished"):
            state.begin(run(2), preference=InitialSyncPreference.MERGE)
        state.begin(run(2))
        state.set_bootstrap(["unread", "also"])
        assert state.bootstrap == Bootstrap(("also", "unread"), InitialSyncPreference.SOURCE_WINS)
        state.set_bootstrap([])
        state.finish(AT, {})
    with opened() as state:
        assert state.bootstrap == Bootstrap((), None)
        assert state.bootstrap.finished
        state.begin(run(3), preference=InitialSyncPreference.DESTINATION_WINS)
        assert state.bootstrap == Bootstrap((), None)


def test_intents_stay_until_they_are_settled_with_the_rows_they_protect(opened):
    moved = Intent("0a", "move", ("a", "b\udcff"), {"size": 3})
    with opened() as state:
        state.begin(run())
        state.add_intents(moved)
        state.add_intents(Intent("0b", "kind", ("c",)))
    with opened() as state:
        assert state.intents() == [moved, Intent("0b", "kind", ("c",))]
        state.begin(run(2))
        state.commit([plain("b")], forgotten=["a"], settled=["0a"])
        assert state.intents() == [Intent("0b", "kind", ("c",))]
        state.remove_intents(["0b"])
        assert state.intents() == []


def test_the_history_says_how_every_run_ended(opened):
    with opened() as state:
        state.begin(run(1))
        state.finish(AT, {"done": 3, "failed": 1})
        state.begin(run(2))
        state.finish(AT, {"cancelled": 1}, interrupted=True)
        state.begin(run(3))
    with opened() as state:
        state.begin(run(4))
        assert [(found.run_id, found.ended) for found in state.runs()] == [
            ("run-4", Ended.RUNNING),
            ("run-3", Ended.CRASHED),
            ("run-2", Ended.INTERRUPTED),
            ("run-1", Ended.FINISHED),
        ]
        with opened() as onlooker:
            assert onlooker.run("run-4").ended is Ended.RUNNING
        first = state.run("run-1")
        assert first == run(1, finished_at=AT, ended=Ended.FINISHED, counts={"done": 3, "failed": 1})
        assert state.run("never") is None


def test_a_run_that_is_continued_keeps_its_start_and_its_generation(opened):
    with opened() as state:
        state.begin(run(1))
        state.commit([plain("a")])
    with opened() as state:
        state.begin(evolve(run(1), started_at=AT + timedelta(days=9)))
        state.commit([plain("b")])
        state.finish(AT, {"done": 2})
        assert state.generation == 1
        assert [found.started_at for found in state.runs()] == [run(1).started_at]
        assert state.run("run-1").generations == (1,)


# The lock


def test_two_runs_of_one_pair_exclude_each_other_and_planning_goes_on(opened):
    with opened() as state, opened(THERE, opened.source) as other:
        record(state, [plain("a")])
        state.begin(run(2))
        with pytest.raises(StateError, match="Another run on this pair"):
            other.begin(run(3))
        assert paths(other.rows()) == ["a"]
        state.finish(AT, {})
        other.begin(run(3))


def test_a_run_that_lost_its_lock_commits_nothing(tmp_path):
    with manager(tmp_path) as state:
        record(state, [plain("a")])
        state.begin(run(2))
        (tmp_path / state.pair_id / "lock").write_bytes(b"")
        with pytest.raises(StateError, match="lost the lock"):
            state.commit([plain("b")])
    with manager(tmp_path) as state:
        assert paths(state.rows()) == ["a"]


# Crashes

CRASH = """
import os, sys
from datetime import datetime, timezone
from syncengine.core.entry import Base, Kind, Stamp
from syncengine.state.manager import SyncStateManager
from syncengine.state.records import Run
at = datetime(2026, 11, 22, tzinfo=timezone.utc)
state = SyncStateManager(sys.argv[1], "identity of here", "identity of there")
state.begin(Run("crashing", at, "two-way", "p", "r"))
for group in range(100000):
    rows = [Base(f"{group:06}/{n}", Kind.FILE, Stamp(group, n), Stamp(group, n)) for n in range(20)]
    state.commit(rows, forgotten=[f"{group - 5:06}/{n}" for n in range(20)])
    print(group, flush=True)
"""


@pytest.mark.parametrize("after", [0, 3, 11, 40])
def test_after_a_kill_in_mid_commit_every_group_is_there_completely_or_not_at_all(tmp_path, after):
    with subprocess.Popen([sys.executable, "-c", CRASH, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        confirmed = next(int(line) for line in process.stdout if int(line) >= after)
        process.send_signal(signal.SIGKILL)
        # Not communicate(), which does not know of lines that were read ahead.
        confirmed = max([confirmed, *map(int, process.stdout)])

    with manager(tmp_path) as state:
        groups = [int(row.path[:6]) for row in state.rows()]
        last = max(groups)
        assert last in (confirmed, confirmed + 1)
        assert groups == [group for group in range(max(last - 4, 0), last + 1) for _ in range(20)]
        assert state.count_live() == len(groups)
        assert state.run("crashing").ended is Ended.CRASHED
        state.check()
        record(state, [plain("after")], number=2)
        assert state.row("after").generation == 2


def test_an_unclean_end_is_noticed_and_everything_is_read_before_anything_is_believed(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", CRASH, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "0\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    path = tmp_path / pair_id(HERE, THERE) / "state.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("update rows set payload = x'5b315d' where position = (select min(position) from rows)")
    connection.commit()
    connection.close()

    with manager(tmp_path) as state, pytest.raises(StateError, match="is damaged"):
        state.lineage  # noqa: B018


# Damage


def damaged(tmp_path, content):
    """Record a pair, replace its database by *content* of the former bytes, and return its path."""
    with manager(tmp_path) as state:
        record(state, [plain(path) for path in HOSTILE])
    path = tmp_path / pair_id(HERE, THERE) / "state.sqlite"
    path.write_bytes(content(path.read_bytes()))
    return path


DAMAGES = {
    "empty": lambda content: b"",
    "no database": lambda content: b"hello" * 1000,
    "truncated in the middle": lambda content: content[: len(content) // 2],
    "zeros for rows": lambda content: content.replace(b"line\nbreak", bytes(10)),
    "another page size": lambda content: content[:16] + b"\x02\x00" + content[18:],
}


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_is_set_aside_and_refused_until_it_is_reset(tmp_path, content):
    path = damaged(tmp_path, content)
    before = path.read_bytes()

    for _ in range(2):
        with manager(tmp_path) as state, pytest.raises(StateError, match=r"damaged-1.*syncengine state reset"):
            list(state.rows())
        with manager(tmp_path) as state, pytest.raises(StateError, match="syncengine state reset"):
            state.begin(run(2))
    assert not path.exists()
    assert path.with_name("state.sqlite.damaged-1").read_bytes() == before
    (summary,) = SyncStateManager.pairs(str(tmp_path))
    assert "damaged" in summary.problem
    with manager(tmp_path) as state:
        state.reset()
        assert not state.exists
        record(state, [plain("a")])
        assert paths(state.rows()) == ["a"]


def test_a_second_damage_does_not_overwrite_what_the_first_left(tmp_path):
    for number in (1, 2):
        path = damaged(tmp_path, lambda content, number=number: bytes([number]) * 5000)
        with manager(tmp_path) as state, pytest.raises(StateError, match=f"damaged-{number}"):
            list(state.rows())
        with manager(tmp_path) as state:
            state.reset()
    assert path.with_name("state.sqlite.damaged-1").read_bytes() == b"\x01" * 5000


def test_a_state_of_another_pair_is_not_believed(tmp_path):
    with manager(tmp_path, HERE, "elsewhere", source_shown="file:///a", destination_shown="s3://b") as state:
        record(state, [plain("a")])
    os.rename(tmp_path / pair_id(HERE, "elsewhere"), tmp_path / pair_id(HERE, THERE))

    with manager(tmp_path) as state, pytest.raises(StateError, match=r"another pair.*s3://b"):
        list(state.rows())


def test_a_newer_format_is_refused_and_left_alone(tmp_path):
    path = damaged(tmp_path, lambda content: content)
    newer = "import syncengine.state.schema as schema; schema.FORMAT = 99; import sys, datetime\n" + (
        "from syncengine.state import database, manager\n"
        "database.FORMAT = 99\n"
        "state = manager.SyncStateManager(sys.argv[1], 'identity of here', 'identity of there')\n"
        "with state, state._opened().transaction() as draft:\n"
        "    import attrs; draft.header = attrs.evolve(draft.header, format=99)\n"
    )
    subprocess.run([sys.executable, "-c", newer, str(tmp_path)], check=True)
    before = path.read_bytes()

    for _ in range(2):
        with manager(tmp_path) as state, pytest.raises(StateError, match="format 99 by a newer version"):
            list(state.rows())
    assert path.read_bytes() == before


def flipped(content, offset, mask):
    return content[:offset] + bytes([content[offset] ^ mask]) + content[offset + 1 :]


def test_no_flipped_bytes_lead_to_a_wrong_answer(tmp_path):
    with manager(tmp_path / "good") as state:
        record(state, [*ROWS, *(plain(path) for path in HOSTILE)])
        record(state, [plain("a", 3)], forgotten=["~"], number=2)
        expected = list(state.rows())
        history = state.runs()
    good = (tmp_path / "good" / pair_id(HERE, THERE) / "state.sqlite").read_bytes()
    chance = random.Random(20261122)
    offsets = [*range(100), *(chance.randrange(len(good)) for _ in range(300))]
    changes = [flipped(good, offset, chance.randrange(1, 256)) for offset in offsets]
    # SQLite quotes a broken schema in what it raises, in bytes that are no text.
    changes += [flipped(good, good.index(b"CREATE TABLE header") + offset, 0x80) for offset in range(0, 120, 7)]
    changes += [good[: chance.randrange(len(good))] for _ in range(30)] + [good[:-1]]
    noticed = 0
    for number, bad in enumerate(changes):
        place = tmp_path / str(number)
        os.makedirs(place / pair_id(HERE, THERE))
        (place / pair_id(HERE, THERE) / "state.sqlite").write_bytes(bad)
        try:
            with manager(place) as state:
                found = list(state.rows())
                assert [state.row(row.path) for row in expected] == expected, number
                assert state.runs() == history, number
        except StateError:
            noticed += 1
            continue
        assert found == expected, number
    assert noticed > len(changes) // 10


@pytest.mark.parametrize(
    "change",
    [
        "delete from rows where position = (select max(position) from rows)",
        "insert into rows select position || x'21', seal, payload from rows limit 1",
        "update rows set payload = cast(payload as text) where position = (select min(position) from rows)",
        "update rows set payload = (select payload from rows order by position desc limit 1) where position = x'61'",
        "delete from header",
        "drop table rows",
    ],
)
def test_what_another_program_changed_is_noticed(tmp_path, change):
    path = damaged(tmp_path, lambda content: content)
    connection = sqlite3.connect(path)
    connection.execute("update rows set payload = x'5b315d' where 0")
    if "payload from rows order" in change:
        connection.execute("update rows set payload = x'5b5d' where position = (select max(position) from rows)")
    connection.execute(change)
    connection.commit()
    connection.close()

    with manager(tmp_path) as state, pytest.raises(StateError, match="damaged"):
        list(state.rows())


def test_a_damage_seen_while_another_run_lives_moves_nothing(tmp_path):
    with manager(tmp_path) as state:
        record(state, [plain("a")])
        state.acquire()
        path = tmp_path / state.pair_id / "state.sqlite"
        path.write_bytes(b"hello" * 1000)
        with manager(tmp_path) as onlooker, pytest.raises(StateError, match=r"looks damaged .* uses it"):
            list(onlooker.rows())
        assert path.exists()


# Maintenance and disks


def test_rows_can_be_forgotten_by_prefix(opened):
    with opened() as state:
        record(state, [plain("a"), plain("a/b"), plain("a.txt"), plain("b")])
        assert state.forget(["a"]) == 2
        assert paths(state.rows()) == ["a.txt", "b"]
        state.begin(run(2))


def test_a_reset_pair_starts_anew_with_another_lineage_and_keeps_its_journals(opened):
    with opened() as state:
        record(state, [plain("a")])
        lineage = state.lineage
        state.journal.start(Started("run-1", "sha256:plan", "sha256:root", 0, AT)).finish(AT, applied_in_full=True)
        state.reset()
        assert not state.exists
        assert state.journal.already_applied("sha256:plan") == "run-1"
        record(state, [plain("b")], number=2)
        assert paths(state.rows()) == ["b"]
        assert state.lineage != lineage


def test_an_erased_pair_leaves_nothing_to_list(tmp_path):
    with manager(tmp_path) as state:
        record(state, [plain("a")])
        state.erase()
        assert not state.exists
    assert list(SyncStateManager.pairs(str(tmp_path))) == []
    assert os.listdir(tmp_path / pair_id(HERE, THERE)) == ["lock"]


def test_all_pairs_of_a_place_are_listed_with_their_locations_and_last_runs(tmp_path):
    with manager(tmp_path, source_shown="file:///here", destination_shown="s3://there") as state:
        record(state, [plain("a")])
        record(state, [plain("b")], number=2)
    with manager(tmp_path, THERE, "third") as state:
        state.begin(run(3))
    (tmp_path / "unrelated").mkdir()

    found = {summary.pair_id: summary for summary in SyncStateManager.pairs(str(tmp_path))}
    assert set(found) == {pair_id(HERE, THERE), pair_id(THERE, "third")}
    first = found[pair_id(HERE, THERE)]
    assert set(first.locations) == {"file:///here", "s3://there"}
    assert (first.generation, first.rows, first.last_run.run_id, first.problem) == (2, 2, "run-2", None)


def test_planning_leaves_every_byte_of_an_existing_state_as_it_was(tmp_path):
    with manager(tmp_path) as state:
        record(state, [plain("a")])
    place = tmp_path / pair_id(HERE, THERE)
    before = {name: (place / name).read_bytes() for name in os.listdir(place)}

    with manager(tmp_path) as state:
        assert len(list(state.rows())) == 1
        assert state.row("a") is not None
        assert state.runs()
    assert {name: (place / name).read_bytes() for name in os.listdir(place)} == before


@pytest.mark.parametrize("name", ["a b", "per%41cent", "what?mode=ro", "hash#", "\udcff", "é"])
def test_the_name_of_a_place_is_taken_literally(tmp_path, name):
    with manager(tmp_path / name) as state:
        record(state, [plain("a")])
    with manager(tmp_path / name) as state:
        assert paths(state.rows()) == ["a"]
    assert [os.fsdecode(found) for found in os.listdir(os.fsencode(tmp_path))] == [name]


def test_nobody_else_can_read_the_names_in_a_state(tmp_path):
    with manager(tmp_path / "place") as state:
        record(state, [plain("a")])
        assert (tmp_path / "place" / state.pair_id).stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "place" / state.pair_id / "state.sqlite").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("since", ["the beginning", "it was moved"])
def test_a_disk_without_shared_memory_gets_a_rollback_journal(tmp_path, since, monkeypatch):
    if since == "it was moved":
        with manager(tmp_path) as state:
            record(state, [plain("z")], number=0)
    connect = sqlite3.connect

    def without_shared_memory(name, **options):
        # SQLite's own way of using disks that have neither shared memory nor file locks.
        return connect(f"{name}&vfs=unix-dotfile" if name.startswith("file:") else name, **options)

    monkeypatch.setattr(sqlite3, "connect", without_shared_memory)
    with manager(tmp_path) as state:
        record(state, [plain("a"), plain("b")])
        reading = state.rows()
        next(reading)
        record(state, [plain("b", 9)], number=2)
        assert next(reading).source.size == 1
        reading.close()
        assert state.row("b").source.size == 9
    connection = connect(tmp_path / pair_id(HERE, THERE) / "state.sqlite")
    assert connection.execute("pragma journal_mode").fetchone() == ("delete",)
    connection.close()


def test_the_log_of_a_database_that_was_deleted_is_not_taken_for_that_of_the_next(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", CRASH, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "0\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    place = tmp_path / pair_id(HERE, THERE)
    assert (place / "state.sqlite-wal").exists()
    (place / "state.sqlite").unlink()

    with manager(tmp_path) as state:
        assert not state.exists
        record(state, [plain("a")])
        assert paths(state.rows()) == ["a"]
        state.check()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with manager(tmp_path / "file") as state, pytest.raises(StateError, match="cannot be made"):
        state.begin(run())


def test_states_are_kept_below_the_users_state_directory_by_default(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert default_place().endswith("syncengine")


MEMORY = """
import resource, sys
from datetime import datetime, timezone
from syncengine.core.entry import Base, Kind, Stamp
from syncengine.state.manager import SyncStateManager
from syncengine.state.records import Run
at = datetime(2026, 11, 22, tzinfo=timezone.utc)
state = SyncStateManager(sys.argv[1], "a", "b")
if sys.argv[2] == "write":
    state.begin(Run("r", at, "two-way", "p", "r"))
    state.commit(
        Base(f"directory/{n:07}", Kind.FILE, Stamp(n, n, file_id=f"1:{n}"), Stamp(n, n, file_id=f"2:{n}"))
        for n in range(300000)
    )
    state.finish(at, {})
else:
    next(iter(state.rows()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in state.rows()) == 300000
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(grown if sys.platform != "darwin" else grown // 1024)
state.close()
"""


def test_reading_300_000_rows_takes_constant_memory(tmp_path):
    def python(what):
        command = [sys.executable, "-c", MEMORY, str(tmp_path), what]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    python("write")
    assert int(python("read")) < 8 * 1024


def test_importing_the_state_loads_neither_sqlite_nor_anything_heavy():
    code = (
        "import sys, syncengine.state.manager, syncengine.state.trash\n"
        "heavy = {'sqlite3', 'fsspec', 'cattrs', 'platformdirs', 'asyncio', 'pathspec', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert not any(name.startswith('syncengine.storage') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
