"""What the front page shows and promises is what the book holds."""

import re
from pathlib import Path

import draw_front
import numpy as np
import pytest
from PIL import Image

from equation_checks.book import Book, markdown_texts, read_notebook
from equation_checks.folds import summary
from equation_checks.proofs import proofs
from equation_checks.report import main_path, stated_minutes

BOOK = Book(Path(__file__).resolve().parents[2])
(FRONT,) = markdown_texts(BOOK.source_of(BOOK.pages()[0]))
# A row of its tables: | {doc}`name` | what it is about | minutes |
ROW = re.compile(r"^\| \{doc\}`(\w+)` \|.*\| (\d+) \|$", re.MULTILINE)


def test_its_tables_say_what_the_chapters_say():
    """Each chapter once, in the order of the table of contents, with the minutes of its head."""
    rows = [(name, int(minutes)) for name, minutes in ROW.findall(FRONT)]
    assert rows == [(path.stem, stated_minutes(path)) for path in BOOK.notebooks()]


def test_the_minutes_add_up():
    count, hours, minutes = re.search(
        r"(\w+) chapters, together (\d+) hours and (\d+) minutes", FRONT
    ).groups()
    chapters = main_path(BOOK)
    assert 60 * int(hours) + int(minutes) == sum(stated_minutes(path) or 0 for path in chapters)
    assert (count, len(chapters)) == ("Thirteen", 13)


def test_the_check_that_it_shows_is_a_check_of_the_book():
    name = re.search(r"You can do this one, from \{doc\}`(\w+)`", FRONT)[1]
    found = proofs(read_notebook(BOOK.folder / f"{name}.ipynb"))
    (proof,) = (proof for proof in found if proof.label == "eq-log-tangent")
    assert f"> {summary(proof, '')}\n" in FRONT


def test_its_pictures_are_what_the_script_draws():
    transparent = np.asarray(Image.open(draw_front.WALL))
    assert (transparent[..., 0] == 0).all()
    assert transparent[..., 1].astype(int) == pytest.approx(draw_front.wall().astype(int), abs=2)
    assert draw_front.LAMPS.read_text(encoding="utf8") == draw_front.lamps()
