"""Every chapter of the main path keeps to its budget, and says honestly how long it takes."""

import re
from pathlib import Path

import pytest

from equation_checks.book import Book, markdown_texts
from equation_checks.report import budget_of, main_path, over_budget, size_of, stated_minutes

BOOK = Book(Path(__file__).resolve().parents[2])
MAIN, BUDGET = main_path(BOOK), budget_of(BOOK)
CHAPTERS = [path for path in BOOK.notebooks() if path.stem in {Path(p).name for p in BOOK.pages()}]
# A row of the front page's tables: | {doc}`name` | what is in it | minutes |
ROW = re.compile(r"^\| \{doc\}`(\w+)` \|.*\| (\d+) \|$", re.MULTILINE)
(FRONT,) = markdown_texts(BOOK.source_of(BOOK.pages()[0]))


@pytest.mark.parametrize("path", MAIN, ids=lambda path: path.stem)
def test_chapter(path):
    problems = over_budget(path, BUDGET)
    assert not problems, "\n".join(problems)


def test_the_main_path_as_a_whole():
    assert sum(size_of(path).words for path in MAIN) <= BUDGET.all_words


def test_the_front_page_says_what_the_chapters_say():
    """Each chapter once, in the order of the table of contents, with the minutes of its head."""
    rows = [(name, int(minutes)) for name, minutes in ROW.findall(FRONT)]
    assert rows == [(path.stem, stated_minutes(path)) for path in CHAPTERS]


def test_the_front_page_adds_up():
    hours, minutes = re.search(r"together (\d+) hours and (\d+) minutes", FRONT).groups()
    assert 60 * int(hours) + int(minutes) == sum(stated_minutes(path) or 0 for path in MAIN)
