"""The notebooks run from top to bottom, and say what their committed outputs say."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Tuple

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
STABLE = "stable"
"""The tag of cells whose text is the same in every run: no time, no run id, no temporary folder."""


def code_cells(notebook: NotebookNode) -> List[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cell: NotebookNode) -> Tuple[Tuple[str, str], ...]:
    """Return what a cell printed and showed as plain text; two prints in a row may arrive as one message or as two."""
    texts: List[Tuple[str, str]] = []
    for output in cell.outputs:
        kind = output.get("name", output.output_type)
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        if texts and texts[-1][0] == kind:
            text = texts.pop()[1] + text
        texts.append((kind, text))
    return tuple(texts)


def stable_texts(notebook: NotebookNode) -> Dict[str, Tuple[Tuple[str, str], ...]]:
    return {cell.source: text_of(cell) for cell in code_cells(notebook) if STABLE in cell.metadata.get("tags", ())}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def committed(request: pytest.FixtureRequest) -> NotebookNode:
    return nbformat.read(request.param, as_version=4)


def test_there_is_a_notebook() -> None:
    assert [path.name for path in NOTEBOOKS] == ["quickstart.ipynb"]


def test_running_a_notebook_again_gives_its_committed_text(committed: NotebookNode, tmp_path: Path) -> None:
    expected = stable_texts(committed)
    notebook = nbformat.from_dict(committed)
    for cell in code_cells(notebook):
        cell.outputs = []

    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    assert stable_texts(notebook) == expected
    assert sum(map(bool, expected.values())) >= 10
    assert list(tmp_path.iterdir()) == []


def test_a_committed_notebook_was_run_in_order_without_an_error(committed: NotebookNode) -> None:
    nbformat.validate(committed)
    cells = code_cells(committed)

    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [output for cell in cells for output in cell.outputs if output.output_type == "error"] == []
    assert [output for cell in cells for output in cell.outputs if output.get("name") == "stderr"] == []


def test_the_shown_pages_need_neither_scripts_nor_style_sheets(committed: NotebookNode) -> None:
    outputs = [output for cell in code_cells(committed) for output in cell.outputs]
    pages = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    own = [page for page in pages if "pandas" not in page and "dataframe" not in page]

    assert len(own) >= 2
    assert [page for page in own if "<script" in page or "<style" in page] == []
