"""Plan, review and apply file synchronisation between any two fsspec locations.

The public names are imported when they are first used, so that ``import syncengine`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Dict, List

from .core import views

if TYPE_CHECKING:
    from .core.check import CheckResult, Finding
    from .core.comparator import Change, FileComparator
    from .core.entry import Entry, Kind, Problem, Side, Snapshot, Stamp
    from .core.guards import Guards, Limit
    from .core.modes import ComparisonMode, ConflictPolicy, InitialSyncPreference, Retain, SymlinkPolicy, SyncMode
    from .core.plan import Action, Conflict, Operation, Plan
    from .core.pruning import Keep
    from .core.report import Outcome, Report, Status
    from .core.totals import Totals
    from .core.versions import Version
    from .engine import SyncEngine, apply, check, explain, last_report, plan, scan, sync
    from .errors import (
        AccessDenied,
        GuardError,
        NoSpace,
        NotFound,
        PartialApplyError,
        PlanError,
        PlanFormatError,
        PreconditionFailed,
        RecipeError,
        ScanError,
        StalePlanError,
        StateError,
        StorageError,
        SyncError,
        SyncInterrupted,
        Throttled,
        Unavailable,
        UnresolvedConflictsError,
        Unsupported,
    )
    from .events import Event, Observer
    from .pipeline import Job, Pipeline
    from .recipe import Recipe
    from .stages.execute import SyncOperations
    from .stages.filter import IgnoreFileManager
    from .stages.scan import DirectoryScanner
    from .state.manager import SyncStateManager
    from .storage.filesystem import FsspecStorageClient
    from .storage.local import LocalStorageClient
    from .storage.location import Location, locate
    from .storage.protocol import Capabilities, StorageClientProtocol
    from .versioning import History, history, prune, restore, undo

__version__ = "0.1.0"

_MODULES: Dict[str, str] = {
    ".core.check": "CheckResult Finding",
    ".core.comparator": "Change FileComparator",
    ".core.entry": "Entry Kind Problem Side Snapshot Stamp",
    ".core.guards": "Guards Limit",
    ".core.modes": "ComparisonMode ConflictPolicy InitialSyncPreference Retain SymlinkPolicy SyncMode",
    ".core.plan": "Action Conflict Operation Plan",
    ".core.report": "Outcome Report Status",
    ".core.pruning": "Keep",
    ".core.totals": "Totals",
    ".core.versions": "Version",
    ".engine": "SyncEngine apply check explain last_report plan scan sync",
    ".errors": "AccessDenied GuardError NoSpace NotFound PartialApplyError PlanError PlanFormatError "
    "PreconditionFailed RecipeError ScanError StalePlanError StateError StorageError SyncError SyncInterrupted "
    "Throttled Unavailable UnresolvedConflictsError Unsupported",
    ".events": "Event Observer",
    ".pipeline": "Job Pipeline",
    ".recipe": "Recipe",
    ".stages.execute": "SyncOperations",
    ".stages.filter": "IgnoreFileManager",
    ".stages.scan": "DirectoryScanner",
    ".state.manager": "SyncStateManager",
    ".storage.filesystem": "FsspecStorageClient",
    ".storage.local": "LocalStorageClient",
    ".storage.location": "Location locate",
    ".storage.protocol": "Capabilities StorageClientProtocol",
    ".versioning": "History history prune restore undo",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = ["__version__", *sorted(_HOME, key=str.casefold)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'syncengine' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> List[str]:
    return sorted([*globals(), *__all__])


views.register(
    plan_digest="syncengine.serial:plan_digest",
    plan_to_json="syncengine.serial:plan_to_json",
    plan_from_json="syncengine.serial:plan_from_json",
    plan_save="syncengine.serial:save_plan",
    plan_load="syncengine.serial:load_plan",
    report_to_json="syncengine.serial:report_to_json",
    report_from_json="syncengine.serial:report_from_json",
    report_save="syncengine.serial:save_report",
    report_load="syncengine.serial:load_report",
    plan_text="syncengine.render.text:plan_text",
    itemize="syncengine.render.text:itemize",
    explain_text="syncengine.render.text:explain_text",
    stamp_text="syncengine.render.text:stamp_words",
    totals_text="syncengine.render.text:totals_text",
    report_text="syncengine.render.text:report_text",
    problem_lines="syncengine.render.rows:problem_lines",
    report_failures="syncengine.render.text:report_failures",
    plan_html="syncengine.render.html:plan_html",
    totals_html="syncengine.render.html:totals_html",
    report_html="syncengine.render.html:report_html",
    history_text="syncengine.render.versions:history_text",
    history_html="syncengine.render.versions:history_html",
    history_records="syncengine.render.frames:history_records",
    plan_markdown="syncengine.render.markdown:plan_markdown",
    plan_rich="syncengine.render.console:plan_rich",
    plan_records="syncengine.render.frames:plan_records",
    report_records="syncengine.render.frames:report_records",
    to_pandas="syncengine.render.frames:to_pandas",
    to_polars="syncengine.render.frames:to_polars",
    to_arrow="syncengine.render.frames:to_arrow",
)
