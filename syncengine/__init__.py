"""Plan, review and apply file synchronisation between any two fsspec locations."""

from __future__ import annotations

from .core import views

__version__ = "0.1.0"

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
    totals_text="syncengine.render.text:totals_text",
    report_text="syncengine.render.text:report_text",
    report_failures="syncengine.render.text:report_failures",
    plan_html="syncengine.render.html:plan_html",
    totals_html="syncengine.render.html:totals_html",
    report_html="syncengine.render.html:report_html",
    plan_markdown="syncengine.render.markdown:plan_markdown",
    plan_rich="syncengine.render.console:plan_rich",
    plan_records="syncengine.render.frames:plan_records",
    report_records="syncengine.render.frames:report_records",
    to_pandas="syncengine.render.frames:to_pandas",
    to_polars="syncengine.render.frames:to_polars",
    to_arrow="syncengine.render.frames:to_arrow",
)
