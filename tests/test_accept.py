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
        {"cell_type": "code", "metadata": {}, "source": ["print('— another')"]},
    ]
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/chapter\n", encoding="utf8")
    (tmp_path / "book").mkdir()
    stored = json.dumps({"cells": cells}, indent=1, ensure_ascii=False) + "\n"
    (tmp_path / "book" / "chapter.ipynb").write_text(stored, encoding="utf8")
    return Book(tmp_path)


def answered(monkeypatch, answer):
    monkeypatch.setattr("builtins.input", lambda question: answer)


@pytest.mark.parametrize("answer", ["y", " Y "])
def test_a_yes_writes_the_digest_and_shows_both(book, monkeypatch, capsys, answer):
    answered(monkeypatch, answer)
    path = book.folder / "chapter.ipynb"
    before = json.loads(path.read_text(encoding="utf8"))
    digest = digest_of("y = x + 1")
    assert accept.accept(book, "eq-a") == 0
    before["cells"][1]["source"] = f'checks.transcribed("eq-a", "{digest}")'
    # The file is written as notebooks are stored.
    after = json.dumps(before, indent=1, ensure_ascii=False) + "\n"
    assert path.read_text(encoding="utf8") == after
    out = capsys.readouterr().out
    assert "y = x + 1" in out and 'checks.transcribed("eq-a", "12345678")\n\n' in out
    assert "another" not in out and f"Accepted: {digest}" in out


@pytest.mark.parametrize("answer", ["", "n", "yes?"])
def test_anything_else_changes_nothing(book, monkeypatch, answer, capsys):
    answered(monkeypatch, answer)
    stored = (book.folder / "chapter.ipynb").read_bytes()
    assert accept.accept(book, "eq-a") == 1
    assert (book.folder / "chapter.ipynb").read_bytes() == stored
    assert "Nothing is changed." in capsys.readouterr().out


def test_a_label_that_is_not_transcribed_is_named(book, capsys, tmp_path):
    path = Path(book.folder / "chapter.ipynb")
    path.write_text(
        path.read_text(encoding="utf8").replace("transcribed", "proved"), encoding="utf8"
    )
    assert accept.accept(book, "eq-a") == 1
    assert 'No notebook calls checks.transcribed("eq-a"' in capsys.readouterr().out
