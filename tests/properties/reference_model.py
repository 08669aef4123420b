"""What a sync has to leave behind, computed from the tables of the semantics alone.

Trees are dictionaries from path to content, the state is a dictionary of rows, and nothing is ever stored. The model
knows no stamps: who is newer, which renames were recognised and which rewritten files were recognised as unchanged is
told to it. Directories exist by their files. It is written from the text of the rules, not from the code.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Callable, Collection, Dict, Iterator, List, Optional, Sequence, Set, Tuple

Tree = Dict[str, str]
SOURCE, DESTINATION = "source", "destination"
MODES = ("two-way", "source-to-destination", "source-backup", "destination-to-source", "destination-backup")
POLICIES = ("newest", "source", "destination", "keep-both", "manual")

# row: two-way, source-to-destination, source-backup, destination-to-source, destination-backup
TABLE = {
    "T1": "— — — — —",
    "T2": "→D →D →D ✗S —",
    "T3": "→S ✗D — →S →S",
    "T4": "agree agree agree agree agree",
    "T5": "! →D →D →S →S",
    "T6": "agree agree agree agree agree",
    "T7": "→D →D →D →S →S",
    "T8": "→S →D →D →S →S",
    "T9": "agree agree agree agree agree",
    "T10": "! →D →D →S →S",
    "T11": "✗D ✗D — →S →S",
    "T12": "✗S →D →D ✗S —",
    "T13": "forget forget forget forget forget",
    "T14": "! ✗D — →S →S",
    "T15": "! →D →D ✗S —",
}
WITH_BASE = {"==": "T6", "M=": "T7", "=M": "T8", "MM": "T10", "X=": "T11", "=X": "T12", "XM": "T14", "MX": "T15"}
RESTORED = {"T11": "→S", "T14": "→S", "T12": "→D", "T15": "→D"}
PREFERENCES = {
    "source-wins": {"T2": "→D", "T3": "✗D", "T5": "→D"},
    "destination-wins": {"T2": "✗S", "T3": "→S", "T5": "→S"},
}
CONFLICTS = {"T5": "create_create", "T10": "modify_modify", "T14": "delete_modify", "T15": "delete_modify"}


@dataclass(frozen=True)
class Row:
    """What was agreed on at a path; absence proves nothing where it is not live."""

    content: str
    live: bool = True


@dataclass(frozen=True)
class Rules:
    """What decides one run; *todo* are the prefixes that a first sync has not finished."""

    mode: str = "two-way"
    policy: str = "newest"
    preference: Optional[str] = None
    todo: Tuple[str, ...] = ("",)
    hidden: Callable[[str], bool] = lambda path: False
    excluded: Callable[[str], bool] = lambda path: False
    newer: Callable[[str], Optional[str]] = lambda path: None
    rewritten: Collection[Tuple[str, str]] = ()
    """Files of a side that hold the agreed content in a new version, which nothing could recognise."""


@dataclass
class World:
    """Both trees, what is remembered of them, and what a run had to say."""

    source: Tree
    destination: Tree
    base: Dict[str, Row] = field(default_factory=dict)
    conflicts: Dict[str, str] = field(default_factory=dict)
    unresolved: Set[str] = field(default_factory=set)

    def tree(self, side: str) -> Tree:
        return self.source if side == SOURCE else self.destination

    def copy(self) -> World:
        return World(dict(self.source), dict(self.destination), dict(self.base))

    def put(self, path: str, content: str) -> None:
        self.source[path] = self.destination[path] = content
        self.base[path] = Row(content)

    def drop(self, path: str) -> None:
        for known in (self.source, self.destination, self.base):
            known.pop(path, None)  # type: ignore[attr-defined]


def within(path: str, prefix: str) -> bool:
    return not prefix or path == prefix or path.startswith(prefix + "/")


def other(side: str) -> str:
    return DESTINATION if side == SOURCE else SOURCE


def row_of(world: World, path: str, rewritten: Collection[Tuple[str, str]] = ()) -> str:
    source, destination, base = world.source.get(path), world.destination.get(path), world.base.get(path)
    if base is None:
        if source is None or destination is None:
            return {(True, True): "T1", (False, True): "T2"}.get((source is None, destination is None), "T3")
        return "T4" if source == destination else "T5"
    if source is None and destination is None:
        return "T13"
    if source == destination:
        return "T6" if source == base.content else "T9"

    def since(side: str, content: Optional[str]) -> str:
        if content is None:
            return "X"
        return "=" if content == base.content and (side, path) not in rewritten else "M"

    return WITH_BASE[since(SOURCE, source) + since(DESTINATION, destination)]


def sync(before: World, rules: Rules, renamed: Sequence[Tuple[str, str, str]] = ()) -> World:
    """Return what one complete run leaves; *renamed* are pairs (old, new, side) that it recognises (two-way)."""
    before = _followed(before, renamed)
    after = before.copy()
    paths = sorted({*before.source, *before.destination, *before.base})
    out = {path for path in paths if rules.hidden(path) or rules.excluded(path)}
    for path in paths:
        if path not in out:
            _decide(before, after, path, rules)
        elif rules.excluded(path) and path in after.base:
            after.base[path] = replace(after.base[path], live=False)
    _kinds(before, after, rules)
    return after


def _followed(before: World, renamed: Sequence[Tuple[str, str, str]]) -> World:
    """Return the world in which the other side and the state have followed each rename already."""
    world = before.copy()
    for old, new, side in renamed:
        standing = world.tree(other(side))
        standing[new] = standing.pop(old)
        world.base[new] = world.base.pop(old)
    return world


def _decide(before: World, after: World, path: str, rules: Rules) -> None:
    row, base = row_of(before, path, rules.rewritten), before.base.get(path)
    cell = TABLE[row].split()[MODES.index(rules.mode)]
    if rules.mode == "two-way" and base is None and any(within(path, prefix) for prefix in rules.todo):
        cell = PREFERENCES.get(rules.preference or "", {}).get(row, cell)
    if rules.mode == "two-way" and base is not None and not base.live:
        cell = RESTORED.get(row, cell)
    if cell == "!":
        after.conflicts[path] = CONFLICTS[row]
        _resolve(before, after, path, rules)
    elif cell == "agree":
        after.put(path, before.source[path])
    elif cell in ("→D", "→S"):
        after.put(path, before.tree(SOURCE if cell == "→D" else DESTINATION)[path])
    elif cell in ("✗D", "✗S", "forget"):
        after.drop(path)
    elif base is not None:
        after.base[path] = replace(base, live=False)  # a backup skipped a deletion


def _resolve(before: World, after: World, path: str, rules: Rules) -> None:
    if rules.policy == "manual":
        after.unresolved.add(path)
        return
    present = [side for side in (SOURCE, DESTINATION) if path in before.tree(side)]
    winner = rules.policy if rules.policy in (SOURCE, DESTINATION) else None
    if len(present) == 1:
        winner = winner or present[0]  # the edit beats the deletion
    elif rules.policy == "newest":
        winner = rules.newer(path)
    if winner is None:
        winner = rules.newer(path) or SOURCE
        keep_copy(before, after, path, before.tree(other(winner))[path])
    if winner in present:
        after.put(path, before.tree(winner)[path])
    else:
        after.drop(path)


def copy_name(path: str, content: str, number: int = 1) -> str:
    folder, slash, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    mark = sha256(content.encode()).hexdigest()[:8] + (f"-{number}" if number > 1 else "")
    return f"{folder}{slash}{stem}.conflict-{mark}{dot}{suffix}"


def keep_copy(before: World, after: World, path: str, content: str) -> None:
    """Keep *content* beside *path* on both sides; an equal copy that stands there goes its own way."""
    number = 1
    while True:
        name = copy_name(path, content, number)
        standing = {tree[name] for tree in (before.source, before.destination) if name in tree}
        if not standing:
            return after.put(name, content)
        if standing == {content}:
            return None
        number += 1


def _kinds(before: World, after: World, rules: Rules) -> None:
    """A path wanted both as a file and as a directory: two-way keeps both, backups and the manual policy freeze it."""
    for path in sorted({path for tree in (after.source, after.destination) for path in clashes(tree)}):
        if path not in after.source and path not in after.destination:
            continue  # it lies in what was frozen
        after.conflicts[path] = "kind_clash"
        if rules.mode == "two-way" and rules.policy != "manual":
            content = next(tree[path] for tree in (after.source, after.destination) if path in tree)
            after.drop(path)
            after.unresolved.discard(path)
            keep_copy(before, after, path, content)
        else:
            _freeze(before, after, path)


def _freeze(before: World, after: World, path: str) -> None:
    """Leave *path* and what lies below as it was; a deletion that a backup skips there is remembered as skipped."""
    asleep = {each for each, row in after.base.items() if not row.live}
    for known, was in (
        (after.source, before.source),
        (after.destination, before.destination),
        (after.base, before.base),
    ):
        for each in [each for each in {*known, *was} if within(each, path)]:
            known.pop(each, None)  # type: ignore[attr-defined]
            if each in was:
                known[each] = was[each]  # type: ignore[index]
    after.base.update({each: replace(row, live=False) for each, row in after.base.items() if each in asleep})
    after.conflicts = {each: kind for each, kind in after.conflicts.items() if each == path or not within(each, path)}
    after.unresolved = {each for each in after.unresolved if not within(each, path)} | {path}


def clashes(tree: Tree) -> Iterator[str]:
    """Yield what is both a file and a directory."""
    return (path for path in tree if any(each.startswith(path + "/") for each in tree))


def matchings(world: World, seen: Callable[[str], bool]) -> Iterator[List[Tuple[str, str, str]]]:
    """Yield every set of renames that detection may recognise; the first is none at all.

    Preconditions: the old name live and gone on one side, the new one new there, equal and not empty; on the other
    side the old name is a file, and the new one, and every directory above it, free of files.
    """
    pairs = [
        (old, new, side)
        for side in (SOURCE, DESTINATION)
        for old, row in sorted(world.base.items())
        for new in sorted(world.tree(side))
        if row.live and row.content and seen(old) and seen(new) and _is_rename(world, old, new, side)
    ]
    chosen: List[List[Tuple[str, str, str]]] = [[]]
    for pair in pairs:
        chosen += [[*some, pair] for some in chosen if not any({*pair[:2]} & {*one[:2]} for one in some)]
    yield from chosen


def unsynced(world: World, *, renames: bool = False) -> Set[str]:
    """Return the contents of files that the other side never had.

    With *renames* an edit may follow the file that the other user renamed meanwhile (R4): under its new name stands
    the agreed version, and that edit replaced it.
    """
    return {
        content
        for side in (SOURCE, DESTINATION)
        for path, content in world.tree(side).items()
        if world.base.get(path) != Row(content) and not (renames and _may_be_followed(world, path, side))
    }


def _may_be_followed(world: World, new: str, side: str) -> bool:
    return any(
        row.live and row.content and _is_rename(world, old, new, side) and world.tree(other(side))[old] != row.content
        for old, row in world.base.items()
    )


def _is_rename(world: World, old: str, new: str, side: str) -> bool:
    here, there = world.tree(side), world.tree(other(side))
    if old in here or old not in there or new in world.base or here[new] != world.base[old].content:
        return False
    above = [new[:at] for at, sign in enumerate(new) if sign == "/"]
    return new not in there and not any(path in there for path in above)
