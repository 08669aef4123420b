"""HTML and Markdown: well formed, bounded, and not broken by any name."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, List, Tuple

import pytest
from attrs import evolve

from syncengine.core.check import CheckResult, Finding
from syncengine.core.entry import Kind, Problem, ProblemKind, Side, Stamp
from syncengine.core.plan import Plan
from syncengine.core.plan_parts import Action, Endpoint, Operation, Reason, Settings, StateRef
from syncengine.core.report import Outcome, Report, Status
from syncengine.core.totals import Totals

GOLDEN = Path(__file__).parent.parent / "data" / "plan-1.0.json"
HOSTILE = "<script>alert(1)</script>/\"'><img src=x onerror=y>&amp;|`[x](y)@alice\n\x1b[31m"


class Page(HTMLParser):
    """Checks that tags are balanced and remembers what a page holds."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: List[str] = []
        self.tags: List[str] = []
        self.attributes: List[Tuple[str, Any]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Any]]) -> None:
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_comparison_folds_each_finding_and_is_bounded() -> None:
    findings = [(f"{HOSTILE}{number}", Finding.DIFFERENT) for number in range(3_000)]
    unseen = Problem(ProblemKind.DENIED, "d", HOSTILE)
    text = CheckResult(7, (*findings, ("new", Finding.ONLY_AT_SOURCE)), (unseen,))._repr_html_()
    page = Page(text)
    assert len(text.encode()) <= 64_000
    assert "7 equal, 1 only at source, 3,000 different" in page.text
    assert "… and 2,980 more" in page.text
    assert page.tags.count("details") == 2
    assert not {"script", "img"} & set(page.tags)
    assert Page(CheckResult(2, ())._repr_html_()).text == "2 equal"


def plan_of(paths: List[str], action: Action = Action.CREATE) -> Plan:
    expected = None if action is Action.CREATE else Stamp(size=1)
    return Plan.of(
        (Operation(action, Kind.FILE, Side.DESTINATION, path, expect_target=expected, size=1) for path in paths),
        agreements=(),
        conflicts=(),
        problems=(),
        source=Endpoint("file:///a", "a"),
        destination=Endpoint("file:///b", "b"),
        settings=Settings(),
        base=StateRef(),
        created_at="",
    )


def report_of(plan: Plan) -> Report:
    outcomes = tuple(
        Outcome(operation, [*Status][number % len(Status)], retained_at="trash" if number % 12 == 0 else None)
        for number, operation in enumerate(plan)
    )
    return Report(plan, outcomes, "run", "2026-11-22T13:52:16Z", "2026-11-22T13:52:17Z", notes=(HOSTILE,))


PAGES = {
    "a rich plan": lambda: Plan.load(GOLDEN)._repr_html_(),
    "a hostile name": lambda: plan_of([HOSTILE], Action.DELETE)._repr_html_(),
    "an empty plan": lambda: plan_of([])._repr_html_(),
    "a report": lambda: report_of(Plan.load(GOLDEN))._repr_html_(),
    "a report of a hostile name": lambda: report_of(plan_of([HOSTILE]))._repr_html_(),
    "totals": lambda: Plan.load(GOLDEN).totals._repr_html_(),
    "empty totals": lambda: Totals()._repr_html_(),
}


@pytest.mark.parametrize("make", PAGES.values(), ids=PAGES)
def test_a_page_is_balanced_and_holds_no_script_style_sheet_or_foreign_tag(make: Any) -> None:
    page = Page(make())

    known = {"div", "p", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
    assert set(page.tags) <= known
    assert {name for name, _ in page.attributes} <= {"style", "open"}


def test_a_hostile_name_is_shown_as_text() -> None:
    page = Page(plan_of([HOSTILE])._repr_html_())

    assert HOSTILE.replace("\n", r"\n").replace("\x1b", r"\x1b") in page.text


def test_conflicts_come_before_directories_and_deletes_before_creates() -> None:
    plan = evolve(plan_of(["z/gone"], Action.DELETE), live={Side.SOURCE: 100, Side.DESTINATION: 100})
    plan = Plan.of(
        (*plan, *plan_of(["a/new"])),
        **{
            name: getattr(plan, name)
            for name in ("agreements", "problems", "source", "destination", "settings", "base", "created_at", "live")
        },
        conflicts=Plan.load(GOLDEN).conflicts,
    )
    text = Page(plan._repr_html_()).text

    assert text.index("6 conflicts") < text.index("z/gone") < text.index("a/new")


@pytest.mark.parametrize("name", ["deep/file-{}", "folder-{}/file", "{}-" + "x" * 3_000, "<&\"'{}/" + "\x1b" * 500])
def test_a_page_is_bounded_whatever_the_plan_holds(name: str) -> None:
    paths = [name.format(number) for number in range(20_000 if len(name) < 100 else 200)]
    plan = plan_of(paths)
    for text in (plan._repr_html_(), report_of(plan)._repr_html_()):
        page = Page(text)

        assert len(text.encode()) <= 64_000
        assert all(part.count("<td") <= 20 * 4 for part in text.split("<details")[1:])
        assert re.search(r"… and [\d,]+ more", page.text)


def test_every_row_is_shown_or_counted() -> None:
    text = Page(plan_of([f"folder-{number}/file" for number in range(3_000)])._repr_html_()).text
    hidden = re.search(r"… and ([\d,]+) more rows in folders", text)

    assert hidden is not None
    assert int(hidden.group(1).replace(",", "")) + text.count("/file") == 3_000


# ------------------------------------------------------------------------------------------------------------ Markdown


@pytest.mark.parametrize("room", [0, 40, 200, 500, 1_000, 2_000, 60_000])
def test_markdown_is_cut_between_rows_and_never_longer_than_asked(room: int) -> None:
    plan = Plan.load(GOLDEN)
    text = plan.to_markdown(room)
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| |")]

    assert len(text) <= room
    assert all(line.endswith(" |") for line in rows)
    assert room < 1_500 or rows
    if rows and len(rows) < len(plan.operations) + len(plan.conflicts):
        assert text.rstrip().endswith(f"… and {len(plan.operations) + len(plan.conflicts) - len(rows)} more")


def test_markdown_begins_with_the_summary_then_conflicts_then_deletes() -> None:
    text = Plan.load(GOLDEN).to_markdown()
    places = [text.index(part) for part in ("two", "7 to create", "blocked", "d/open", "c/gone", "b/model", "a/new")]

    assert places == sorted(places)


def test_no_name_can_break_a_table_notify_a_person_or_become_html() -> None:
    (row,) = (line for line in plan_of([HOSTILE], Action.UPDATE).to_markdown().splitlines() if "script" in line)
    cells = re.split(r"(?<!\\)\|", row)

    assert len(cells) == 6
    assert not re.search(r"(?<!\\)[`\[\]]|[<>@]", row)


def test_markdown_of_an_empty_plan_says_that_there_is_nothing_to_do() -> None:
    assert "nothing to do" in plan_of([]).to_markdown()
    assert "|" not in plan_of([]).to_markdown()


def test_a_touch_is_shown_too() -> None:
    touched = Operation(
        Action.TOUCH, Kind.FILE, Side.DESTINATION, "run", expect_target=Stamp(), reason=Reason.MODE_DIFFERS
    )
    plan = evolve(plan_of([]), operations=(touched,))

    assert "mode differs" in plan.to_markdown()
    assert "mode differs" in Page(plan._repr_html_()).text
