"""How heavy each chapter is, beside the budget that ``pyproject.toml`` gives to the main path."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from equation_checks.book import (
    Book,
    Notebook,
    code_cells,
    is_check,
    markdown_texts,
    output_text,
    read_notebook,
)
from equation_checks.displays import CODE_DIRECTIVES, directive, displays_in, top_level
from equation_checks.numbers import NUMBER, PRINTED

# Set so that the main path takes as long as two readers who were new to the book felt it to take.
WORDS_A_MINUTE = 100
MINUTES_A_PICTURE = 1.25  # and a display
# What a reader may skip: exercises, questions, and whatever a dropdown hides.
SKIPPED = ("exercise", "solution", "quiz")
QUESTION = "quiz"
STATED = re.compile(r"\b[Aa]bout (\d+) minutes")


@dataclass(frozen=True)
class Budget:
    """The table ``[tool.equation_checks.budget]``: at most so much; of questions exactly so many."""

    parts: list[str] = field(default_factory=list)
    all_words: int = 0
    words: int = 0
    displays: int = 0
    figures: int = 0
    lines: int = 15
    long_cells: int = 0
    questions: int = 0


@dataclass
class Size:
    """The size of what stands open on a page; exercises and their solutions do not count."""

    words: int = 0
    displays: int = 0
    figures: int = 0
    long_cells: int = 0
    longest_cell: int = 0
    questions: int = 0
    checks: int = 0

    @property
    def minutes(self) -> float:
        return self.words / WORDS_A_MINUTE + MINUTES_A_PICTURE * (self.displays + self.figures)


def budget_of(book: Book) -> Budget:
    """The book's budget; without one no part belongs to the main path."""
    project = book.root / "pyproject.toml"
    if not project.is_file():
        return Budget()
    tools = tomllib.loads(project.read_text(encoding="utf8")).get("tool", {})
    return Budget(**tools.get("equation_checks", {}).get("budget", {}))


def main_path(book: Book) -> list[Path]:
    """The notebooks that the budget is for."""
    parts = book.parts()
    pages = [page for part in budget_of(book).parts for page in parts[part]]
    return [path for page in pages if (path := book.source_of(page)) and path.suffix == ".ipynb"]


def size_of(path: Path, lines: int = Budget.lines) -> Size:
    """Counts over one notebook; a cell of more than ``lines`` lines is long."""
    size = Size()
    in_solution = False
    for cell in read_notebook(path)["cells"]:
        if cell["cell_type"] == "markdown":
            words, in_solution = _words(cell["source"], in_solution)
            size.words += words
            size.displays += len(displays_in(cell["source"]))
            size.questions += sum(
                directive(token) == QUESTION for token in top_level(cell["source"])
            )
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
            length = len(cell["source"].splitlines())
            size.long_cells += length > lines
            size.longest_cell = max(size.longest_cell, length)
    return size


def stated_minutes(path: Path) -> int | None:
    """The minutes that a chapter promises at its head: "About 20 minutes"."""
    found = STATED.search("\n".join(markdown_texts(path)))
    return int(found[1]) if found else None


def over_budget(path: Path, budget: Budget) -> list[str]:
    """What a chapter of the main path has too much of, or too little."""
    size = size_of(path, budget.lines)
    problems = [
        f"{getattr(size, name):,} {what}, and the budget is {getattr(budget, name):,}"
        for name, what in (
            ("words", "words"),
            ("displays", "displays"),
            ("figures", "figures"),
            ("long_cells", f"open cells of more than {budget.lines} lines"),
        )
        if getattr(size, name) > getattr(budget, name)
    ]
    if size.questions != budget.questions:
        problems.append(
            f"{size.questions} questions, and there should be {budget.questions} "
            "(a question that holds code opens with ~~~ in place of ```)"
        )
    stated = stated_minutes(path)
    if stated is None or stated < round(size.minutes):
        problems.append(f"the head says {stated} minutes, and it takes about {size.minutes:.0f}")
    return problems


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


HEAD = ["words", "displays", "figures", "minutes", "stated"]
HEAD += ["long", "longest", "questions", "folded"]


def report(book: Book) -> str:
    """One line per chapter: first the main path, then the others, each with its totals."""
    budget, main = budget_of(book), main_path(book)
    others = [path for path in book.notebooks() if path not in main]
    longest = max((len(path.stem) for path in main + others), default=0)
    words = f"main path, at most {budget.words:,} words each and {budget.all_words:,} together"
    tables = [_table(words, main, budget, longest)] if main else []
    tables.append(_table("deeper chapters" if main else "chapters", others, budget, longest))
    return "\n\n".join(tables)


def _table(title: str, paths: list[Path], budget: Budget, longest: int) -> str:
    sizes = [size_of(path, budget.lines) for path in paths]
    stated = [stated_minutes(path) for path in paths]
    rows = [["", *HEAD]]
    rows += [
        _row(path.stem, size, minutes)
        for path, size, minutes in zip(paths, sizes, stated, strict=True)
    ]
    together = Size(
        *(sum(counts) for counts in zip(*(vars(size).values() for size in sizes), strict=True))
    )
    together.longest_cell = max((size.longest_cell for size in sizes), default=0)
    rows.append(_row("together", together, sum(filter(None, stated))))
    return "\n".join([title, *(_line(row, longest) for row in rows)])


def _row(name: str, size: Size, stated: int | None) -> list[str]:
    counts = size.long_cells, size.longest_cell, size.questions, size.checks
    return [
        name,
        f"{size.words:,}",
        str(size.displays),
        str(size.figures),
        f"{size.minutes:.0f}",
        "-" if stated is None else str(stated),
        *map(str, counts),
    ]


def _line(row: list[str], longest: int) -> str:
    numbers = (cell.rjust(max(len(name), 6)) for name, cell in zip(HEAD, row[1:], strict=True))
    return "  ".join([row[0].ljust(longest), *numbers])


def share_of_approx(notebooks: Iterable[Notebook]) -> float:
    """The share of the numbers in the stored outputs that ``approx`` printed."""
    texts = [output_text(cell) for notebook in notebooks for cell in code_cells(notebook)]
    numbers = sum(len(NUMBER.findall(text)) for text in texts)
    return sum(len(PRINTED.findall(text)) for text in texts) / max(numbers, 1)
