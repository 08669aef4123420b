"""The jobs: what every tool has to do, how it is told to, and what has to be true afterwards.

A job is made once for a size. For each tool and round ``prepare`` brings everything into the state the job starts
from, ``command`` is measured as one whole process, and ``verify`` proves the result. Every tool has its own copies,
so that no tool finds what another left behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, ClassVar, Dict, List, Optional, Tuple, Type

from benchmark_servers import (
    ObjectServer,
    Server,
    ShellServer,
    object_server,
    why_no_object_server,
    why_no_shell_server,
)
from benchmark_trees import SIZES, Size, change_some, contents, make_tree, must_equal, rename_main, stamps
from measuring import WrongResult, measured
from tools import RCLONE_OPTIONS, SYNCENGINE, path_of

Command = List[str]
Commands = Dict[str, Callable[[], Command]]

_SYNC = [*SYNCENGINE, "sync", "--yes", "--no-progress", "--mode"]
_MIRROR = [*_SYNC, "source-to-destination"]
_TWO_WAY = [*_SYNC, "two-way"]
_FSSPEC_RSYNC = "import fsspec.generic, sys; fsspec.generic.rsync(sys.argv[1], sys.argv[2], delete_missing=True)"


class Bench:
    """One size on disk, made once: the source tree, what it holds, and the servers that were asked for."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.folder = folder
        self.size = size
        self.source = folder / "source"
        self._expected: Optional[Dict[str, str]] = None
        self._servers: Dict[Type[Server], Server] = {}
        self.source.mkdir()
        make_tree(self.source, size)

    @property
    def expected(self) -> Dict[str, str]:
        """What the source holds, by path."""
        if self._expected is None:
            self._expected = contents(self.source)
        return self._expected

    def server(self, kind: Callable[[Path], Server]) -> Server:
        """Return the running server of a kind, started at the first wish."""
        assert isinstance(kind, type)
        if kind not in self._servers:
            self._servers[kind] = kind(self.folder)
        return self._servers[kind]

    def close(self) -> None:
        """Stop the servers."""
        for server in self._servers.values():
            server.stop()


class Job:
    """One thing that tools do."""

    name: ClassVar[str]
    quick: ClassVar[Tuple[str, ...]] = ("300-files",)
    usual: ClassVar[Tuple[str, ...]] = ("10k-files",)
    only_when_asked: ClassVar[bool] = False

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.folder = bench.folder / self.name
        self.folder.mkdir(exist_ok=True)
        self._round = 0

    @staticmethod
    def why_not() -> Optional[str]:
        """Return why this job cannot be done on this machine, None where it can."""
        return None

    def tools(self) -> Tuple[str, ...]:
        """Return the tools that can do this job."""
        return tuple(self.commands("syncengine"))

    def commands(self, tool: str) -> Commands:
        """Return how each tool is told to do the job, with the places of *tool*."""
        raise NotImplementedError

    def prepare(self, tool: str) -> None:
        """Bring the places of *tool* into the state that the job starts from."""

    def verify(self, tool: str) -> None:
        """Raise WrongResult where the tool did not do its job."""

    def finish(self) -> None:
        """Remove what the job has written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self, tool: str) -> Dict[str, str]:
        """Return the environment of a tool: a home of its own, and nothing of the user's."""
        home = str(self._home(tool))
        own = {"HOME": home, "SYNCENGINE_STATE": f"{home}/state", "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home}
        return {**os.environ, **own, "UNISON": f"{home}/unison"}

    def command(self, tool: str) -> Command:
        """Return the arguments of the process that is measured."""
        return self.commands(tool)[tool]()

    def _home(self, tool: str) -> Path:
        home = self.folder / f"home-{tool}"
        home.mkdir(exist_ok=True)
        return home

    def _fresh(self, name: str) -> Path:
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return place

    def _run(self, tool: str) -> None:
        measured(self.command(tool), self.environment(tool))


def _mirrors(source: str, target: str) -> Commands:
    """Return how tools mirror one local folder to another."""
    return {
        "syncengine": lambda: [*_MIRROR, source, target],
        "rsync": lambda: [path_of("rsync"), "-a", "--delete", f"{source}/", f"{target}/"],
        "rclone": lambda: [path_of("rclone"), "sync", *RCLONE_OPTIONS, source, target],
    }


# ------------------------------------------------------------------------------------------------------- local disks


class FirstCopy(Job):
    """Copy a tree to a folder that is empty, of a pair that was never synced before."""

    name = "local-first-copy"
    usual = ("10k-files", "200k-files")

    def commands(self, tool: str) -> Commands:
        source, target = str(self.bench.source), str(self._target(tool))
        copying = {"cp": lambda: [path_of("cp"), "-a", f"{source}/.", target]}
        generic = {"fsspec": lambda: [sys.executable, "-c", _FSSPEC_RSYNC, f"file://{source}", f"file://{target}"]}
        return {**_mirrors(source, target), **copying, **(generic if self.bench.size.files <= 10_000 else {})}

    def prepare(self, tool: str) -> None:
        self._fresh(f"target-{tool}")
        shutil.rmtree(self._home(tool))

    def verify(self, tool: str) -> None:
        must_equal(tool, self.bench.expected, self._target(tool))

    def _target(self, tool: str) -> Path:
        return self.folder / f"target-{tool}"


class LargeFile(FirstCopy):
    """Copy one large file."""

    name = "local-large-file"
    quick = ("16mib",)
    usual = ("2gib",)


class _Agreed(Job):
    """Something happens where the tool itself has brought both sides into agreement before."""

    usual = ("10k-files", "200k-files")

    def commands(self, tool: str) -> Commands:
        return _mirrors(str(self._source(tool)), str(self._target(tool)))

    def prepare(self, tool: str) -> None:
        source = self._source(tool)
        shutil.rmtree(source, ignore_errors=True)
        shutil.copytree(self.bench.source, source, symlinks=True)
        self._fresh(self._target(tool).name)
        shutil.rmtree(self._home(tool))
        self._run(tool)
        self.change(source)

    def change(self, source: Path) -> None:
        """Do to the source what the tool then has to carry over."""
        raise NotImplementedError

    def verify(self, tool: str) -> None:
        must_equal(tool, contents(self._source(tool)), self._target(tool))

    def _source(self, tool: str) -> Path:
        return self.folder / f"source-{tool}"

    def _target(self, tool: str) -> Path:
        return self.folder / f"target-{tool}"


class NoChange(_Agreed):
    """Sync once more where nothing has changed."""

    name = "local-no-change"

    def prepare(self, tool: str) -> None:
        if not self._target(tool).exists():
            super().prepare(tool)
            must_equal(tool, self.bench.expected, self._target(tool))
        self._before = stamps(self._target(tool))

    def change(self, source: Path) -> None:
        pass

    def verify(self, tool: str) -> None:
        if stamps(self._target(tool)) != self._before:
            raise WrongResult(f"{tool} wrote files although nothing had changed")


class SomeChanged(_Agreed):
    """One file in a hundred has new content."""

    name = "local-changed"

    def change(self, source: Path) -> None:
        change_some(source)


class Renamed(_Agreed):
    """The folder that holds nearly every file has got another name."""

    name = "local-renamed"

    def commands(self, tool: str) -> Commands:
        found = super().commands(tool)
        plain = found["rclone"]
        return {**found, "rclone": lambda: [*plain(), "--track-renames"]}

    def change(self, source: Path) -> None:
        rename_main(source)


class PlanOnly(Job):
    """Say what a first copy would do, without doing it."""

    name = "plan-only"
    usual = ("10k-files", "200k-files")

    def commands(self, tool: str) -> Commands:
        source, target = str(self.bench.source), str(self.folder / "empty")
        return {
            "syncengine": lambda: [*SYNCENGINE, "plan", "--mode", "source-to-destination", source, target],
            "rsync": lambda: [path_of("rsync"), "-an", "--itemize-changes", "--delete", f"{source}/", f"{target}/"],
            "rclone": lambda: [path_of("rclone"), "sync", "--dry-run", *RCLONE_OPTIONS, source, target],
        }

    def prepare(self, tool: str) -> None:
        self._fresh("empty")

    def verify(self, tool: str) -> None:
        must_equal(tool, {}, self.folder / "empty")


_SAVE_AND_LOAD = """
import sys, syncengine
plan = syncengine.plan(sys.argv[1], sys.argv[2], mode="source-to-destination", state=None)
plan.save(sys.argv[3])
loaded = syncengine.Plan.load(sys.argv[3])
assert len(loaded.operations) == len(plan.operations) == int(sys.argv[4]), len(loaded.operations)
"""


class PlanFile(Job):
    """Make a plan of one operation for each file, save it, load it."""

    name = "plan-save-load"
    usual = ("200k-files",)

    def commands(self, tool: str) -> Commands:
        places = [str(self.bench.source), str(self.folder / "empty"), str(self.folder / "saved.plan.json")]
        operations = str(len(self.bench.expected))
        return {"syncengine": lambda: [sys.executable, "-c", _SAVE_AND_LOAD, *places, operations]}

    def prepare(self, tool: str) -> None:
        self._fresh("empty")


class Version(Job):
    """Start, and say the version."""

    name = "start-version"
    quick = usual = ("100-files",)

    def commands(self, tool: str) -> Commands:
        return {"syncengine": lambda: [*SYNCENGINE, "--version"]}


class Import(Job):
    """Import the package."""

    name = "start-import"
    quick = usual = ("100-files",)

    def commands(self, tool: str) -> Commands:
        return {"syncengine": lambda: [sys.executable, "-c", "import syncengine"]}


# ----------------------------------------------------------------------------------------------------------- two-way


def _two_way(source: str, target: str, home: Path) -> Commands:
    """Return how tools keep two local folders in step."""
    known = (home / "rclone" / "bisync").exists()
    unison = ["-batch", "-silent", "-auto", "-times", "-fastcheck", "true"]
    resync = [] if known else ["--resync"]
    return {
        "syncengine": lambda: [*_TWO_WAY, source, target],
        "rclone": lambda: [path_of("rclone"), "bisync", *resync, *RCLONE_OPTIONS, source, target],
        "unison": lambda: [path_of("unison"), source, target, *unison],
    }


class TwoWayFirst(FirstCopy):
    """The first two-way sync of a pair whose second side is empty."""

    name = "two-way-first"
    usual = ("200k-files",)

    def commands(self, tool: str) -> Commands:
        return _two_way(str(self.bench.source), str(self._target(tool)), self._home(tool))


class TwoWayNoChange(NoChange):
    """A two-way sync where nothing has changed."""

    name = "two-way-no-change"
    usual = ("200k-files",)

    def commands(self, tool: str) -> Commands:
        return _two_way(str(self._source(tool)), str(self._target(tool)), self._home(tool))


# ----------------------------------------------------------------------------------------------------- object stores


class _Objects(Job):
    """The same S3 server for every tool; each first copy goes to a bucket that nobody has seen."""

    @staticmethod
    def why_not() -> Optional[str]:
        return why_no_object_server()

    @property
    def server(self) -> ObjectServer:
        server = self.bench.server(object_server())
        assert isinstance(server, ObjectServer)
        return server

    def environment(self, tool: str) -> Dict[str, str]:
        return {**super().environment(tool), **self.server.environment}

    def bucket(self, tool: str) -> str:
        """Return the bucket of *tool* in this round."""
        return f"{self.name}-{tool}-{self._round}"

    def prepare(self, tool: str) -> None:
        self._round += 1
        self._make(self.bucket(tool))
        shutil.rmtree(self._home(tool))

    def verify(self, tool: str) -> None:
        self._check(tool, self.bucket(tool))

    def _check(self, tool: str, bucket: str) -> None:
        """Raise WrongResult where a bucket does not hold the tree: every object is read and compared."""
        try:
            self._rclone("check", "--download", str(self.bench.source), f"store:{bucket}")
        except WrongResult as error:
            raise WrongResult(f"{tool} did not copy everything: {error}") from error

    def _make(self, bucket: str) -> None:
        """Make a bucket."""
        self._rclone("mkdir", f"store:{bucket}")

    def _filled(self) -> str:
        """Return a bucket that holds the tree."""
        if not self.server.filled:
            self._rclone("copy", str(self.bench.source), "store:filled")
            self.server.filled = True
        return "filled"

    def _rclone(self, *arguments: str) -> str:
        """Run rclone, which is no part of what is measured, and return what it prints."""
        command = [path_of("rclone"), *RCLONE_OPTIONS, *arguments]
        ended = subprocess.run(command, env=self.environment("rclone"), capture_output=True, text=True, check=False)
        if ended.returncode:
            raise WrongResult(f"rclone {arguments[0]} ended with {ended.returncode}: {ended.stderr[-1000:]}")
        return ended.stdout


def _object_mirrors(source: str, target: str) -> Commands:
    """Return how tools mirror to, from or between buckets; places with a scheme are buckets."""

    def stored(place: str) -> str:
        return place.replace("s3://", "store:") if place.startswith("s3://") else place

    def wildcard(place: str) -> str:
        return f"{place}/*" if place.startswith("s3://") else f"{place}/"

    def remote(place: str) -> str:
        return place if place.startswith("s3://") else f"file://{place}"

    quiet = ["--only-show-errors", "--no-progress"]
    return {
        "syncengine": lambda: [*_MIRROR, source, target],
        "rclone": lambda: [
            *(path_of("rclone"), "sync", "--transfers", "16", *RCLONE_OPTIONS),
            *(stored(source), stored(target)),
        ],
        "s5cmd": lambda: [path_of("s5cmd"), "--log", "error", "cp", wildcard(source), f"{target}/"],
        "aws": lambda: [path_of("aws"), "s3", "sync", *quiet, source, target],
        "fsspec": lambda: [sys.executable, "-c", _FSSPEC_RSYNC, remote(source), remote(target)],
    }


class ObjectUpload(_Objects):
    """Copy a tree to an empty bucket."""

    name = "s3-up"

    def commands(self, tool: str) -> Commands:
        return _object_mirrors(str(self.bench.source), f"s3://{self.bucket(tool)}")


class ObjectDownload(_Objects):
    """Copy a bucket to an empty folder."""

    name = "s3-down"

    def commands(self, tool: str) -> Commands:
        return _object_mirrors(f"s3://{self._filled()}", str(self.folder / f"target-{tool}"))

    def prepare(self, tool: str) -> None:
        self._fresh(f"target-{tool}")
        shutil.rmtree(self._home(tool))

    def verify(self, tool: str) -> None:
        must_equal(tool, self.bench.expected, self.folder / f"target-{tool}")


class ObjectCopy(_Objects):
    """Copy one bucket to another of the same server."""

    name = "s3-to-s3"

    def commands(self, tool: str) -> Commands:
        return _object_mirrors(f"s3://{self._filled()}", f"s3://{self.bucket(tool)}")


class ObjectNoChange(_Objects):
    """Sync a tree and a bucket once more where nothing has changed."""

    name = "s3-no-change"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._before: Dict[str, List[str]] = {}

    def commands(self, tool: str) -> Commands:
        found = _object_mirrors(str(self.bench.source), f"s3://{self.bucket(tool)}")
        default = [path_of("rclone"), "sync", *RCLONE_OPTIONS, str(self.bench.source), f"store:{self.bucket(tool)}"]
        return {"syncengine": found["syncengine"], "rclone": lambda: default, "aws": found["aws"]}

    def bucket(self, tool: str) -> str:
        return f"{self.name}-{tool}"

    def prepare(self, tool: str) -> None:
        if tool not in self._before:
            self._make(self.bucket(tool))
            self._run(tool)
            self._check(tool, self.bucket(tool))
            self._before[tool] = self._written(tool)

    def verify(self, tool: str) -> None:
        changed = set(self._written(tool)) ^ set(self._before[tool])
        if changed:
            raise WrongResult(f"{tool} wrote objects although nothing had changed: {sorted(changed)[:4]}")

    def _written(self, tool: str) -> List[str]:
        """Return all objects of a bucket with the time at which the server got them."""
        shown = ("-R", "--files-only", "--use-server-modtime", "--format", "pst")
        return sorted(self._rclone("lsf", *shown, f"store:{self.bucket(tool)}").splitlines())


_LIST_OURS = """
import sys, syncengine
assert sum(1 for entry in syncengine.scan(sys.argv[1]).entries) == int(sys.argv[2])
"""
_LIST_THEIRS = """
import sys, fsspec
filesystem, path = fsspec.url_to_fs(sys.argv[1])
assert len(filesystem.find(path, detail=True)) == int(sys.argv[2])
"""


class ObjectListing(_Objects):
    """List a bucket."""

    name = "s3-listing"

    def commands(self, tool: str) -> Commands:
        arguments = [f"s3://{self._filled()}", str(len(self.bench.expected))]
        return {
            "syncengine": lambda: [sys.executable, "-c", _LIST_OURS, *arguments],
            "s3fs": lambda: [sys.executable, "-c", _LIST_THEIRS, *arguments],
            "rclone": lambda: [path_of("rclone"), "size", *RCLONE_OPTIONS, f"store:{self._filled()}"],
            "s5cmd": lambda: [path_of("s5cmd"), "du", f"{arguments[0]}/*"],
        }

    def prepare(self, tool: str) -> None:
        self._filled()

    def verify(self, tool: str) -> None:
        pass


class LargeUpload(ObjectUpload):
    """Copy one large file to a bucket."""

    name = "s3-up-large"
    quick = ("16mib",)
    usual = ("1gib",)


class LargeDownload(ObjectDownload):
    """Copy one large object to a folder."""

    name = "s3-down-large"
    quick = ("16mib",)
    usual = ("1gib",)


# --------------------------------------------------------------------------------------------------------------- SFTP


class _Shell(Job):
    @staticmethod
    def why_not() -> Optional[str]:
        return why_no_shell_server()

    @property
    def server(self) -> ShellServer:
        server = self.bench.server(ShellServer)
        assert isinstance(server, ShellServer)
        return server

    def environment(self, tool: str) -> Dict[str, str]:
        return {**super().environment(tool), **self.server.environment}

    def prepare(self, tool: str) -> None:
        self._fresh(f"target-{tool}")
        shutil.rmtree(self._home(tool))

    def verify(self, tool: str) -> None:
        must_equal(tool, self.bench.expected, self.folder / f"target-{tool}")


class ShellUpload(_Shell):
    """Copy a tree to an empty folder of an SSH server."""

    name = "sftp-up"

    def commands(self, tool: str) -> Commands:
        source, target = str(self.bench.source), self.folder / f"target-{tool}"
        return {
            "syncengine": lambda: [*_MIRROR, source, self.server.url(target)],
            "rclone": lambda: [path_of("rclone"), "sync", *RCLONE_OPTIONS, source, f"shell:{target}"],
        }


class ShellDownload(_Shell):
    """Copy a tree of an SSH server to an empty folder."""

    name = "sftp-down"

    def commands(self, tool: str) -> Commands:
        source, target = self.bench.source, str(self.folder / f"target-{tool}")
        return {
            "syncengine": lambda: [*_MIRROR, self.server.url(source), target],
            "rclone": lambda: [path_of("rclone"), "sync", *RCLONE_OPTIONS, f"shell:{source}", target],
        }


# -------------------------------------------------------------------------------------------------------------- scale


class ScaleLocal(NoChange):
    """Nothing to do in a large tree: memory has to stay flat."""

    name = "scale-local"
    quick = ()
    usual = ("100k-files", "1m-files")
    only_when_asked = True

    def commands(self, tool: str) -> Commands:
        return {"syncengine": super().commands(tool)["syncengine"]}


class ScaleGenerated(Job):
    """Nothing to do between two listings that are made up while they are read."""

    name = "scale-generated"
    quick = ()
    usual = ("1m-generated", "10m-generated")
    only_when_asked = True

    def commands(self, tool: str) -> Commands:
        return {"syncengine": lambda: self._step("sync")}

    def prepare(self, tool: str) -> None:
        if not (self.folder / "state").exists():
            measured(self._step("record"), self.environment(tool))

    def _step(self, step: str) -> Command:
        script = Path(__file__).with_name("generated.py")
        return [sys.executable, str(script), step, str(self.bench.size.files), str(self.folder / "state")]


JOBS: Dict[str, Type[Job]] = {
    job.name: job
    for job in (
        FirstCopy,
        NoChange,
        SomeChanged,
        Renamed,
        LargeFile,
        ObjectUpload,
        ObjectDownload,
        ObjectCopy,
        ObjectNoChange,
        ObjectListing,
        LargeUpload,
        LargeDownload,
        ShellUpload,
        ShellDownload,
        TwoWayFirst,
        TwoWayNoChange,
        PlanOnly,
        PlanFile,
        Version,
        Import,
        ScaleLocal,
        ScaleGenerated,
    )
}


def bench_of(folder: Path, size: str) -> Bench:
    """Return a new bench for the size of that name."""
    return Bench(folder, SIZES[size])
