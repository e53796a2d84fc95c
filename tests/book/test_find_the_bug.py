"""The programs of the lab: each has its mistake, the mistake is hidden, and mended it is the right program."""

import ast
import codecs
from difflib import unified_diff
from pathlib import Path

import pytest

from equation_checks.book import code_cells, read_notebook

CHAPTER = Path(__file__).resolve().parents[2] / "book" / "find_the_bug.ipynb"
SOURCES = [cell["source"] for cell in code_cells(read_notebook(CHAPTER))]
(CELL,) = (source for source in SOURCES if "\nHIDDEN = " in source)
(PROGRAM,) = (source for source in SOURCES if "\ndef program(" in source)
(HIDDEN,) = (
    ast.literal_eval(node.value)
    for node in ast.parse(CELL).body
    if isinstance(node, ast.Assign) and node.targets[0].id == "HIDDEN"
)
MISTAKES = {
    letter: [[codecs.decode(text, "rot13") for text in pair] for pair in pairs]
    for letter, pairs in HIDDEN.items()
}


def test_there_are_ten_programs_and_three_for_the_exercises():
    assert list(MISTAKES) == list("ABCDEFGHJKLMN")


def changed_lines(letter):
    """What the mistake takes out of the right program, and what it puts in."""
    source = PROGRAM
    for right, wrong in MISTAKES[letter]:
        assert source.count(right) == 1
        source = source.replace(right, wrong)
    compile(source, letter, "exec")
    lines = list(unified_diff(PROGRAM.split("\n"), source.split("\n"), n=0, lineterm=""))[2:]
    return ([line[1:] for line in lines if line[0] == sign] for sign in "-+")


@pytest.mark.parametrize("letter", MISTAKES)
def test_a_program_compiles_and_differs_from_the_right_one_in_its_mistake_alone(letter):
    right, wrong = changed_lines(letter)
    assert len(right) == len(wrong) == len(MISTAKES[letter])


@pytest.mark.parametrize("letter", MISTAKES)
def test_no_cell_gives_the_mistake_away(letter):
    _, wrong = changed_lines(letter)
    assert not any(line in source for line in wrong for source in SOURCES)
