"""Every chapter of the main path keeps to its budget, and says honestly how long it takes."""

from pathlib import Path

import pytest

from equation_checks.book import Book
from equation_checks.report import budget_of, main_path, over_budget, size_of

BOOK = Book(Path(__file__).resolve().parents[2])
MAIN, BUDGET = main_path(BOOK), budget_of(BOOK)


@pytest.mark.parametrize("path", MAIN, ids=lambda path: path.stem)
def test_chapter(path):
    problems = over_budget(path, BUDGET)
    assert not problems, "\n".join(problems)


def test_the_main_path_as_a_whole():
    assert sum(size_of(path).words for path in MAIN) <= BUDGET.all_words
