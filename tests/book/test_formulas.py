"""The formula sheet says what the chapters and the package say, letter by letter."""

import re
import tomllib
from pathlib import Path

import pytest

from equation_checks.book import Book, read_notebook
from equation_checks.displays import find_display
from equation_checks.line import CATCHES, STRENGTHS, read_lines
from equation_checks.sheet import PAGE, sheet_of

BOOK = Book(Path(__file__).resolve().parents[2])
PACKAGE = BOOK.root / "vae_teach"
STORED = (BOOK.folder / f"{PAGE}.md").read_text(encoding="utf8")
CHOSEN = tomllib.loads((BOOK.folder / f"{PAGE}.toml").read_text(encoding="utf8"))
ENTRY = re.compile(r"\{eq\}`([\w-]+)` (.*)\n\n\$\\displaystyle (.*)\$\n")


def wrong_formulas(page):
    """Labels whose formula on the sheet is another one than in its chapter."""
    return [
        label
        for label, _, tex in ENTRY.findall(page)
        if tex.split() != find_display(label, BOOK.folder).split()
    ]


def test_the_sheet_is_up_to_date():
    assert sheet_of(BOOK, PACKAGE) == STORED, "run make notebooks"


def test_each_chosen_formula_stands_on_it_once():
    assert sorted(label for label, _, _ in ENTRY.findall(STORED)) == sorted(CHOSEN)
    assert not [label for label in CHOSEN if label.startswith("wrong-")]


def test_the_formulas_are_the_chapters_own():
    assert wrong_formulas(STORED) == []


@pytest.mark.parametrize(
    ("there", "instead", "label"),
    [
        ("e^{\\ell_j} - 1 - \\ell_j", "e^{\\ell_j} - 1 + \\ell_j", "eq-kl-logvar"),
        ("\\\\ &- \\mathrm{KL}", "\\\\ &+ \\mathrm{KL}", "eq-elbo-two-terms"),
        ("2\\sigma_x^2} + \\frac", "\\sigma_x^2} + \\frac", "eq-gaussian-squared-error"),
    ],
)
def test_a_changed_sign_is_found(there, instead, label):
    assert STORED.count(there) == 1
    assert wrong_formulas(STORED.replace(there, instead)) == [label]


def test_a_tick_says_how_the_formula_was_checked():
    """Compared with what the cells printed; the sheet asks the folds."""
    printed = {}
    for path in BOOK.notebooks():
        for cell in read_notebook(path)["cells"]:
            for output in cell.get("outputs", []):
                for line in read_lines(output.get("text", "")):
                    if line.strength != CATCHES:
                        printed.setdefault(line.label, set()).add(line.strength)
    for label, mark, _ in ENTRY.findall(STORED):
        if label.startswith("def-"):
            assert mark == "definition"
        else:
            said = re.fullmatch(r'<a href="\w+\.html#proof-(.*?)".*?>✓ (.*)</a>', mark)
            strengths = said[2].replace(" for one term", "").split(" · ")
            assert said[1] == label
            assert strengths == sorted(printed[label], key=STRENGTHS.index)


def test_the_code_is_the_package():
    for block in re.findall(r"```python\n# (.*?)\n```", STORED, re.DOTALL):
        head, *lines = block.splitlines()
        module, _, name = head.partition(".")
        source = (PACKAGE / f"{module}.py").read_text(encoding="utf8")
        written = {line.strip() for line in source.splitlines()}
        assert f"def {name.split('(')[0].rpartition('.')[2]}(" in source
        assert [line for line in lines if line.strip() not in written] == []
