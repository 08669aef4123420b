"""Are two sides equal? Equal, different and unverified are three answers, and none is taken for another."""

from __future__ import annotations

from enum import Enum
from typing import Dict, Iterable, List, Mapping, Optional, Tuple

from attrs import frozen

from .comparator import Change, Equality
from .entry import Kind, Problem, ProblemKind
from .merge import Views
from .paths import shown
from .views import view


class Finding(str, Enum):
    """What a check says about one path that is not proven equal."""

    ONLY_AT_SOURCE = "only_at_source"
    ONLY_AT_DESTINATION = "only_at_destination"
    DIFFERENT = "different"
    UNVERIFIED = "unverified"


@frozen
class CheckResult:
    """The answer for two sides: how many files are proven equal, and every path that is not."""

    equal: int
    findings: Tuple[Tuple[str, Finding], ...]
    problems: Tuple[Problem, ...] = ()

    @property
    def counts(self) -> Mapping[Finding, int]:
        """How many paths there are of each finding."""
        counts: Dict[Finding, int] = dict.fromkeys(Finding, 0)
        for _, finding in self.findings:
            counts[finding] += 1
        return counts

    @property
    def not_compared(self) -> Tuple[Problem, ...]:
        """What could not be seen, and links, pipes and the like, which were seen and are no content to compare."""
        return tuple(problem for problem in self.problems if problem.kind is not ProblemKind.LEFTOVER)

    @property
    def ok(self) -> bool:
        """Whether every file of both sides was seen and proven equal."""
        return not self.findings and not any(problem.hides for problem in self.problems)

    @property
    def exit_code(self) -> int:
        """0 equal, 10 different, 11 unverified, 7 where something could not be seen and nothing differs."""
        counts = self.counts
        if any(counts[finding] for finding in Finding if finding is not Finding.UNVERIFIED):
            return 10
        if counts[Finding.UNVERIFIED]:
            return 11
        return 0 if self.ok else 7

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = [
            f"{_MARKS[finding]} {shown(path)}  {finding.value.replace('_', ' ')}" for path, finding in self.findings
        ]
        lines += [f"? {_told(problem)}" for problem in self.not_compared]
        counts = [f"{number:,} {finding.value.replace('_', ' ')}" for finding, number in self.counts.items() if number]
        if self.not_compared:
            counts.append(f"{len(self.not_compared):,} not compared")
        return "\n".join([*lines, ", ".join([f"{self.equal:,} equal", *counts])])

    def _repr_html_(self) -> str:
        page: str = view("check_html")(self)
        return page


_MARKS = {
    Finding.ONLY_AT_SOURCE: "+",
    Finding.ONLY_AT_DESTINATION: "-",
    Finding.DIFFERENT: "*",
    Finding.UNVERIFIED: "?",
}


def checked(changes: Iterable[object], problems: Iterable[Problem]) -> CheckResult:
    """Return the answer that a stream of changes without any state gives; *problems* is read after the stream."""
    equal = 0
    findings: List[Tuple[str, Finding]] = []
    collisions: List[Problem] = []
    for change in changes:
        if isinstance(change, Views) and change.collision:
            collisions.append(change.problem)
        if not isinstance(change, Change):
            continue
        if change.clash:
            findings.append((change.path, Finding.DIFFERENT))
        elif change.kind is not Kind.DIRECTORY:
            finding = _finding(change)
            equal += finding is None
            if finding is not None:
                findings.append((change.path, finding))
    return CheckResult(equal, tuple(findings), (*collisions, *problems))


def _told(problem: Problem) -> str:
    place, message = shown(problem.path), shown(problem.message)
    return message if message.startswith(place) else f"{place}: {message}"


def _finding(change: Change) -> Optional[Finding]:
    if change.destination is None:
        return Finding.ONLY_AT_SOURCE
    if change.source is None:
        return Finding.ONLY_AT_DESTINATION
    equality = change.comparison.equality
    if equality is Equality.EQUAL:
        return None
    return Finding.DIFFERENT if equality is Equality.DIFFERENT else Finding.UNVERIFIED
