"""The book's sources obey the rules of hygiene, and their numbers stand somewhere."""

import re
from functools import cache
from pathlib import Path

import pytest

from equation_checks.book import Book, markdown_texts, read_notebook
from equation_checks.displays import displays_in, tokens
from equation_checks.index import PAGE as INDEX
from equation_checks.prose_numbers import numbers_of, recorded_numbers, unsupported
from equation_checks.rules import (
    MACHINE_PATH,
    MARKDOWN_RULES,
    NOTEBOOK_RULES,
    few_cells_ignored,
    pages_state_no_equations,
    toc_is_complete,
)

BOOK = Book(Path(__file__).resolve().parents[2])


def name_of(value):
    return getattr(value, "stem", None) or value.__name__


NOTEBOOKS = BOOK.notebooks()
PAGES = BOOK.markdown_pages()


@pytest.mark.parametrize("rule", NOTEBOOK_RULES, ids=name_of)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebook(path, rule):
    problems = rule(read_notebook(path))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("rule", MARKDOWN_RULES, ids=name_of)
@pytest.mark.parametrize("path", NOTEBOOKS + PAGES, ids=name_of)
def test_markdown(path, rule):
    problems = rule(markdown_texts(path))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_page(path):
    problems = pages_state_no_equations(markdown_texts(path))
    problems += [
        f"names a path of one machine: {found.group()}"
        for text in markdown_texts(path)
        for found in MACHINE_PATH.finditer(text)
    ]
    assert not problems, "\n".join(problems)


def test_few_cells_are_ignored():
    problems = few_cells_ignored([read_notebook(path) for path in NOTEBOOKS])
    assert not problems, "\n".join(problems)


def test_toc_and_folder_agree():
    files = {f"book/{path.stem}" for path in NOTEBOOKS + PAGES} | {"genindex"}
    problems = toc_is_complete(set(BOOK.pages()), files)
    assert not problems, "\n".join(problems)


RUNS = BOOK.folder / "runs"
# Images of MNIST in all, to train on, for testing; of them in the book; pixels.
SIZES = {60_000.0, 50_000.0, 10_000.0, 5_000.0, 4_000.0, 1_000.0, 784.0}


@cache
def numbers_at_hand(path):
    """What a page prints and sets, the records that it names, and the sizes of MNIST."""
    text, printed = path.read_text(encoding="utf8"), set()
    if path.suffix == ".ipynb":
        notebook = read_notebook(path)
        text = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
        printed = numbers_of(notebook)
    named = [
        file
        for file in RUNS.rglob("*.json")
        if re.search(
            rf"\b{re.escape(file.relative_to(RUNS).parts[0].removesuffix('.json'))}\b", text
        )
    ]
    return SIZES | printed | recorded_numbers(named)


@pytest.fixture(scope="module")
def elsewhere():
    """The numbers of each chapter, by its name and by its labels."""
    found = {}
    for path in NOTEBOOKS:
        labels = [path.stem]
        for text in markdown_texts(path):
            labels += [token.content for token in tokens(text) if token.type == "myst_target"]
            labels += [display.label for display in displays_in(text)]
        found |= dict.fromkeys(labels, numbers_at_hand(path))
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_every_number_in_prose_stands_in_an_output_a_record_or_beside_a_citation(path, elsewhere):
    notebook = read_notebook(path)
    captions = [
        cell["metadata"].get("mystnb", {}).get("figure", {}).get("caption", "")
        for cell in notebook["cells"]
    ]
    problems = unsupported(markdown_texts(path) + captions, numbers_at_hand(path), elsewhere)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("path", [p for p in PAGES if p.stem != INDEX], ids=name_of)
def test_every_number_on_a_page_stands_in_a_chapter_a_record_or_beside_a_citation(path, elsewhere):
    printed = set().union(*(numbers_of(read_notebook(notebook)) for notebook in NOTEBOOKS))
    problems = unsupported(markdown_texts(path), printed | numbers_at_hand(path), elsewhere)
    assert not problems, "\n".join(problems)


def test_further_reading_has_something_for_every_chapter():
    page = (BOOK.folder / "further_reading.md").read_text(encoding="utf8")
    assert [p.stem for p in BOOK.notebooks() if f"{{doc}}`{p.stem}`" not in page] == []
