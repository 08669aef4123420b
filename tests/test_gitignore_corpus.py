"""Every verdict is compared with the one of git itself: ``git check-ignore``."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncengine.core.entry import Kind, Side
from syncengine.stages.filter import IgnoreFileManager


class World(NamedTuple):
    """Ignore files by folder, and paths to ask about; a path that ends in a slash is a directory."""

    files: Dict[str, bytes]
    paths: Sequence[str]


def words(text: str) -> Tuple[str, ...]:
    return tuple(text.split(" "))


TREE = words(
    "a a.txt a.tmp b/ b/a.txt b/a.tmp b/c/ b/c/a.txt b/build/ b/build/x build/ build/x build/keep build/sub/keep foo "
    "foo.py foo/ src/foo/ src/foo/bar src/foo.py logs/ logs/debug.log logs/2026/ logs/2026/01/app.log debug.log"
)
ODD = words("# #a ! !a [ ] [a] \\ a\\b - ^ a-b é ü/é 日本/語 ~ a~ .hidden .a/.b ** a*b ? a?b {a} $a A a.TXT")
SPACED = ["a ", " a", "a b", "a\t", "\ta", "a\n", "x\ny/z", "a  ", " ", "a\u00a0", "b\u3000/a"]


def one(*lines: str, paths: Sequence[str] = TREE) -> World:
    return World({"": "\n".join(lines).encode()}, tuple(paths))


def nested(paths: Sequence[str] = TREE, **files: str) -> World:
    names = {"" if name == "root" else name.replace("__", "/"): text for name, text in files.items()}
    return World({folder: text.encode() for folder, text in names.items()}, tuple(paths))


CORPUS: Tuple[World, ...] = (
    one("*.tmp"),
    one("*.tmp", "!b/a.tmp"),
    one("build/"),
    one("build"),
    one("/build"),
    one("build/", "!build/keep"),
    one("build/*", "!build/keep"),
    one("build/**", "!build/sub/", "!build/sub/keep"),
    one("*", "!*/", "!*.py"),
    one("/*", "!/b", "/b/*", "!/b/c"),
    one("foo/"),
    one("foo/", "!src/foo/"),
    one("**/foo"),
    one("src/**/bar"),
    one("logs/**/*.log"),
    one("logs/**"),
    one("**/2026/**"),
    one("**"),
    one("**/"),
    one("*/"),
    one("*", "!a*"),
    one("b/*/a.txt"),
    one("b/**/a.txt"),
    one("l?gs/d*g.log"),
    one("a.[a-s]xt", "a.[!a-s]mp"),
    one("a.[t][xm]?"),
    one("foo.py", "!foo.py", "foo.py"),
    one("# foo", "", "   ", "foo.py   "),
    one("//foo", "foo//", "/", "!", "!/"),
    one("**b/a.txt", "sr**/foo.py", "log**/2026", "b**"),
    one("b/c/**/", "!b/c/a.txt"),
    one("***", "!***/a.txt"),
    World({"": b"\xef\xbb\xbf*.tmp\r\nbuild/\r\n"}, TREE),
    World({"": b"foo.py\r\n\r\n*.tmp \r\n!a.tmp\r"}, TREE),
    World({"": b"foo.py\0junk\n\0\nb\n"}, TREE),
    one("\\#", "\\!", "\\!a", "\\#a", paths=ODD),
    one("#a", "!a", "!!a", paths=ODD),
    one("\\[a\\]", "\\\\", "a\\\\b", paths=ODD),
    one("[", "a[", "\\", "a\\", "[a", "[!", "[]", paths=ODD),
    one("[]]", "[[]", "[\\]]", "[^a]", paths=ODD),
    one("[!a]", paths=ODD),
    one("[]-]", "[a^]", "a[!a]b", paths=ODD),
    one("[--z]", "[^]", "[&&a]", "[[a]", paths=ODD),
    one("[z-a]", "[a-]", "[-a]", paths=ODD),
    one("[[:punct:]]", paths=ODD),
    one("[[:alpha:]]", "[[:digit:]-a]", "[[:nope:]]", "[[:alpha]", "[[:]", paths=ODD),
    one("[+-9]", "a[+-9]b", "a[/]b", "a[^x]b", paths=[*ODD, "a/b", "a.b", "a5b"]),
    one("?", paths=ODD),
    one("??", "ü", paths=ODD),
    one("日本/", "é", paths=ODD),
    one("[é]", "?é", "日*/*", paths=ODD),
    one("\\*\\*", "a\\*b", "a\\?b", paths=ODD),
    one("a.txt", "a", paths=ODD),
    one(".*", "!.a", paths=ODD),
    one("{a}", "$a", "~", "*~", paths=ODD),
    one("a\\ ", " a", paths=SPACED),
    one("a ", paths=SPACED),
    one("a \\ ", "a\t", paths=SPACED),
    one("\ta", "a b", paths=SPACED),
    one("a?", "x?y/*", paths=SPACED),
    one("\\ ", "a\u00a0", paths=SPACED),
    one("*\u3000", "[[:space:]]a", "a[[:blank:]]", paths=SPACED),
    one("a\\/b", "\\/a", "**\\/c", "b/**\\/a.txt", "a\\b", paths=["a/b", "ab", "c", "x/c", "b/a.txt", "b/x/a.txt"]),
    nested(root="*.txt", b="!a.txt"),
    nested(root="*.txt", b="!a.txt", b__c="a.txt"),
    nested(root="b/", b="!a.txt"),
    nested(root="!a.txt", b="*.txt"),
    nested(root="/b/c", b="!c"),
    nested(b="/a.txt\nc/a.txt\nbuild/"),
    nested(b__c="*", b="!c/a.txt"),
    nested(root="*", b="!*"),
    nested(root="*\n!b\n!logs/", b="!a.*", logs="!*.log"),
    nested(src="foo/", src__foo="!bar"),
    nested(logs__2026="**/app.log", logs="/2026/**/x"),
)


def ask_git(repository: Path, worlds: Sequence[World]) -> List[bool]:
    """Return git's verdict about every path of every world, in order, from a single process."""
    questions = []
    for number, world in enumerate(worlds):
        root = repository / str(number)
        root.mkdir()
        for path in world.paths:
            folder = path if path.endswith("/") else os.path.dirname(path)
            (root / folder).mkdir(parents=True, exist_ok=True)
            questions.append(f"./{number}/{path.rstrip('/')}")
        for folder, content in world.files.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / ".gitignore").write_bytes(content)
    answer = subprocess.run(
        ["git", "-C", str(repository), "check-ignore", "--no-index", "-v", "-n", "--stdin", "-z"],
        input=b"".join(os.fsencode(question) + b"\0" for question in questions),
        capture_output=True,
        check=False,
    )
    assert not answer.stderr
    fields = answer.stdout.split(b"\0")
    patterns = fields[2:-1:4]
    assert len(patterns) == len(questions)
    return [pattern != b"" and not pattern.startswith(b"!") for pattern in patterns]


def ask_ourselves(world: World) -> List[bool]:
    manager = IgnoreFileManager(ignore_files=".gitignore")
    for folder in sorted(world.files):
        contents = {f"{folder}/.gitignore".lstrip("/"): world.files[folder]}
        manager.prune(Side.SOURCE, contents.get).enter(folder, [".gitignore"])
    kinds = {True: Kind.DIRECTORY, False: Kind.FILE}
    return [manager.excludes(path.rstrip("/"), kinds[path.endswith("/")]) is not None for path in world.paths]


def differences(repository: Path, worlds: Sequence[World]) -> List[Tuple[Dict[str, bytes], str, str]]:
    verdicts = iter(ask_git(repository, worlds))
    return [
        (world.files, path, "git ignores it" if git else "git does not ignore it")
        for world in worlds
        for path, ours, git in zip(world.paths, ask_ourselves(world), verdicts)
        if ours != git
    ]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


def plausible(world: World) -> World:
    """Leave out paths that would be a file and a directory at once."""
    directories = {folder.rstrip("/") for path in world.paths for folder in ancestors(path)}
    directories |= {path.rstrip("/") for path in world.paths if path.endswith("/")} | set(world.files)
    return World(world.files, tuple(path for path in world.paths if path.endswith("/") or path not in directories))


def ancestors(path: str) -> List[str]:
    parts = path.rstrip("/").split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def test_the_corpus_gets_the_verdicts_of_git(repository: Path) -> None:
    worlds = [plausible(world) for world in CORPUS]

    assert sum(len(world.paths) for world in worlds) >= 300
    assert differences(repository, worlds) == []


def test_the_corpus_holds_both_verdicts_in_number(repository: Path) -> None:
    verdicts = ask_git(repository, [plausible(world) for world in CORPUS])

    assert 300 < sum(verdicts) < len(verdicts) - 300


def test_a_name_that_is_no_text_is_matched_byte_by_byte(repository: Path) -> None:
    paths = [os.fsdecode(name) for name in (b"\xff", b"a\xffb", b"\xff\xfe", b"x\xff/y")]
    files = [b"?", b"a?b", b"\xff", b"[\xf0-\xff]", b"*\xfe", b"x[!a]/", b"x?/y"]

    assert differences(repository, [World({"": content}, paths) for content in files]) == []


PIECES = (
    *("a", "b", "ab", "*", "*", "**", "**", "?", "/", "/", "/", "!", "#", " ", "\t", "\r", "é", "-", "]", "^"),
    *("[ab]", "[!a]", "[^b]", "[b-a]", "[]a]", "[\\]]", "[+-9]", "[/]", "[[:alpha:]]", "[[:foo:]]", "[[:]", "[&&a]"),
    *("\\", "\\a", "\\*", "\\/", "\\ ", "[", "***", "a**", "**/", "/**"),
)
NAMES = ("a", "b", "ab", "ba", "aab", "a b", " a", "a ", "é", "[", "]", "!a", "#", "a\\", "-", "^", "a\nb", "*", "a\t")

lines = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
contents = st.lists(lines, min_size=1, max_size=4).map(lambda patterns: "\n".join(patterns).encode())
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
worlds_of_anything = st.builds(
    lambda root, below, files, folders: plausible(
        World({"": root, **below}, tuple(dict.fromkeys([*files, *(folder + "/" for folder in folders)])))
    ),
    contents,
    st.dictionaries(st.sampled_from(["a", "b", "a/b", "ab"]), contents, max_size=2),
    st.lists(paths, min_size=1, max_size=6),
    st.lists(paths, min_size=1, max_size=4),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds=st.lists(worlds_of_anything, min_size=1, max_size=12))
def test_any_rules_and_paths_get_the_verdicts_of_git(
    tmp_path_factory: pytest.TempPathFactory, worlds: List[World]
) -> None:
    repository = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "--quiet", "--template=", str(repository)], check=True)

    assert differences(repository, worlds) == []
