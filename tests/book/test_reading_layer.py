"""Nothing that a reader sees depends on the proof layer."""

from pathlib import Path

import nbformat
import pytest

from equation_checks.book import Book, is_check, output_text, read_notebook
from equation_checks.execute import execute, normalise
from equation_checks.numbers import PRINTED

NOTEBOOKS = Book(Path(__file__).resolve().parents[2]).notebooks()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_reading_layer_runs_alone(path):
    """Without the cells of the proof layer a notebook runs, and prints the same."""
    stored = [cell for cell in read_notebook(path)["cells"] if cell["cell_type"] == "code"]
    expected = [output_text(cell) for cell in stored if not is_check(cell)]
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if not is_check(cell)]
    normalise(notebook)
    execute(notebook, path.parent)
    printed = [output_text(cell) for cell in notebook.cells if cell.cell_type == "code"]
    for text, alone in zip(expected, printed, strict=True):
        assert PRINTED.sub("≈", alone) == PRINTED.sub("≈", text)
