"""Run stages in order, stop after any, replace one, insert one's own.

A stage is anything that takes a Job and returns one; a plain function is a stage too.
"""

from __future__ import annotations

from typing import Callable, Optional, Tuple, Union

from attrs import evolve, field, frozen

from .core.conflicts import Chooser
from .errors import RecipeError
from .stages.commit import CommitState
from .stages.diff import Diff
from .stages.execute import Execute
from .stages.filter import Filter
from .stages.job import Job
from .stages.plan import MakePlan
from .stages.scan import Scan

__all__ = ["Job", "Pipeline", "Stage"]

Stage = Callable[[Job], Job]

_Stages = Tuple[Stage, ...]


def _default() -> _Stages:
    return (Scan(), Filter(), Diff(), MakePlan(), Execute(), CommitState())


@frozen
class Pipeline:
    """A sequence of stages: scan, filter, diff, plan, execute, commit.

    >>> Pipeline().names
    ('scan', 'filter', 'diff', 'plan', 'execute', 'commit')
    """

    stages: _Stages = field(factory=_default)

    @property
    def names(self) -> Tuple[str, ...]:
        """The names of the stages, in order."""
        return tuple(_name(stage) for stage in self.stages)

    def __call__(self, job: Job, *, until: Optional[str] = None, after: Optional[str] = None) -> Job:
        """Send *job* through the stages that come after the one named *after*, the one named *until* included."""
        first = 0 if after is None else self._index(after) + 1
        last = len(self.stages) if until is None else self._index(until) + 1
        for stage in self.stages[first:last]:
            returned = stage(job)
            if not isinstance(returned, Job):
                raise RecipeError(f"the stage {_name(stage)!r} must return a Job, not {returned!r}")
            job = returned
        return job

    def insert_after(self, name: str, *stages: Stage) -> Pipeline:
        """Return this pipeline with *stages* after the one called *name*."""
        place = self._index(name) + 1
        return evolve(self, stages=(*self.stages[:place], *stages, *self.stages[place:]))

    def insert_before(self, name: str, *stages: Stage) -> Pipeline:
        """Return this pipeline with *stages* before the one called *name*."""
        place = self._index(name)
        return evolve(self, stages=(*self.stages[:place], *stages, *self.stages[place:]))

    def replace(self, name: str, *stages: Stage) -> Pipeline:
        """Return this pipeline with *stages* in place of the one called *name*; with none, without it."""
        place = self._index(name)
        return evolve(self, stages=(*self.stages[:place], *stages, *self.stages[place + 1 :]))

    def choosing(self, choose: Chooser) -> Pipeline:
        """Return this pipeline with *choose* deciding the conflicts of its own planning stage."""
        stages = (evolve(stage, choose=choose) if isinstance(stage, MakePlan) else stage for stage in self.stages)
        return evolve(self, stages=tuple(stages))

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise RecipeError(f"the pipeline has no stage {name!r}; it has: {', '.join(self.names)}")
        return self.names.index(name)


def _name(stage: Union[Stage, object]) -> str:
    name = getattr(stage, "name", None) or getattr(stage, "__name__", None)
    return str(name or type(stage).__name__)
