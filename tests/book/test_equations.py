"""Every displayed fact has a check that ran, every check a display, and both say the same."""

import re
from pathlib import Path

import pytest

from equation_checks.book import Book
from equation_checks.index import PAGE, docstring_labels, index_of, problems, read_chapters
from equation_checks.line import CATCHES, STRENGTHS
from equation_checks.tex import right_hand_side, says

BOOK = Book(Path(__file__).resolve().parents[2])
PACKAGE = BOOK.root / "vae_teach"


@pytest.fixture(scope="module")
def chapters():
    return read_chapters(BOOK)


def test_the_book_has_no_problem(chapters):
    assert problems(chapters, docstring_labels(PACKAGE)) == []


def test_the_book_has_equations_of_several_strengths(chapters):
    strengths = {check.line.strength for chapter in chapters for check in chapter.checks}
    assert strengths == {*STRENGTHS, CATCHES}


def test_the_equation_index_is_up_to_date():
    stored = (BOOK.folder / f"{PAGE}.md").read_text(encoding="utf8")
    assert stored == index_of(BOOK, PACKAGE), "run make notebooks"


def parsed_displays(chapters):
    return [
        (display.tex, line.form)
        for chapter in chapters
        for display in chapter.displays
        for line in chapter.lines_of(display)
        if line.form
    ]


def misprints(tex):
    """The TeX with one misprint on its right-hand side: each sign flipped, a sign or a factor
    put in front, another limit of a sum.
    """
    side = right_hand_side(tex)
    for found in re.finditer(r"[+-]", side):
        flipped = {"+": "-", "-": "+"}[found.group()]
        yield f"K = {side[: found.start()]}{flipped}{side[found.end() :]}"
    yield f"K = -{side}" if not side.startswith("-") else f"K = {side[1:]}"
    yield rf"K = \frac{{1}}{{D}} {side}" if "sum" in side else f"K = 2 {side}"
    if "sum" in side:
        yield "K = " + side.replace("=1}", "=2}")
        yield "K = " + re.sub(r"\^\{\w+\}", "^{28}", side, count=1)


def test_a_misprint_in_any_parsed_display_is_found(chapters):
    pairs = parsed_displays(chapters)
    changed = [(misprint, form) for tex, form in pairs for misprint in misprints(tex)]
    assert len(pairs) >= 8
    assert len(changed) >= 40
    assert [misprint for misprint, form in changed if says(misprint, form)] == []
