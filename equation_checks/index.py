"""The page that lists every equation and how it was checked, and what is wrong between them."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from equation_checks.book import Book, read_notebook
from equation_checks.checks import digest_of
from equation_checks.displays import Display, displays_in, title_of
from equation_checks.line import CATCHES, EXECUTED, STRENGTHS, TRANSCRIBED, Line, read_lines
from equation_checks.reading import normal_text

PAGE = "equations"
MEANINGS = {
    "executed": "every side of the display is worked out from its own TeX",
    "transcribed": "the display is copied into code by hand, and bound by a digest",
    "proved": "sympy shows it for all values; for a sum over coordinates, for one term of it",
    "special case": "sympy shows it for one case, for example 2 x 2 matrices",
    "enclosed": "interval arithmetic bounds, for certain, by how much the two sides can differ",
    "exact": "two computations without sampling error agree within a tolerance",
    "gradient": "autograd and central differences agree with the displayed gradient",
    "inequality": "strict at the points tried, equal where equality is claimed",
    "Monte Carlo": "within four of the estimate's own standard errors",
    "refuted": "the claim misses the truth by a stated amount",
}
HEAD = """# Equation index

This page is made by `python -m equation_checks index` from the outputs that the notebooks store. `make test` runs
the notebooks again, compares those outputs, and fails if this page differs from what they say.

The book states **{equations} equations** as facts, and **{refuted}** false claims on purpose, which are refuted. Of
these displays **{executed} are executed**: the notebook reads the TeX of the display from the page and works out what
it says, so a misprint makes the check fail unless the changed formula is true as well. {rest}

Each equation is compared with something that is worked out independently, in **{checks} checks** together, and shows
at least one mistake that its check must catch, **{mistakes}** in all: the build stops at one that passes. A check of
numbers says the smallest relative error of its claim at which it fails, and a test demands 1 % or less; a symbolic one
says how many changed terms fail, and all must.

| strength | what it means | checks |
|:--|:--|--:|
{strengths}

Under its label stand the functions of `{package}` that compute an equation, if there are any."""


REST = """The other **{transcribed}
are transcribed**: an author copied the display into code by hand. The digest beside such a check makes it fail
when the display changes. That display and code say the same is a person's word; the digest proves nothing."""


@dataclass
class CheckLine:
    """A line that a check printed, and the position of its cell in the chapter."""

    line: Line
    cell: int


@dataclass
class Chapter:
    """A page of the book as the index sees it."""

    name: str
    title: str = ""
    displays: list[Display] = field(default_factory=list)
    checks: list[CheckLine] = field(default_factory=list)

    def lines_of(self, display: Display, after: int = -1) -> list[Line]:
        return [c.line for c in self.checks if c.line.label == display.label and c.cell > after]


def read_chapter(path: Path) -> Chapter:
    """Displays and stored check lines of one page."""
    if path.suffix == ".md":
        text = path.read_text(encoding="utf8")
        return Chapter(path.stem, title_of(text), displays_in(text))
    chapter = Chapter(path.stem)
    for number, cell in enumerate(read_notebook(path)["cells"]):
        if cell["cell_type"] == "markdown":
            chapter.title = chapter.title or title_of(cell["source"])
            chapter.displays += displays_in(cell["source"], number)
        else:
            for output in cell["outputs"]:
                if output.get("name") == "stdout":
                    chapter.checks += [CheckLine(x, number) for x in read_lines(output["text"])]
    return chapter


def read_chapters(book: Book) -> list[Chapter]:
    """All pages in reading order, without the index itself."""
    paths = [book.source_of(page) for page in book.pages()]
    return [read_chapter(path) for path in paths if path.stem != PAGE]


def docstring_labels(package: Path) -> dict[str, list[str]]:
    """For each label named by ``Book: ...`` in a docstring, the functions that name it."""
    labels: dict[str, list[str]] = {}
    for path in sorted(package.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf8"))
        for node, name in named_nodes(tree, path.stem):
            for found in re.findall(r"Book: ([a-z0-9, -]+)\.", ast.get_docstring(node) or ""):
                for label in found.split(","):
                    labels.setdefault(label.strip(), []).append(name)
    return labels


def named_nodes(tree: ast.AST, prefix: str) -> Iterator[tuple[ast.AST, str]]:
    """Every class and function below ``tree`` with its dotted name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node, f"{prefix}.{node.name}"
            yield from named_nodes(node, f"{prefix}.{node.name}")


def problems(chapters: list[Chapter], docstrings: dict[str, list[str]]) -> list[str]:
    """Everything that is wrong between displays, checks and docstrings."""
    found = []
    counts = Counter(display.label for chapter in chapters for display in chapter.displays)
    found += [f"{label} labels {count} displays" for label, count in counts.items() if count > 1]
    for chapter in chapters:
        for display in chapter.displays:
            found += _problems_of(chapter, display)
        labels = {display.label for display in chapter.displays}
        found += [
            f"{check.line.label} is checked in {chapter.name}, but not displayed there"
            for check in chapter.checks
            if check.line.label not in labels
        ]
    found += [
        f"{', '.join(names)}: the docstring names {label}, which the book does not have"
        for label, names in docstrings.items()
        if label not in counts
    ]
    return found


def _problems_of(chapter: Chapter, display: Display) -> list[str]:
    found, label = [], display.label
    if (":=" in display.tex) != label.startswith("def-"):
        found.append(f"{label}: a definition contains ':=', and nothing else does")
    lines = chapter.lines_of(display, after=display.cell)
    strengths = {line.strength for line in lines}
    passed = strengths - {CATCHES, TRANSCRIBED}
    if label.startswith("eq-") and not passed - {"refuted"}:
        found.append(f"{label} stands in {chapter.name} without a check after it")
    if label.startswith("eq-") and CATCHES not in strengths:
        found.append(f"{label}: no wrong version is shown that its check catches")
    if label.startswith("wrong-") and passed != {"refuted"}:
        found.append(f"{label} stands in {chapter.name} and is not refuted there")
    found += [f"{label}: {line.weakness()} ({line.strength})" for line in lines if line.weakness()]
    if label.startswith(("eq-", "wrong-")):
        found += _print_problems(display, lines)
    return found


def _print_problems(display: Display, lines: list[Line]) -> list[str]:
    """What is wrong between a display and how it is bound to its checks."""
    forms = {line.form for line in lines if line.form}
    digests = {line.over for line in lines if line.strength == TRANSCRIBED}
    if bool(forms) == bool(digests):
        return [f"{display.label} must be either executed from its TeX or transcribed"]
    if forms and forms != {normal_text(display.tex)}:
        return [f"{display.label}: the check has read another display, {forms}: run the notebook"]
    if digests and digests != {digest_of(display.tex)}:
        return [f"{display.label} has changed since it was accepted: run the notebook"]
    return []


def render(chapters: list[Chapter], docstrings: dict[str, list[str]], package: str) -> str:
    """The page of the index as MyST Markdown."""
    lines = [check.line for chapter in chapters for check in chapter.checks]
    labels = [display.label for chapter in chapters for display in chapter.displays]
    strengths = Counter(line.strength for line in lines)
    executed = {line.label for line in lines if line.form}
    transcribed = strengths[TRANSCRIBED]
    out = [
        HEAD.format(
            equations=sum(label.startswith("eq-") for label in labels),
            checks=sum(strengths[s] for s in STRENGTHS if s not in ("refuted", TRANSCRIBED)),
            executed=len(executed),
            rest=REST.format(transcribed=transcribed) if transcribed else "None is copied by hand.",
            mistakes=strengths[CATCHES],
            refuted=sum(label.startswith("wrong-") for label in labels),
            package=package,
            strengths="\n".join(
                f"| {s} | {MEANINGS[s]} | {strengths[s]} |" for s in STRENGTHS if strengths[s]
            ),
        )
    ]
    for chapter in chapters:
        if any(display.label.startswith("eq-") for display in chapter.displays):
            out += ["", f"## {chapter.title}", "", "| equation | how it was checked |", "|:--|:--|"]
            out += [
                _row(chapter, display, docstrings, executed)
                for display in chapter.displays
                if display.label.startswith(("eq-", "wrong-"))
            ]
    return "\n".join(out) + "\n"


def _row(
    chapter: Chapter, display: Display, docstrings: dict[str, list[str]], executed: set[str]
) -> str:
    """A line of the table: number, label, how it was printed, functions; and its checks."""
    printed = EXECUTED if display.label in executed else TRANSCRIBED
    functions = [f"`{name}`" for name in docstrings.get(display.label, [])]
    left = [f"{{eq}}`{display.label}` {printed}", f"`{display.label}`", *functions]
    right = [
        f"**{line.strength}**: {line.compared}; {line.over}"
        for line in chapter.lines_of(display)
        if line.strength not in (CATCHES, TRANSCRIBED)
    ]
    return f"| {'<br>'.join(left)} | {'<br>'.join(right)} |"


def index_of(book: Book, package: Path) -> str:
    """The text of the page for this book and the package whose docstrings name its labels."""
    return render(read_chapters(book), docstring_labels(package), package.name)
