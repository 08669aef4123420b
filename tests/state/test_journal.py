import errno
import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timezone

import pytest

from syncengine.errors import StateError
from syncengine.state.journal import KEPT, Journal, MemoryShelf, Started

AT = datetime(2026, 11, 22, 13, 52, 16, tzinfo=timezone.utc)


def started(number=1, plan="sha256:aa"):
    return Started(f"20261122T135216Z-{number:08x}", plan, "sha256:root", 7, AT)


@pytest.fixture(params=["files", "memory"])
def journal(request, tmp_path):
    return Journal.at(str(tmp_path / "pair")) if request.param == "files" else Journal(MemoryShelf())


def test_a_journal_reads_back_what_a_run_did_in_order(journal):
    writer = journal.start(started())
    writer.append({"path": "a\n\udcff\u2028", "status": "done"})
    writer.barrier()
    writer.append({"path": "b"})
    writer.finish(AT, applied_in_full=True)

    lines = list(journal.read(started().run_id))
    assert [line["event"] for line in lines] == ["started", "operation", "operation", "finished"]
    assert lines[0]["generation"] == 7
    assert lines[1]["path"] == "a\n\udcff\u2028"


def test_only_a_plan_that_was_applied_in_full_counts_as_applied(journal):
    journal.start(started(1, "sha256:full")).finish(AT, applied_in_full=True)
    journal.start(started(2, "sha256:part")).finish(AT, applied_in_full=False)
    journal.start(started(3, "sha256:dead")).close()

    assert journal.already_applied("sha256:full") == started(1).run_id
    assert journal.already_applied("sha256:part") is None
    assert journal.already_applied("sha256:dead") is None
    assert journal.already_applied("sha256:never") is None


def test_a_run_that_did_not_finish_is_continued_in_its_own_journal(journal):
    first = journal.start(started())
    first.append({"path": "a"})
    first.close()
    second = journal.start(started())
    second.append({"path": "b"})
    second.finish(AT, applied_in_full=True)

    events = [line["event"] for line in journal.read(started().run_id)]
    assert events == ["started", "operation", "started", "operation", "finished"]
    assert journal.already_applied("sha256:aa") == started().run_id


def test_a_run_that_finished_is_not_continued(journal):
    journal.start(started()).finish(AT, applied_in_full=True)

    with pytest.raises(StateError, match="has finished"):
        journal.start(started())


def test_the_oldest_journals_make_room(journal):
    for number in range(KEPT + 5):
        journal.start(started(number)).close()

    runs = journal.runs()
    assert len(runs) == KEPT
    assert runs[0] == started(KEPT + 4).run_id
    assert runs[-1] == started(5).run_id


def test_without_runs_there_is_nothing_to_read_and_nothing_is_created(tmp_path):
    journal = Journal.at(str(tmp_path / "pair"))

    assert journal.runs() == []
    assert list(journal.read("none")) == []
    assert journal.already_applied("sha256:aa") is None
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_disk_that_takes_no_more_is_told_as_what_it_is(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = Journal.at(str(tmp_path)).start(started())
    monkeypatch.setattr(f"syncengine.state.journal.os.{call}", full)

    def recorded():
        writer.append({"path": "a"})
        writer.barrier()

    with pytest.raises(StateError, match="cannot be written: No space left"):
        recorded()
    monkeypatch.undo()
    writer.close()


@pytest.mark.parametrize("torn", [b'{"event":"opera', b"", b"\xff\xfe", b'{"event":"finished","applied_in_full":true}'])
def test_a_line_torn_by_a_crash_is_no_line_and_is_cut_off_by_the_next_writer(tmp_path, torn):
    journal = Journal.at(str(tmp_path))
    writer = journal.start(started())
    writer.append({"path": "a"})
    writer.close()
    with open(tmp_path / "runs" / f"{started().run_id}.jsonl", "ab") as file:
        file.write(torn)

    assert [line["event"] for line in journal.read(started().run_id)] == ["started", "operation"]
    assert journal.already_applied("sha256:aa") is None
    journal.start(started()).close()
    assert [line["event"] for line in journal.read(started().run_id)] == ["started", "operation", "started"]


def test_a_line_broken_in_the_middle_is_an_error_that_names_the_run(tmp_path):
    journal = Journal.at(str(tmp_path))
    writer = journal.start(started())
    writer.append({"path": "a"})
    writer.close()
    path = tmp_path / "runs" / f"{started().run_id}.jsonl"
    path.write_bytes(b"garbage\n" + path.read_bytes())

    with pytest.raises(StateError, match=started().run_id):
        list(journal.read(started().run_id))


def test_lines_survive_the_death_of_their_process(tmp_path):
    script = (
        "import sys, os, signal, datetime\n"
        "from syncengine.state.journal import Journal, Started\n"
        "at = datetime.datetime.now(datetime.timezone.utc)\n"
        "writer = Journal.at(sys.argv[1]).start(Started('20261122T135216Z-00000001', 'p', 'r', 1, at))\n"
        "for number in range(1000):\n"
        "    writer.append({'number': number})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)

    assert died.returncode == -signal.SIGKILL
    lines = list(Journal.at(str(tmp_path)).read("20261122T135216Z-00000001"))
    assert [line["number"] for line in lines[1:]] == list(range(1000))


def test_a_journal_is_readable_by_its_owner_alone_and_holds_one_json_document_per_line(tmp_path):
    writer = Journal.at(str(tmp_path)).start(started())
    writer.append({"path": "a\nb"})
    writer.close()
    path = tmp_path / "runs" / f"{started().run_id}.jsonl"

    assert path.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["started", "operation"]
