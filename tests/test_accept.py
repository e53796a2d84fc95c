"""A digest is renewed by a person who has seen display and code, and by nobody else."""

import json
from pathlib import Path

import pytest

from equation_checks import accept
from equation_checks.book import Book
from equation_checks.checks import digest_of


@pytest.fixture()
def book(tmp_path):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["$$\n", "y = x + 1\n", "$$ (eq-a)"]},
        {"cell_type": "code", "metadata": {}, "source": ['checks.transcribed("eq-a", "12345678")']},
    ]
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/chapter\n", encoding="utf8")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "chapter.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf8")
    return Book(tmp_path)


def answered(monkeypatch, answer):
    monkeypatch.setattr("builtins.input", lambda question: answer)


def call(book: Book) -> str:
    notebook = json.loads((book.folder / "chapter.ipynb").read_text(encoding="utf8"))
    return "".join(notebook["cells"][1]["source"])


def test_a_yes_writes_the_digest_and_shows_both(book, monkeypatch, capsys):
    answered(monkeypatch, "y")
    assert accept.accept(book, "eq-a") == 0
    assert call(book) == f'checks.transcribed("eq-a", "{digest_of("y = x + 1")}")'
    out = capsys.readouterr().out
    assert "y = x + 1" in out and 'checks.transcribed("eq-a", "12345678")' in out


@pytest.mark.parametrize("answer", ["", "n", "yes?"])
def test_anything_else_changes_nothing(book, monkeypatch, answer):
    answered(monkeypatch, answer)
    assert accept.accept(book, "eq-a") == 1
    assert "12345678" in call(book)


def test_a_label_that_is_not_transcribed_is_named(book, capsys, tmp_path):
    path = Path(book.folder / "chapter.ipynb")
    path.write_text(
        path.read_text(encoding="utf8").replace("transcribed", "proved"), encoding="utf8"
    )
    assert accept.accept(book, "eq-a") == 1
    assert 'No notebook calls checks.transcribed("eq-a"' in capsys.readouterr().out
