"""Each fault between displays, checks and docstrings is found, and the index shows them all."""

import re
from dataclasses import replace

import pytest

from equation_checks.checks import digest_of
from equation_checks.displays import Display
from equation_checks.index import Chapter, CheckLine, problems, render
from equation_checks.line import Line


def check(label, strength, cell, form="", over="all x; 3 of 3 changed terms fail"):
    return CheckLine(Line(label, strength, "a = b", over, form), cell)


def good_chapter():
    """A chapter with one equation, checked, and one false claim, refuted."""
    return Chapter(
        "chapter",
        displays=[
            Display("eq-a", r"y = x + 1", 0),
            Display("wrong-b", r"y \overset{?}{=} x", 3),
            Display("def-d", "d := 1", 5),
        ],
        checks=[
            check("eq-a", "executed", cell=1, form="y = x+1"),
            check("eq-a", "catches", cell=2),
            check("wrong-b", "refuted", cell=4, form="y ?= x"),
        ],
        title="How y is made",
    )


def test_a_good_chapter_has_no_problem():
    assert problems([good_chapter()], {"eq-a": ["module.function"]}) == []


def spoil_no_check(chapter):
    chapter.checks = [c for c in chapter.checks if c.line.label != "eq-a"]


def spoil_check_before_display(chapter):
    chapter.displays[0].cell = 9


def spoil_only_refuted(chapter):
    chapter.checks[0] = check("eq-a", "refuted", cell=1, form="y = x+1")


def spoil_no_mistake_shown(chapter):
    del chapter.checks[1]


def spoil_not_refuted(chapter):
    del chapter.checks[2]


def spoil_claim_proved(chapter):
    chapter.checks[2] = check("wrong-b", "exact", cell=4)


def spoil_label_of_no_display(chapter):
    chapter.checks.append(check("eq-z", "exact", cell=5))


def spoil_label_twice(chapter):
    chapter.displays.append(Display("eq-a", "y = x + 1", 0))


def spoil_fact_that_defines(chapter):
    chapter.displays[0].tex = "y := x + 1"


def spoil_definition_that_states(chapter):
    chapter.displays.append(Display("def-c", "y = 3", 0))


def spoil_sign_in_the_display(chapter):
    chapter.displays[0].tex = "y = x - 1"


def spoil_power(chapter):
    chapter.checks[0].line = replace(
        chapter.checks[0].line, over="within 1; an error of 0.02 fails"
    )


def spoil_terms(chapter):
    chapter.checks[0].line = replace(chapter.checks[0].line, over="2 of 3 changed terms fail")


def spoil_no_power(chapter):
    chapter.checks[0].line = replace(chapter.checks[0].line, over="all x")


def spoil_not_read(chapter):
    chapter.checks[0] = check("eq-a", "proved", cell=1)


def spoil_read_and_transcribed(chapter):
    chapter.checks.append(check("eq-a", "transcribed", cell=5, over=digest_of("y = x + 1")))


def spoil_only_transcribed(chapter):
    chapter.checks[0] = check("eq-a", "transcribed", cell=1, over=digest_of("y = x + 1"))


def spoil_digest(chapter):
    chapter.checks[0] = check("eq-a", "proved", cell=1)
    chapter.checks.append(check("eq-a", "transcribed", cell=5, over=digest_of("y = x - 1")))


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
        (spoil_sign_in_the_display, "eq-a: the check has read another display"),
        (spoil_power, "eq-a: an error of less than 0.02 passes \\(executed\\)"),
        (spoil_terms, "eq-a: only 2 of 3 changed terms fail"),
        (spoil_no_power, "eq-a: it does not say what it would have caught"),
        (spoil_not_read, "eq-a must be either executed from its TeX or transcribed"),
        (spoil_read_and_transcribed, "eq-a must be either executed from its TeX or transcribed"),
        (spoil_only_transcribed, "eq-a stands in chapter without a check"),
        (spoil_digest, "eq-a has changed since it was accepted"),
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


def test_the_index_names_every_equation_and_what_checked_it():
    page = render([good_chapter()], {"eq-a": ["module.function"]}, "package")
    assert (
        "{eq}`eq-a` executed<br>`eq-a`<br>`module.function` | **executed**: a = b; all x; 3 of 3 changed terms fail |"
        in page
    )
    assert "{eq}`wrong-b` executed" in page
    assert "**1 equations**" in page and "**1 checks**" in page and "**1** in all" in page
    assert "\n## How y is made\n\n| equation | how" in page and "def-d" not in page
    assert "| executed |" in page and "| proved |" not in page
    assert "## " not in render([Chapter("text", "Only words")], {}, "package")
    assert "**2 are executed**" in page and "None is copied by hand." in page
    transcribed = good_chapter()
    transcribed.checks[0] = check("eq-a", "proved", cell=1)
    transcribed.checks.append(check("eq-a", "transcribed", cell=5, over=digest_of("y = x + 1")))
    assert problems([transcribed], {}) == []
    page = render([transcribed], {}, "package")
    assert (
        "{eq}`eq-a` transcribed<br>`eq-a` | **proved**: a = b; all x; 3 of 3 changed terms fail |"
        in page
    )
    assert "**1 are executed**" in page and "**1\nare transcribed**" in page
