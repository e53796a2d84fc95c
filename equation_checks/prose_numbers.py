"""Numbers in prose, and where they stand: a number that no machine has printed may be wrong."""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from markdown_it.token import Token

from equation_checks.book import Notebook, code_cells, output_text
from equation_checks.displays import CODE_DIRECTIVES, OPTION, directive, top_level

# A number with its decimals; not part of a word, of a version, or of how long a page takes to read.
IN_PROSE = re.compile(r"(?<![\w.,/-])\d(?:[\d,]*\d)?(?:\.\d+)?(?![\w/]|[.,]\d| (?:more )?minutes)")
IN_OUTPUT = re.compile(r"\d(?:[\d,]*\d)?(?:\.\d+)?(?:e[-+]?\d+)?")
# Integers up to this one are words written with digits: "2 networks", "line 5".
SMALL = 12
# What follows a number that is a hundred times the one that was printed.
HUNDREDTHS = re.compile(r"\s*(%|per cent|of 100\b)")
LINKS = {"doc", "ref", "numref", "eq"}  # to other places of the book
CITES = "a source that the book does not hold"


def blocks(markdown: str) -> Iterator[tuple[str, set[str]]]:
    """The words of each paragraph, item or row of a table, and where it points.

    That is CITES, and what its links to pages and labels name.
    """
    row: list[tuple[str, set[str]]] | None = None
    for token in top_level(markdown):
        name = directive(token)
        if name and name not in CODE_DIRECTIVES:
            yield from blocks(OPTION.sub("", token.content))
        elif token.type == "tr_open":
            row = []
        elif token.type == "tr_close":
            yield " | ".join(words for words, _ in row), set().union(*(at for _, at in row))
            row = None
        elif token.type == "inline" and row is None:
            yield _words(token)
        elif token.type == "inline":
            row.append(_words(token))


def _words(token: Token) -> tuple[str, set[str]]:
    pointed = set()
    for child in token.children:
        if child.type == "myst_role" and child.meta["name"].startswith("cite"):
            pointed.add(CITES)
        elif child.type == "myst_role" and child.meta["name"] in LINKS:
            pointed.add(child.content)
        elif child.type == "link_open" and "://" in str(child.attrGet("href")):
            pointed.add(CITES)
    # A formula between two words keeps them apart.
    return "".join(c.content if c.type == "text" else " · " for c in token.children), pointed


def _recorded(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _recorded(entry)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield abs(float(value))
    elif isinstance(value, str):
        yield from _read(value)


def recorded_numbers(files: Iterable[Path]) -> set[float]:
    """The numbers in some recorded files, JSON or text."""
    found = set()
    for file in files:
        text = file.read_text(encoding="utf8")
        if file.suffix == ".json":
            found |= set(_recorded(json.loads(text)))
        else:
            found |= set(_read(text.replace(",", " ")))  # a table with commas between its columns
    return found


def _read(text: str) -> Iterator[float]:
    for found in IN_OUTPUT.findall(text):
        yield float(found.replace(",", ""))


def numbers_of(notebook: Notebook) -> set[float]:
    """The numbers that a notebook prints, and those that its code sets."""
    found = set()
    for cell in code_cells(notebook):
        found |= set(_read(output_text(cell)))
        for node in ast.walk(ast.parse(cell["source"])):
            if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
                found.add(abs(float(node.value)))
    return found


def unsupported(
    texts: Iterable[str], known: set[float], elsewhere: Mapping[str, set[float]] | None = None
) -> list[str]:
    """A problem for each number in prose that is in ``known`` neither as it stands nor rounded.

    ``elsewhere`` has the numbers that may be quoted beside a link to a page or a label.
    """
    problems = []
    for text in texts:
        for words, pointed in blocks(text):
            quoted = known.union(*((elsewhere or {}).get(name, set()) for name in pointed))
            for found in IN_PROSE.finditer(words):
                shown = found.group()
                rest = words[found.end() :]
                if not (CITES in pointed or _is_known(shown, rest, quoted)):
                    around = words[max(0, found.start() - 40) : found.end() + 30].strip()
                    problems.append(f"{shown} stands nowhere else: ...{around}...")
    return problems


def _is_known(shown: str, rest: str, known: set[float]) -> bool:
    value = float(shown.replace(",", ""))
    decimals = len(shown.partition(".")[2])
    if decimals == 0 and value <= SMALL:
        return True
    # Rounded as it is shown; "28,000" may stand for 28,013, and 43 per cent for 0.43.
    digits = shown.replace(",", "")
    zeros = 0 if decimals else len(digits) - len(digits.rstrip("0"))
    unit = 10.0 ** (zeros - decimals)
    factors = (1, 100) if HUNDREDTHS.match(rest) else (1,)
    return any(abs(k * f - value) <= 0.5 * unit * 1.0001 for k in known for f in factors)
