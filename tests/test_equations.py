"""Every displayed fact has a check that ran, every check a display, and both say the same."""

import re

import equation_index
import pytest
from book_files import BOOK
from equation_index import (
    STRENGTHS,
    Chapter,
    CheckLine,
    Display,
    checks_in,
    displays_in,
    problems,
    says,
)

STRETCH = {"compared": "a, b", "over": "all x"}


@pytest.fixture(scope="module")
def book():
    return equation_index.read_book()


def good_chapter():
    """A chapter with one equation, checked, and one false claim, refuted."""
    return Chapter(
        "chapter",
        displays=[Display("eq-a", r"y = x + 1", 0), Display("wrong-b", r"y \overset{?}{=} x", 3)],
        checks=[
            CheckLine("eq-a", "proved", **STRETCH, cell=1, form="x + 1"),
            CheckLine("eq-a", "catches", **STRETCH, cell=2),
            CheckLine("wrong-b", "refuted", **STRETCH, cell=4),
        ],
    )


def test_the_book_has_no_problem(book):
    assert problems(book, equation_index.docstring_labels()) == []


def test_the_book_has_equations_of_several_strengths(book):
    strengths = {line.strength for chapter in book for line in chapter.checks}
    assert strengths == {*STRENGTHS, "catches"}


def test_a_good_chapter_has_no_problem():
    assert problems([good_chapter()], {"eq-a": ["module.function"]}) == []


def spoil_no_check(chapter):
    chapter.checks = [line for line in chapter.checks if line.label != "eq-a"]


def spoil_check_before_display(chapter):
    chapter.displays[0].cell = 9


def spoil_only_refuted(chapter):
    chapter.checks[0].strength = "refuted"


def spoil_no_mistake_shown(chapter):
    del chapter.checks[1]


def spoil_not_refuted(chapter):
    del chapter.checks[2]


def spoil_claim_proved(chapter):
    chapter.checks[2].strength = "exact"


def spoil_label_of_no_display(chapter):
    chapter.checks.append(CheckLine("eq-z", "exact", **STRETCH, cell=5))


def spoil_label_twice(chapter):
    chapter.displays.append(Display("eq-a", "y = x + 1", 0))


def spoil_fact_that_defines(chapter):
    chapter.displays[0].tex = "y := x + 1"


def spoil_definition_that_states(chapter):
    chapter.displays.append(Display("def-c", "y = 3", 0))


def spoil_sign_in_the_display(chapter):
    chapter.displays[0].tex = "y = x - 1"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_no_check, "eq-a stands in chapter without a check"),
        (spoil_check_before_display, "eq-a stands in chapter without a check"),
        (spoil_only_refuted, "eq-a stands in chapter without a check"),
        (spoil_no_mistake_shown, "eq-a: no wrong version"),
        (spoil_not_refuted, "wrong-b stands in chapter and is not refuted"),
        (spoil_claim_proved, "wrong-b stands in chapter and is not refuted"),
        (spoil_label_of_no_display, "eq-z is checked in chapter, but not displayed"),
        (spoil_label_twice, "eq-a labels 2 displays"),
        (spoil_fact_that_defines, "eq-a: a definition contains"),
        (spoil_definition_that_states, "def-c: a definition contains"),
        (spoil_sign_in_the_display, "eq-a: the display does not say x \\+ 1"),
    ],
)
def test_a_fault_in_a_chapter_is_found(spoil, message):
    chapter = good_chapter()
    spoil(chapter)
    assert re.search(message, "\n".join(problems([chapter], {})))


def test_a_docstring_that_names_no_equation_is_found():
    assert problems([good_chapter()], {"eq-gone": ["module.function"]}) == [
        "module.function: the docstring names eq-gone, which the book does not have"
    ]


def parsed_displays(book):
    return [
        (display.tex, line.form)
        for chapter in book
        for line in chapter.checks
        for display in chapter.displays
        if line.form and line.label == display.label
    ]


def misprints(tex):
    """The TeX with one misprint on its right-hand side: each sign flipped, a sign or a factor
    put in front, another limit of a sum.
    """
    side = equation_index.right_hand_side(tex)
    for found in re.finditer(r"[+-]", side):
        flipped = {"+": "-", "-": "+"}[found.group()]
        yield f"K = {side[: found.start()]}{flipped}{side[found.end() :]}"
    yield f"K = -{side}" if not side.startswith("-") else f"K = {side[1:]}"
    yield rf"K = \frac{{1}}{{D}} {side}" if "sum" in side else f"K = 2 {side}"
    if "sum" in side:
        yield "K = " + side.replace("=1}", "=2}")
        yield "K = " + re.sub(r"\^\{\w+\}", "^{28}", side, count=1)


def test_a_misprint_in_any_parsed_display_is_found(book):
    pairs = parsed_displays(book)
    changed = [(misprint, form) for tex, form in pairs for misprint in misprints(tex)]
    assert len(pairs) >= 8
    assert len(changed) >= 40
    assert [misprint for misprint, form in changed if says(misprint, form)] == []


@pytest.mark.parametrize(
    ("tex", "form", "expected"),
    [
        (r"K = \frac{1}{2}\left(\mu^2 - 1\right)", "mu**2/2 - 1/2", True),
        (r"K = \frac{1}{3}\left(\mu^2 - 1\right)", "mu**2/2 - 1/2", False),
        (r"K = \sum_{j=1}^{D} \left(\mu_j^2\right)", "sum over j=1..D of mu_j**2", True),
        (r"K = \sum_{j=1}^{D} \left(\mu_j\right)", "sum over j=1..D of mu_j**2", False),
        (r"K = \sum_{j=1}^{D} \left(\mu_j^2\right)", "mu_j**2", False),
        (r"K = \mu_j^2", "sum over j=1..D of mu_j**2", False),
        (r"K = -\sum_{j=1}^{D} \left(\mu_j^2\right)", "sum over j=1..D of mu_j**2", False),
        (r"K = \sum_{j=1}^{D} \sum_{i=1}^{D} \mu_j^2", "sum over j=1..D of mu_j**2", False),
        (r"K = \frac{1}{", "x", False),
        (r"K = x + 1, \qquad y = 3", "x + 1", True),
        (r"K = \log\frac{\sigma_p}{\sigma_q},", "log(sigma_p/sigma_q)", True),
        (r"K = \log\frac{\sigma_q}{\sigma_p},", "log(sigma_p/sigma_q)", False),
        (r"K = x + w", "x", False),
    ],
)
def test_says_reads_the_right_hand_side(tex, form, expected):
    assert says(tex, form) is expected


def test_displays_are_found_in_markdown_but_not_in_code():
    text = "A.\n\n$$\ny = 1\n$$ (eq-one)\n\n```python\nx = '$$ z $$ (eq-two)'\n```\n\n$$ w := 2 $$ (def-three)"
    assert [display.label for display in displays_in(text)] == ["eq-one", "def-three"]


def test_check_lines_are_found_among_other_output():
    output = "hello\neq-a · proved · c · o\n    displayed form: x\neq-a · shown · c · o\nwrong-b · refuted · c · o\n"
    found = checks_in(output, cell=3)
    assert [(line.label, line.strength, line.form, line.cell) for line in found] == [
        ("eq-a", "proved", "x", 3),
        ("wrong-b", "refuted", None, 3),
    ]


def test_the_equation_index_is_up_to_date(book):
    stored = (BOOK / "equations.md").read_text(encoding="utf8")
    assert stored == equation_index.render(book, equation_index.docstring_labels()), (
        "run make notebooks"
    )


def test_the_index_names_every_equation(book):
    page = equation_index.render(book, {})
    labels = [
        d.label
        for chapter in book
        for d in chapter.displays
        if d.label.startswith(("eq-", "wrong-"))
    ]
    assert labels
    assert all(f"{{eq}}`{label}`" in page for label in labels)
