"""Plan, review and apply file synchronisation between any two fsspec locations.

The public names are imported when they are first used, so that ``import syncengine`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Dict, List

from .core import views

if TYPE_CHECKING:
    from .core.check import CheckResult as CheckResult
    from .core.check import Finding as Finding
    from .core.comparator import Change as Change
    from .core.comparator import FileComparator as FileComparator
    from .core.entry import Entry as Entry
    from .core.entry import Kind as Kind
    from .core.entry import Problem as Problem
    from .core.entry import Side as Side
    from .core.entry import Snapshot as Snapshot
    from .core.entry import Stamp as Stamp
    from .core.guards import Guards as Guards
    from .core.guards import Limit as Limit
    from .core.modes import ComparisonMode as ComparisonMode
    from .core.modes import ConflictPolicy as ConflictPolicy
    from .core.modes import InitialSyncPreference as InitialSyncPreference
    from .core.modes import Retain as Retain
    from .core.modes import SymlinkPolicy as SymlinkPolicy
    from .core.modes import SyncMode as SyncMode
    from .core.plan import Plan as Plan
    from .core.plan_parts import Action as Action
    from .core.plan_parts import Conflict as Conflict
    from .core.plan_parts import Operation as Operation
    from .core.pruning import Keep as Keep
    from .core.report import Outcome as Outcome
    from .core.report import Report as Report
    from .core.report import Status as Status
    from .core.totals import Totals as Totals
    from .core.versions import Version as Version
    from .engine import SyncEngine as SyncEngine
    from .engine import apply as apply
    from .engine import check as check
    from .engine import explain as explain
    from .engine import last_report as last_report
    from .engine import plan as plan
    from .engine import sync as sync
    from .errors import AccessDenied as AccessDenied
    from .errors import GuardError as GuardError
    from .errors import NoSpace as NoSpace
    from .errors import NotFound as NotFound
    from .errors import PartialApplyError as PartialApplyError
    from .errors import PlanError as PlanError
    from .errors import PlanFormatError as PlanFormatError
    from .errors import PreconditionFailed as PreconditionFailed
    from .errors import RecipeError as RecipeError
    from .errors import ScanError as ScanError
    from .errors import StalePlanError as StalePlanError
    from .errors import StateError as StateError
    from .errors import StorageError as StorageError
    from .errors import SyncError as SyncError
    from .errors import SyncInterrupted as SyncInterrupted
    from .errors import Throttled as Throttled
    from .errors import Unavailable as Unavailable
    from .errors import UnresolvedConflictsError as UnresolvedConflictsError
    from .errors import Unsupported as Unsupported
    from .events import Event as Event
    from .events import Observer as Observer
    from .pipeline import Job as Job
    from .pipeline import Pipeline as Pipeline
    from .recipe import Recipe as Recipe
    from .scanning import scan as scan
    from .stages.filter import IgnoreFileManager as IgnoreFileManager
    from .stages.operations import SyncOperations as SyncOperations
    from .stages.scan import DirectoryScanner as DirectoryScanner
    from .state.manager import SyncStateManager as SyncStateManager
    from .storage.filesystem import FsspecStorageClient as FsspecStorageClient
    from .storage.local import LocalStorageClient as LocalStorageClient
    from .storage.location import Location as Location
    from .storage.location import locate as locate
    from .storage.protocol import Capabilities as Capabilities
    from .storage.protocol import StorageClientProtocol as StorageClientProtocol
    from .versioning import History as History
    from .versioning import history as history
    from .versioning import prune as prune
    from .versioning import restore as restore
    from .versioning import undo as undo

__version__ = "0.1.0"

_MODULES: Dict[str, str] = {
    ".core.check": "CheckResult Finding",
    ".core.comparator": "Change FileComparator",
    ".core.entry": "Entry Kind Problem Side Snapshot Stamp",
    ".core.guards": "Guards Limit",
    ".core.modes": "ComparisonMode ConflictPolicy InitialSyncPreference Retain SymlinkPolicy SyncMode",
    ".core.plan": "Plan",
    ".core.plan_parts": "Action Conflict Operation",
    ".core.report": "Outcome Report Status",
    ".core.pruning": "Keep",
    ".core.totals": "Totals",
    ".core.versions": "Version",
    ".engine": "SyncEngine apply check explain last_report plan sync",
    ".errors": "AccessDenied GuardError NoSpace NotFound PartialApplyError PlanError PlanFormatError "
    "PreconditionFailed RecipeError ScanError StalePlanError StateError StorageError SyncError SyncInterrupted "
    "Throttled Unavailable UnresolvedConflictsError Unsupported",
    ".events": "Event Observer",
    ".pipeline": "Job Pipeline",
    ".recipe": "Recipe",
    ".scanning": "scan",
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
    check_html="syncengine.render.html:check_html",
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
