"""Every displayed fact has a check that ran, every check a display, and both say the same."""

from pathlib import Path

import pytest

from equation_checks.book import Book
from equation_checks.index import PAGE, docstring_labels, index_of, problems, read_chapters
from equation_checks.line import CATCHES, STRENGTHS, TRANSCRIBED

BOOK = Book(Path(__file__).resolve().parents[2])
PACKAGE = BOOK.root / "vae_teach"


@pytest.fixture(scope="module")
def chapters():
    return read_chapters(BOOK)


def test_the_book_has_no_problem(chapters):
    assert problems(chapters, docstring_labels(PACKAGE)) == []


def test_the_book_has_equations_of_several_strengths(chapters):
    strengths = {check.line.strength for chapter in chapters for check in chapter.checks}
    assert strengths - {TRANSCRIBED} == {*STRENGTHS, CATCHES} - {TRANSCRIBED}


def test_the_equation_index_is_up_to_date():
    stored = (BOOK.folder / f"{PAGE}.md").read_text(encoding="utf8")
    assert stored == index_of(BOOK, PACKAGE), "run make notebooks"
