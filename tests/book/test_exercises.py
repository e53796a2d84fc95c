"""Worksheets say what is not written yet, and nothing else in them fails."""

import ast
from pathlib import Path

import nbformat
import pytest

from equation_checks.book import TODO, Book, output_text, read_notebook
from equation_checks.report import main_path
from equation_checks.worksheets import tagged, worksheet_of
from vae_teach import diagnosis

# The chapter that is a worksheet from end to end has a test of its own.
BOOK = Book(Path(__file__).resolve().parents[2])
MAIN = [path for path in main_path(BOOK) if path.stem != "your_own_vae"]
each_chapter = pytest.mark.parametrize("path", MAIN, ids=lambda path: path.stem)


def exercises(path):
    """The code cells of a chapter's worksheet, from the first one on that a reader completes."""
    sheet = worksheet_of(nbformat.read(path, as_version=4))
    assert sheet, f"{path.name} leaves its readers nothing to write"
    cells = [cell for cell in sheet.cells if cell.cell_type == "code"]
    first = next(i for i, cell in enumerate(cells) if tagged(cell, TODO))
    return cells[first:]


def run(cell, names):
    """Run a cell in this process, and return the value of its last line."""
    body = ast.parse(cell.source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return last and eval(compile(ast.Expression(last.value), "cell", "eval"), names)


@each_chapter
def test_what_is_not_written_yet_is_named_and_nothing_else_fails(path):
    """In a namespace of their own, so that the rest of the chapter need not run for them.

    The rest are cells of the reading layer, which is tested to run alone.
    """
    names, waiting = {}, None
    for cell in exercises(path):
        result = run(cell, names)
        if tagged(cell, TODO):
            assert waiting is None, f"nothing judges what is written here:\n{waiting}"
            waiting = cell.source
        else:
            assert [finding.code for finding in result.findings] == ["not-written-yet"]
            waiting = None
    assert waiting is None, f"nothing judges what is written here:\n{waiting}"


@each_chapter
def test_the_solutions_are_right_by_the_same_judge(path):
    kept = {cell.id for cell in exercises(path) if not tagged(cell, TODO)}
    judges = [cell for cell in read_notebook(path)["cells"] if cell["id"] in kept]
    for cell in judges:
        assert output_text(cell).startswith("✓"), cell["source"]


@each_chapter
def test_each_mistake_on_a_list_is_told_from_the_exact_value_and_from_the_others(path, monkeypatch):
    asked, judge = [], diagnosis.diagnose_value

    def listen(yours, exact, mistakes=None, unit="nats"):
        asked.append((exact, mistakes, unit))
        return judge(yours, exact, mistakes, unit)

    monkeypatch.setattr(diagnosis, "diagnose_value", listen)
    names = {}
    for cell in exercises(path):
        run(cell, names)
    for exact, mistakes, unit in asked:
        assert judge(exact, exact, mistakes, unit).ok
        for mistake, value in mistakes.items():
            found = judge(value, exact, mistakes, unit)
            assert not found.ok and mistake in str(found)
