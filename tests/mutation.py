"""Break single rules on purpose, and see which test notices: ``python tests/mutation.py [NAME ...]``.

Each mutant is a rule dropped or inverted: a file, a text that stands there exactly once, what to put in its place, and
what that breaks. It is applied to a temporary copy of the project, the tests named with it run until one fails that
passes without it, and one line tells which that was. A mutant whose text is no longer there is an error: rules move,
and a check that silently checks nothing is none. A survivor needs a test. Not part of the suite, because it takes
minutes; the last result is in tests/README.md.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

PROJECT = Path(__file__).parents[1]
COPIED = ("syncengine", "tests", "recipes", "pyproject.toml", "README.md")

RULES = ("tests/core/test_reconcile.py", "tests/core/test_planner.py", "tests/acceptance")
RESOLVING = ("tests/core/test_resolve.py", "tests/acceptance")
GUARDING = ("tests/core/test_guards.py", "tests/test_guards_by_scope.py", "tests/acceptance")
PROPERTIES = ("tests/properties/test_invariants.py", "tests/properties/test_machine.py")
RENAMING = ("tests/core/test_renames.py", "tests/test_renames.py", "tests/acceptance", *PROPERTIES)
COMMITTING = ("tests/test_pipeline.py", *PROPERTIES)

RECONCILE, RENAMES = "syncengine/core/reconcile.py", "syncengine/core/renames.py"
RESOLVE, GUARDS = "syncengine/core/resolve.py", "syncengine/core/guards.py"
COMMIT, LEARNED = "syncengine/stages/commit.py", "syncengine/stages/learned.py"
BOOTSTRAP = "syncengine/core/bootstrap.py"
PLANNER, SCHEDULE = "syncengine/core/planner.py", "syncengine/core/schedule.py"
COMPARATOR, CLASHES = "syncengine/core/comparator.py", "syncengine/core/clashes.py"


@dataclass(frozen=True)
class Mutant:
    """One broken rule."""

    name: str
    file: str
    old: str
    new: str
    breaks: str
    tests: Tuple[str, ...]


def _row(row: str, cells: str, broken: str, breaks: str) -> Mutant:
    return Mutant(f"table-{row}", RECONCILE, f'"{row}": ({cells})', f'"{row}": ({broken})', breaks, RULES)


MUTANTS = (
    _row("T2", '"→D", "→D", "→D", "✗Sʳ", "—"', '"→D", "→D", "→D", "✗S", "—"', "a mirror's deletion keeps nothing"),
    _row("T3", '"→S", "✗Dʳ", "—", "→S", "→S"', '"→S", "✗Dʳ", "✗Dʳ", "→S", "→S"', "a backup deletes"),
    _row(
        "T5",
        '"!", "→Dʳ", "→Dʳ", "→Sʳ", "→Sʳ"',
        '"!", "→D", "→Dʳ", "→Sʳ", "→Sʳ"',
        "a mirror overwrites and keeps nothing",
    ),
    _row("T8", '"→S", "→Dʳ", "→Dʳ", "→S", "→S"', '"→S", "→Dʳ", "→D", "→S", "→S"', "drift in a backup is lost"),
    _row("T10", '"!", "→Dʳ", "→Dʳ", "→Sʳ", "→Sʳ"', '"→D", "→Dʳ", "→Dʳ", "→Sʳ", "→Sʳ"', "the source always wins"),
    _row("T11", '"✗D", "✗D", "—", "→S", "→S"', '"→S", "✗D", "—", "→S", "→S"', "a deleted file comes back"),
    _row("T12", '"✗S", "→D", "→D", "✗S", "—"', '"✗S", "→D", "—", "✗S", "—"', "a backup is not refilled"),
    _row("T14", '"!", "✗Dʳ", "—", "→S", "→S"', '"✗D", "✗Dʳ", "—", "→S", "→S"', "a deletion beats an edit"),
    _row("T15", '"!", "→D", "→D", "✗Sʳ", "—"', '"!", "→D", "→D", "✗S", "—"', "an edit is deleted and not kept"),
    Mutant(
        "dormant-restores",
        RECONCILE,
        '"T11": "→S", "T14": "→S", "T12": "→D", "T15": "→D"}',
        '"T14": "→S", "T15": "→D"}',
        "what a filter hid is deleted after re-inclusion",
        RULES,
    ),
    Mutant(
        "preference-keeps",
        RECONCILE,
        "if decision.by_preference and decision.effect.deletes:\n        return True",
        "if decision.by_preference and decision.effect.deletes:\n        return False",
        "a preference deletes without the trash",
        (*RULES, "tests/test_first_sync.py"),
    ),
    Mutant(
        "preference-once",
        BOOTSTRAP,
        "    if not todo:\n        return None\n",
        "",
        "a preference decides again after the first sync",
        ("tests/test_first_sync.py", "tests/acceptance"),
    ),
    Mutant(
        "preference-todo",
        RECONCILE,
        "return any(is_within(path, prefix) for prefix in self.todo)",
        "return True",
        "a preference goes on after the first sync",
        (*RULES, "tests/test_first_sync.py"),
    ),
    Mutant(
        "equal-first",
        RECONCILE,
        "if equal and SideChange.MODIFIED in (here, there):",
        "if equal and here is SideChange.MODIFIED and there is SideChange.MODIFIED and change.base.weak:",
        "both made the same edit, and it is a conflict",
        RULES,
    ),
    Mutant(
        "unknown-is-not-equal",
        RECONCILE,
        "change.comparison.equality is Equality.EQUAL\n    if change.base is None:",
        "change.comparison.equality is not Equality.DIFFERENT\n    if change.base is None:",
        "what could not be compared is taken for equal",
        (*RULES, "tests/promises/test_truth.py"),
    ),
    Mutant(
        "weak-is-kept",
        RECONCILE,
        "return change.base.weak or not change.base.live",
        "return not change.base.live",
        "a version that was never proved to be agreed on is lost",
        (*RULES, "tests/test_retention.py"),
    ),
    Mutant(
        "dormant-is-kept",
        RECONCILE,
        "return change.base.weak or not change.base.live",
        "return change.base.weak",
        "a version that was promised to be kept is lost",
        (*RULES, *PROPERTIES),
    ),
    Mutant(
        "backup-becomes-dormant",
        RECONCILE,
        'if effect is Effect.NOTHING and row in ("T11", "T12", "T14", "T15"):',
        'if effect is Effect.NOTHING and row == "T1":',
        "two-way deletes what a backup kept",
        RULES,
    ),
    Mutant(
        "leading-sides",
        RECONCILE,
        "if mode.allows_destination_delete:\n        leading.append(Side.SOURCE)",
        "if mode.allows_destination_delete:\n        leading.append(Side.DESTINATION)",
        "the guard watches the wrong side",
        GUARDING,
    ),
    Mutant(
        "renames-need-a-live-base",
        RENAMES,
        "if base is None or not base.live or base.kind",
        "if base is None or base.kind",
        "a name that absence proves nothing of is taken away",
        RENAMING,
    ),
    Mutant(
        "renames-need-one-candidate",
        RENAMES,
        "if len(candidates) == 1 and len(matches) == 1:",
        "if len(candidates) >= 1 and len(matches) >= 1:",
        "an ambiguous pair redirects an edit",
        RENAMING,
    ),
    Mutant(
        "renames-not-of-empty-files",
        RENAMES,
        "or base.kind is not Kind.FILE or not base.stamp(side).size:",
        "or base.kind is not Kind.FILE:",
        "every empty file looks like every other",
        RENAMING,
    ),
    Mutant(
        "renames-need-a-free-name",
        RENAMES,
        "and _is_file(change.entry(side)) and change.entry(side.other) is None",
        "and _is_file(change.entry(side))",
        "a rename goes onto a name that the other user took",
        RENAMING,
    ),
    Mutant(
        "renames-need-free-directories",
        RENAMES,
        "if _appeared(change, side) and not occupied.intersection(parents(change.path))",
        "if _appeared(change, side)",
        "a rename goes below a file",
        RENAMING,
    ),
    Mutant(
        "renames-follow-edits",
        RENAMES,
        "return follow_edits or _change_on(change, side.other) is not SideChange.MODIFIED",
        "return _change_on(change, side.other) is not SideChange.MODIFIED",
        "an edit does not follow a rename",
        RENAMING,
    ),
    Mutant(
        "renames-are-proved",
        RENAMES,
        "same = common_digest(told(side.other, standing), told(side, arrived))",
        "same = True",
        "a file id that was given to another file moves the wrong one",
        RENAMING,
    ),
    Mutant(
        "renames-need-more-than-a-checksum",
        RENAMES,
        'if not each.startswith("crc32"))',
        "if each)",
        "two contents of one 32 bit checksum are taken for one file",
        RENAMING,
    ),
    Mutant(
        "renames-are-proved-by-what-was-agreed",
        RENAMES,
        "return found == agreed",
        "return True",
        "other content under the id of a vanished file is taken for it",
        RENAMING,
    ),
    Mutant(
        "renames-by-a-stamp-need-an-old-one",
        RENAMES,
        "if self.side in self.base.racy or not recorded.size",
        "if not recorded.size",
        "an edit within one tick of the clock is taken for the file that was renamed",
        RENAMING,
    ),
    Mutant(
        "renames-by-time-need-one-of-that-time",
        RENAMES,
        "ambiguous = _shared_times(known, side) if by_time else set()",
        "ambiguous: Set[Evidence] = set()",
        "files that were unpacked together are taken for each other",
        RENAMING,
    ),
    Mutant(
        "renames-begun-are-checked",
        RENAMES,
        'if digest is not None and digest == digest_of(Question(side.other, standing, "sha256")):',
        "if digest is not None:",
        "a hint of a killed run is trusted without a look",
        RENAMING,
    ),
    Mutant(
        "renames-by-stamp-need-a-telling-one",
        RENAMES,
        "return {mark for counted in (lost, got) for mark, count in counted.items() if count > 1}",
        "return set()",
        "a size and a time that several files have make a rename",
        ("tests/core/test_renames.py",),
    ),
    Mutant(
        "renames-by-stamp-need-an-old-one",
        RENAMES,
        "if self.side in self.base.racy or not recorded.size",
        "if not recorded.size",
        "an edit within one tick of the clock is taken for the file before it, and the wrong content moves",
        ("tests/core/test_renames.py",),
    ),
    Mutant(
        "renames-by-stamp-prove-less-than-content",
        RENAMES,
        "if same is None and rename.has_stamp:",
        "if rename.has_stamp:",
        "a stamp is believed against the content",
        RENAMING,
    ),
    Mutant(
        "renames-by-stamp-are-weak",
        LEARNED,
        "weak=operation.rests_on_stamp or (before is not None and before.weak),",
        "weak=before is not None and before.weak,",
        "what a rename by stamp was wrong about is lost with the next edit",
        ("tests/storage/test_sftp_routes.py",),
    ),
    Mutant(
        "renames-of-directories-by-stamp-are-weak",
        "syncengine/state/schema.py",
        "more = _WEAK if weak else 0",
        "more = 0",
        "what a directory's rename by stamps was wrong about is lost with the next edit",
        ("tests/storage/test_sftp_routes.py",),
    ),
    Mutant(
        "renames-are-forgotten-by-key",
        LEARNED,
        "return self._folding.key(path)",
        "return path",
        "where names are folded, the old name of a followed rename stays remembered",
        ("tests/test_names.py",),
    ),
    Mutant(
        "rename-backup-does-not-travel",
        PLANNER,
        "if backup and not self.drafts.traits[rename.side.other].copies:",
        "if False:",
        "a backup fetches a file to write it back under its new name",
        RENAMING,
    ),
    Mutant(
        "rename-backup-copies",
        PLANNER,
        "Action.COPY if backup else Action.MOVE",
        "Action.MOVE",
        "a backup takes a name away",
        RENAMING,
    ),
    Mutant(
        "conflict-manual",
        RESOLVE,
        "if policy is ConflictPolicy.MANUAL:\n        return conflict",
        "if policy is ConflictPolicy.MANUAL:\n        policy = ConflictPolicy.SOURCE",
        "a conflict left to the user is decided",
        RESOLVING,
    ),
    Mutant(
        "conflict-the-edit-wins",
        RESOLVE,
        "survivor = Resolution.SOURCE if conflict.source is not None else Resolution.DESTINATION",
        "survivor = Resolution.DESTINATION if conflict.source is not None else Resolution.SOURCE",
        "a deletion beats an edit",
        RESOLVING,
    ),
    Mutant(
        "conflict-times-count",
        "syncengine/core/conflicts.py",
        "if not all(each.true_mtime or (each.keeps_mtime and self._time_decides) for each in traits.values()):",
        "if not traits:",
        "a time is asked for that decides nothing, or that nothing keeps",
        (*RESOLVING, "tests/core/test_planner.py", *PROPERTIES),
    ),
    Mutant(
        "conflict-tolerance",
        RESOLVE,
        "or abs(source_ns - destination_ns) <= tolerance_ns:",
        "or source_ns == destination_ns:",
        "a tick of the clock decides who is newer",
        RESOLVING,
    ),
    Mutant(
        "conflict-newer",
        RESOLVE,
        "return Resolution.SOURCE if source_ns > destination_ns else Resolution.DESTINATION",
        "return Resolution.SOURCE if source_ns < destination_ns else Resolution.DESTINATION",
        "the older version wins",
        RESOLVING,
    ),
    Mutant(
        "merge-keeps-both",
        "syncengine/core/merging.py",
        "retain=conflict.stamp(side) is not None and retain is not Retain.NONE",
        "retain=False",
        "both versions of a merged conflict are lost",
        ("tests/core/test_merging.py",),
    ),
    Mutant(
        "merge-is-of-this-version",
        "syncengine/stages/plan.py",
        "client.read(conflict.path_at(at), expect=expected)",
        "client.read(conflict.path_at(at))",
        "what is merged is another version than the one in conflict",
        ("tests/test_merging.py",),
    ),
    Mutant(
        "conflict-loser-is-kept",
        RESOLVE,
        "retain=standing is not None and retain is not Retain.NONE,",
        "retain=False,",
        "the loser of a conflict is lost",
        RESOLVING,
    ),
    Mutant(
        "conflict-copy-is-numbered",
        RESOLVE,
        '(f"-{number}" if number > 1 else "")',
        '(f"-{number}" if number > 2 else "")',
        "a copy takes the name of another file",
        RESOLVING,
    ),
    Mutant(
        "clash-keeps-both",
        CLASHES,
        "    yield _file(conflict, Action.MOVE, side, copies[side])",
        "    yield _removal(conflict, Retain.NONE)",
        "the file that faces a directory is gone on its own side",
        (*RESOLVING, *PROPERTIES),
    ),
    Mutant(
        "guard-share",
        GUARDS,
        "return number <= self.fraction * of",
        "return number <= self.fraction * of + 1",
        "one file too many may be deleted",
        GUARDING,
    ),
    Mutant(
        "guard-count",
        GUARDS,
        "return number <= self.count",
        "return number < self.count",
        "a limit of five refuses five",
        GUARDING,
    ),
    Mutant(
        "guard-floor",
        GUARDS,
        "max(number, of) < self.floor",
        "of < self.floor",
        "many deletions at a side that little is remembered of pass",
        GUARDING,
    ),
    Mutant(
        "guard-moves-are-no-deletions",
        "syncengine/core/plan_parts.py",
        "return self.action is Action.DELETE and self.kind is not Kind.DIRECTORY",
        "return self.action in (Action.DELETE, Action.MOVE) and self.kind is not Kind.DIRECTORY",
        "a renamed folder trips the guard",
        GUARDING,
    ),
    Mutant(
        "guard-emptied",
        GUARDS,
        "if remembered >= 2:",
        "if remembered >= 200:",
        "an unmounted disk empties the other side",
        GUARDING,
    ),
    Mutant(
        "guard-both-emptied",
        GUARDS,
        "if seen[side] or not seen[side.other]:",
        "if seen[side]:",
        "emptied on both sides is refused",
        (*GUARDING, *PROPERTIES),
    ),
    Mutant(
        "bootstrap-after-faults",
        BOOTSTRAP,
        "left.update(problem.path for problem in hidden if is_within(problem.path, prefix))",
        "left.update(())",
        "what the first sync could not see is merged later, against the preference",
        ("tests/test_first_sync.py", "tests/acceptance"),
    ),
    Mutant(
        "commit-only-what-was-done",
        COMMIT,
        "if outcome.status is not Status.DONE:\n            return\n        self._learned.note(outcome)",
        "self._learned.note(outcome)",
        "what failed is remembered as synced, and deleted next time",
        COMMITTING,
    ),
    Mutant(
        "commit-forgets-deletions",
        LEARNED,
        "self.forgotten.add(position)\n            self.rows.pop(position, None)",
        "self.rows.pop(position, None)",
        "a deleted file stays remembered",
        COMMITTING,
    ),
    Mutant(
        "commit-both-halves",
        LEARNED,
        "if len(halves) < len(Side):\n            return",
        "if not halves:\n            return",
        "the state runs ahead of a conflict copy that only one side has",
        COMMITTING,
    ),
    Mutant(
        "commit-racy",
        LEARNED,
        "if is_racy(stamp, looked_ns, self.clients[side].capabilities.mtime_granularity_ns)",
        "if False",
        "an edit within one tick of the clock is never seen",
        ("tests/test_first_sync.py", *PROPERTIES),
    ),
    Mutant(
        "commit-old-agreements",
        COMMIT,
        "if late and not self._still_holds(agreement):",
        "if False and not self._still_holds(agreement):",
        "an old plan records what no longer holds",
        ("tests/test_late_plans.py", "tests/test_apply.py"),
    ),
    Mutant(
        "commit-newer-rows",
        COMMIT,
        "self._agree(agreement for agreement in plan.agreements if agreement.path not in newer)",
        "self._agree(agreement for agreement in plan.agreements)",
        "an old plan's agreements replace newer rows",
        ("tests/test_late_plans.py", "tests/test_apply.py"),
    ),
    Mutant(
        "commit-rename-takes-the-old-name",
        LEARNED,
        "if operation.action is Action.MOVE:\n            self.forgotten.add(old)",
        "if operation.action is Action.COPY:\n            self.forgotten.add(old)",
        "a renamed file stays remembered under its old name",
        (*RENAMING,),
    ),
    Mutant(
        "commit-interrupted-first-sync",
        COMMIT,
        "if not report.interrupted and self.plan.purpose is Purpose.SYNC:",
        "if self.plan.purpose is Purpose.SYNC:",
        "an interrupted first sync counts as finished",
        ("tests/test_first_sync.py", "tests/test_pipeline.py", "tests/promises/test_data.py"),
    ),
    Mutant(
        "schedule-deletions-last",
        "syncengine/stages/execution.py",
        "if operation.action is Action.DELETE and operation.target in self._failed_on:",
        "if False:",
        "a deletion goes on where the copy it relies on has failed",
        ("tests/core/test_schedule.py", "tests/test_apply.py", "tests/test_pipeline.py", *PROPERTIES),
    ),
    Mutant(
        "planner-trusts-grown-stamps",
        PLANNER,
        "return touched or not base.live or not set(base.racy) <= set(row.racy)",
        "return touched or not base.live",
        "a stamp that was too young once is in doubt for ever",
        ("tests/core/test_planner.py",),
    ),
    Mutant(
        "execution-hears-all-workers",
        "syncengine/stages/execution.py",
        "                    self._unheard.append(outcome)\n",
        "",
        "what workers did until a second interrupt is reported as cancelled",
        ("tests/test_apply.py",),
    ),
    Mutant(
        "retention-beside-a-file",
        "syncengine/stages/retention.py",
        "if trash.stat(place) is None and self._can_hold(trash, place):",
        "if trash.stat(place) is None:",
        "a version cannot be kept below an earlier one of another kind",
        ("tests/test_retention.py",),
    ),
    Mutant(
        "listing-tells-reserved-names",
        "syncengine/storage/temporary.py",
        "return Problem(ProblemKind.BAD_NAME, path, message, extent=Extent.SUBTREE if directory else Extent.PATH)",
        "return None",
        "what a user named like ours is not backed up, and nobody says it",
        ("tests/storage/test_reserved_names.py",),
    ),
    Mutant(
        "planner-dormant",
        PLANNER,
        "if views.base is not None and views.base.live:\n            self._agree(AgreementKind.DORMANT",
        "if views.base is None:\n            self._agree(AgreementKind.DORMANT",
        "what a filter hides stays live, and is deleted after re-inclusion",
        (*RULES, *PROPERTIES),
    ),
    Mutant(
        "planner-clash-in-a-backup",
        PLANNER,
        "if decision.dormant:\n            self._record(change, decision)",
        "if decision.dormant:\n            return",
        "two-way deletes what a backup kept beside a change of kind",
        (*RULES, *PROPERTIES),
    ),
    Mutant(
        "comparator-older-is-a-change",
        COMPARATOR,
        "if same and side not in base.racy:",
        "if (same or (entry.stamp.mtime_ns or 0) < (recorded.mtime_ns or 0)) and side not in base.racy:",
        "an edit with an older time is not seen",
        ("tests/core/test_comparator.py", "tests/acceptance", *PROPERTIES),
    ),
    Mutant(
        "together-looks-first",
        "syncengine/storage/small_objects.py",
        "    if holds:\n        return ABSENT\n",
        "    if True:\n        return ABSENT if holds else ANYTHING\n",
        "what somebody put there since the plan is overwritten where a server ignores conditions",
        ("tests/storage/test_held_together.py",),
    ),
    Mutant(
        "together-is-conditional",
        "syncengine/storage/small_objects.py",
        "    if holds:\n        return ABSENT\n",
        "    if holds:\n        return ANYTHING\n",
        "what somebody put there since the plan is overwritten",
        ("tests/storage/test_held_together.py",),
    ),
    Mutant(
        "together-reads-the-planned-version",
        "syncengine/storage/small_objects.py",
        "        read = content.verify()\n",
        "        read = file.expect\n",
        "a file that changed while it was read is uploaded as the planned version",
        ("tests/storage/test_held_together.py",),
    ),
    Mutant(
        "together-remembers-lost-answers",
        "syncengine/stages/held_together.py",
        "        if error is not None and (not isinstance(error, StorageError) or error.retryable):\n",
        "        if False:\n",
        "a write that was done and never answered is reported as refused",
        ("tests/storage/test_held_together.py",),
    ),
    Mutant(
        "together-looks-after-what-was-under-way",
        "syncengine/stages/held_together.py",
        "            yield self.operations.arrived(operation) or self.one(operation)\n",
        "            yield self.one(operation)\n",
        "what arrived while a run was broken off is reported as cancelled",
        ("tests/storage/test_held_together.py",),
    ),
    Mutant(
        "placing-looks-at-the-folder",
        "syncengine/storage/local_small.py",
        "    if found.st_ino != inode or found.st_dev != device:\n",
        "    if False:\n",
        "a file is written into a folder that took the place of the one that was looked at",
        ("tests/storage/test_local_small.py",),
    ),
    Mutant(
        "placing-hands-names-over-as-bytes",
        "syncengine/storage/local.py",
        "        return os.fsencode(name)\n",
        "        return name.encode('utf-8', 'surrogatepass')\n",
        "another process writes a file under a name that this one does not know",
        ("tests/storage/test_local_small.py",),
    ),
    Mutant(
        "placing-doubts-a-dead-process",
        "syncengine/stages/placing_apart.py",
        "            yield from ((*each, gone) for each in asked)\n",
        "            yield from ((*each, None) for each in asked)\n",
        "a file that another process wrote before it died is reported as in the way",
        ("tests/storage/test_placing_apart.py",),
    ),
)


def mutated(mutant: Mutant, text: str) -> str:
    """Return the file with the rule broken; raises SystemExit where the rule is not there exactly once."""
    found = text.count(mutant.old)
    if found != 1:
        raise SystemExit(
            f"{mutant.name}: the text stands {found} times in {mutant.file}; the rule has moved:\n{mutant.old}"
        )
    return text.replace(mutant.old, mutant.new)


def failing(copy: Path, test: str, spared: Tuple[str, ...] = ()) -> Optional[str]:
    """Return the first test of *test* that fails in *copy*, None where all pass."""
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    # In one process: which test is the first to notice must not depend on how tests are spread over cores.
    command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", test]
    command += [f"--deselect={each}" for each in spared]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode in (0, 5):
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", done.stdout, re.MULTILINE)
    if failed is None:
        raise SystemExit(f"{test} could not be run:\n{done.stdout}{done.stderr}")
    return failed.group(1)


def killer_of(mutant: Mutant, copy: Path) -> Optional[str]:
    """Return the test that fails with the mutant and passes without it; None where the mutant survives."""
    file = copy / mutant.file
    sound = file.read_text(encoding="utf-8")
    broken = mutated(mutant, sound)
    for test in mutant.tests:
        spared: Tuple[str, ...] = ()
        while True:
            file.write_text(broken, encoding="utf-8")
            killer = failing(copy, test, spared)
            file.write_text(sound, encoding="utf-8")
            if killer is None:
                break
            if failing(copy, killer) is None:
                return killer
            spared += (killer,)  # it fails by itself, and proves nothing
    return None


def results(chosen: List[Mutant], copy: Path) -> Iterator[Tuple[Mutant, Optional[str], float]]:
    for mutant in chosen:
        started = time.perf_counter()
        yield mutant, killer_of(mutant, copy), time.perf_counter() - started


def main(names: List[str]) -> int:
    by_name: Dict[str, Mutant] = {mutant.name: mutant for mutant in MUTANTS}
    chosen = [by_name[name] for name in names] or list(MUTANTS)
    for mutant in MUTANTS:
        mutated(mutant, (PROJECT / mutant.file).read_text(encoding="utf-8"))
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="syncengine-mutants-") as folder:
        copy = Path(folder)
        for name in COPIED:
            origin = PROJECT / name
            shutil.copytree(origin, copy / name) if origin.is_dir() else shutil.copy(origin, copy / name)
        for mutant, killer, seconds in results(chosen, copy):
            survivors += killer is None
            print(f"| {mutant.name} | {mutant.breaks} | {killer or '**survived**'} | {seconds:.0f} s |", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
