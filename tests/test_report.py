"""What the report counts, and what it says of a chapter that is too heavy."""

import json

import pytest

from equation_checks.book import Book
from equation_checks.report import Budget, budget_of, main_path, over_budget, report, size_of

QUIZ = (
    "```{{quiz}} How many words count?\n- [x] None of these.\n\n  {why}\n- [ ] All.\n\n  No.\n```\n"
)


def markdown(text):
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code(lines, *tags):
    source = "\n".join(["x = 1"] * lines)
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source, "outputs": []}


@pytest.fixture
def book(tmp_path):
    """A book with a main path of one chapter and one beside it."""
    (tmp_path / "_toc.yml").write_text(
        "root: intro\nparts:\n- caption: Main\n  chapters:\n  - file: a\n"
        "- caption: Beside\n  chapters:\n  - file: b\n"
    )
    (tmp_path / "pyproject.toml").write_text(
        "[tool.equation_checks.budget]\nparts = ['Main']\nwords = 9\nquestions = 1\nlines = 2\n"
    )
    (tmp_path / "intro.md").write_text("# Intro")
    a = [
        markdown("# A chapter\n\nAbout 2 minutes. Six words.\n"),
        markdown(QUIZ.format(why="Because.") + "\n$$\na := b\n$$ (def-a)\n"),
        code(3),
        code(9, "hide-input"),
        code(9, "check"),
    ]
    for name, cells in {"a": a, "b": [markdown("# B")]}.items():
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
    return Book(tmp_path)


def test_questions_are_counted_and_their_words_are_not(book):
    (path,) = main_path(book)
    size = size_of(path, lines=2)
    assert (size.words, size.displays, size.questions, size.checks) == (7, 1, 1, 1)
    assert (size.long_cells, size.longest_cell) == (1, 3)


def test_what_exceeds_the_budget_is_named(book):
    (path,) = main_path(book)
    assert over_budget(path, budget_of(book)) == [
        "1 displays, and the budget is 0",
        "1 open cells of more than 2 lines, and the budget is 0",
    ]
    problems = over_budget(path, Budget(words=6, displays=1, long_cells=1, questions=2))
    assert problems == [
        "7 words, and the budget is 6",
        "1 questions, and there should be 2 "
        "(a question that holds code opens with ~~~ in place of ```)",
    ]


def test_a_question_that_holds_code_has_another_fence(book):
    (path,) = main_path(book)
    asked = "```{quiz} Is it `x`?\n- [x] Yes.\n\n  So.\n- [ ] No.\n\n  No.\n```\n"
    for text, questions in ((asked, 0), (asked.replace("```", "~~~"), 1)):
        path.write_text(json.dumps({"cells": [markdown(text)]}))
        assert size_of(path).questions == questions


def test_minutes_must_be_honest(book):
    (path,) = main_path(book)
    generous = Budget(words=900, displays=1, long_cells=1, questions=1)
    assert over_budget(path, generous) == []
    cells = json.loads(path.read_text())["cells"]
    cells.append(markdown("word " * 260))
    path.write_text(json.dumps({"cells": cells}))
    assert over_budget(path, generous) == ["the head says 2 minutes, and it takes about 4"]


def test_the_report_shows_both_paths_with_totals(book):
    main, deeper = report(book).split("\n\n")
    assert [line.split()[0] for line in main.splitlines()] == ["main", "words", "a", "together"]
    assert "at most 9 words" in main.splitlines()[0]
    assert main.splitlines()[2].split() == ["a", "7", "1", "0", "1", "2", "1", "3", "1", "1"]
    assert [line.split()[0] for line in deeper.splitlines()] == ["deeper", "words", "b", "together"]


def test_a_book_without_a_budget_has_one_table(book):
    (book.root / "pyproject.toml").unlink()
    assert main_path(book) == []
    assert report(book).splitlines()[0] == "chapters"
