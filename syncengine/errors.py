"""The exception tree. Classes are cut by what the caller can do; each knows its exit code.

* SyncError                          1
  + RecipeError                      2   a bad recipe or bad arguments
  + ScanError                        7   a root that is missing or cannot be listed
  + PlanError                        1
    - PlanFormatError                2   not a plan, a newer format, a broken digest
    - StalePlanError                 5   the world changed since the plan was made
    - UnresolvedConflictsError       4   conflicts that need a decision
    - GuardError                     6   a guard refused the plan
  + PartialApplyError                3   some operations were not done
  + SyncInterrupted                130   stopped by the user
  + StateError                       1   state that is corrupt, locked or of a newer format
  + StorageError                     1   one storage call failed
    - AccessDenied, NotFound, PreconditionFailed, Throttled, Unavailable, NoSpace, Unsupported
"""

from __future__ import annotations

from typing import Any, Optional, Sequence


class SyncError(Exception):
    """Something went wrong; the base of all errors of this package."""

    exit_code: int = 1


class RecipeError(SyncError):
    """A recipe or a set of arguments is wrong; ``issues`` lists what, where and the nearest valid value."""

    exit_code = 2

    def __init__(self, message: str, issues: Sequence[str] = ()) -> None:
        super().__init__("\n".join([message, *(f"  - {issue}" for issue in issues)]))
        self.issues = tuple(issues)


class ScanError(SyncError):
    """A root is missing or cannot be listed, so nothing can be said about what it holds."""

    exit_code = 7

    def __init__(self, message: str, *, side: Optional[str] = None, reason: str = "unlistable") -> None:
        super().__init__(message)
        self.side = side
        self.reason = reason


class PlanError(SyncError):
    """A plan cannot be used."""


class PlanFormatError(PlanError):
    """A file is not a plan, belongs to a newer format, or was changed after it was sealed."""

    exit_code = 2


class StalePlanError(PlanError):
    """The world changed since the plan was made; ``stale`` pairs each operation with why."""

    exit_code = 5

    def __init__(self, message: str, stale: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.stale = tuple(stale)


class UnresolvedConflictsError(PlanError):
    """Conflicts need a decision; ``conflicts`` holds them."""

    exit_code = 4

    def __init__(self, message: str, conflicts: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.conflicts = tuple(conflicts)


class GuardError(PlanError):
    """A guard refused the plan before anything was changed; ``blockers`` holds all reasons at once."""

    exit_code = 6

    def __init__(self, message: str, blockers: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.blockers = tuple(blockers)


class PartialApplyError(SyncError):
    """The run finished but some operations were not done; ``report`` says which."""

    exit_code = 3

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message)
        self.report = report


class SyncInterrupted(SyncError):
    """The user stopped the run; ``report`` says what was done, or is None while planning."""

    exit_code = 130

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report


class StateError(SyncError):
    """The state of a pair is corrupt, of a newer format, or locked by a run that is alive."""


class StorageError(SyncError):
    """One storage call failed; ``path`` says where, the library's own exception is the cause.

    ``retry_after`` is how many seconds the storage asked to be left alone, None where it did not say.
    """

    retryable: bool = False

    def __init__(self, message: str, *, path: str = "", retry_after: Optional[float] = None) -> None:
        super().__init__(message)
        self.path = path
        self.retry_after = retry_after


class AccessDenied(StorageError):
    """The storage refused: wrong credentials, or no permission for this path."""


class NotFound(StorageError):
    """There is nothing at this path."""


class PreconditionFailed(StorageError):
    """The path no longer holds what the plan expected there."""


class Throttled(StorageError):
    """The storage asked to slow down."""

    retryable = True


class Unavailable(StorageError):
    """The storage did not answer, timed out or failed on its side."""

    retryable = True


class NoSpace(StorageError):
    """The storage is full or a quota is exhausted."""


class Unsupported(StorageError):
    """The storage cannot do this at all."""
