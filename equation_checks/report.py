"""How heavy each chapter is: the figures that its budget speaks of."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from equation_checks.book import Book, Notebook, code_cells, is_check, output_text, read_notebook
from equation_checks.displays import CODE_DIRECTIVES, directive, displays_in, top_level
from equation_checks.numbers import NUMBER, PRINTED

WORDS_A_MINUTE = 130
# What a reader may skip: exercises, questions, and whatever a dropdown hides.
SKIPPED = ("exercise", "solution", "quiz")
LONG_CELL = 15


@dataclass
class Size:
    """The size of what stands open on a page; exercises and their solutions do not count."""

    words: int = 0
    displays: int = 0
    figures: int = 0
    long_cells: int = 0
    longest_cell: int = 0
    checks: int = 0

    @property
    def minutes(self) -> float:
        return self.words / WORDS_A_MINUTE + self.displays + self.figures


def size_of(path: Path) -> Size:
    """Counts over one notebook."""
    size = Size()
    in_solution = False
    for cell in read_notebook(path)["cells"]:
        if cell["cell_type"] == "markdown":
            words, in_solution = _words(cell["source"], in_solution)
            size.words += words
            size.displays += len(displays_in(cell["source"]))
            continue
        figure = cell["metadata"].get("mystnb", {}).get("figure", {})
        tags = cell["metadata"].get("tags", [])
        if in_solution:
            continue
        if is_check(cell):
            size.checks += 1
            continue
        size.words += len(figure.get("caption", "").split())
        size.figures += any("image/png" in o.get("data", {}) for o in cell["outputs"])
        if not {"hide-input", "hide-cell", "remove-input", "remove-cell"} & set(tags):
            lines = len(cell["source"].splitlines())
            size.long_cells += lines > LONG_CELL
            size.longest_cell = max(size.longest_cell, lines)
    return size


def _words(markdown: str, in_solution: bool) -> tuple[int, bool]:
    """Words that stand open, and whether the text ends inside a solution."""
    words = 0
    for token in top_level(markdown):
        name = directive(token)
        if name == "solution-start":
            in_solution = True
        elif name == "solution-end":
            in_solution = False
        elif in_solution or (name and name.startswith(SKIPPED)):
            continue
        elif name and name not in CODE_DIRECTIVES:
            words += _words(token.content, False)[0]
        elif token.type == "inline":
            words += sum(
                len(child.content.split()) if child.type == "text" else 1
                for child in token.children
                if child.type in ("text", "math_inline", "myst_role", "code_inline")
            )
    return words, in_solution


def report(book: Book) -> str:
    """One line per chapter; the totals last."""
    head = ["chapter", "words", "displays", "figures", "minutes", "cells > 15", "longest", "folded"]
    rows = [head]
    sizes = []
    for path in book.notebooks():
        size = size_of(path)
        sizes.append(size)
        rows.append(
            [
                path.stem,
                f"{size.words:,}",
                str(size.displays),
                str(size.figures),
                f"{size.minutes:.0f}",
                str(size.long_cells),
                str(size.longest_cell),
                str(size.checks),
            ]
        )
    total = f"{sum(s.words for s in sizes):,}", f"{sum(s.minutes for s in sizes):.0f}"
    rows.append(["together", total[0], "", "", total[1], "", "", ""])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def share_of_approx(notebooks: Iterable[Notebook]) -> float:
    """The share of the numbers in the stored outputs that ``approx`` printed."""
    texts = [output_text(cell) for notebook in notebooks for cell in code_cells(notebook)]
    numbers = sum(len(NUMBER.findall(text)) for text in texts)
    return sum(len(PRINTED.findall(text)) for text in texts) / max(numbers, 1)
