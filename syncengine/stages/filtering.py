"""The second stage: what filters hide becomes invisible on both sides."""

from __future__ import annotations

from typing import Iterable, cast

from attrs import field, frozen

from ..core.entry import Listed, Side, Snapshot
from .job import Job
from .scan import reader


@frozen
class Filter:
    """Wraps both snapshots with the filters of the job, and hands on the question for one-sided paths."""

    name: str = field(default="filter", init=False)

    def __call__(self, job: Job) -> Job:
        """Return *job* with filtered snapshots."""
        manager = job.filter
        if manager is None:
            return job
        for side in Side:
            for prefix in job.scope:
                manager.load(side, prefix, reader(job.clients[side]))
        snapshots = {
            side: Snapshot(snapshot.location, manager.filtered(side, cast("Iterable[Listed]", snapshot)))
            for side, snapshot in job.snapshots.items()
        }
        return job.with_(snapshots=snapshots, excludes=manager.excludes)
