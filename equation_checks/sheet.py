"""The formula sheet: chosen formulas with their number, their check and their code, to be printed."""

import ast
import tomllib
from dataclasses import replace
from pathlib import Path

from equation_checks.book import Book, read_notebook
from equation_checks.displays import Display
from equation_checks.folds import summary
from equation_checks.index import Chapter, docstring_labels, named_nodes, read_chapters
from equation_checks.proofs import proofs

PAGE = "formulas"
MAX_LINES = 5  # of code; a longer function is named, not shown
HEAD = """# Formula sheet

<button type="button" class="print-sheet" onclick="print()">Print this sheet</button>

The formulas that one looks up, in the chapters' own TeX; {{doc}}`notation` has the letters. A number leads to the
place, a tick to the check, whose words are in {{doc}}`verify`, and the code is that of `{package}`, without docstrings
and complaints about input. Where it is too long for a sheet, only its name stands here."""
FORMULA = """:::{{container}} formula
**{name}** {{eq}}`{label}` {mark}

$\\displaystyle {tex}$
{code}:::"""
CODE = """
```python
{lines}
```
"""


def functions_of(package: Path) -> dict[str, list[str]]:
    """For each function of the package its name and the lines of its body, as they are written.

    Docstrings are left out, and statements that only raise an error. If too many lines remain, the
    name stands alone.
    """
    functions = {}
    for path in sorted(package.glob("*.py")):
        source = path.read_text(encoding="utf8")
        for node, name in named_nodes(ast.parse(source), path.stem):
            if isinstance(node, ast.FunctionDef):
                arguments = ", ".join(a.arg for a in node.args.args if a.arg != "self")
                body = [
                    s for s in node.body[ast.get_docstring(node) is not None :] if not _guard(s)
                ]
                lines = [line for s in body for line in _lines_of(source, s)]
                short = [f"# {name}({arguments})", *lines]
                functions[name] = short if len(lines) <= MAX_LINES else [f"# {name}"]
    return functions


def _guard(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and isinstance(statement.body[0], ast.Raise)


def _lines_of(source: str, statement: ast.stmt) -> list[str]:
    """Its lines, the first one at the margin and the others as far from it as they were."""
    first, *others = (ast.get_source_segment(source, statement) or "").splitlines()
    return [first, *(line[statement.col_offset :] for line in others)]


def render(
    chapters: list[Chapter],
    marks: dict[str, str],
    chosen: dict[str, str | list[str]],
    package: Path,
) -> str:
    """The page as MyST Markdown: the chosen displays, in the order of the book."""
    labels, functions = docstring_labels(package), functions_of(package)
    if unknown := set(chosen) - {d.label for chapter in chapters for d in chapter.displays}:
        raise LookupError(f"{PAGE}.toml names {sorted(unknown)}, which no chapter displays.")
    out = [HEAD.format(package=package.name)]
    for chapter in chapters:
        displays = [display for display in chapter.displays if display.label in chosen]
        if displays:
            out.append(f"## {chapter.title}")
        for display in displays:
            entry = chosen[display.label]
            name, *given = [entry] if isinstance(entry, str) else entry
            named = given or labels.get(display.label, [])
            code = CODE.format(lines="\n".join(functions[named[0]])) if named else ""
            out.append(
                FORMULA.format(
                    name=name[0].upper() + name[1:],
                    label=display.label,
                    mark=_mark(chapter, display, marks),
                    tex=" ".join(display.tex.split()),
                    code=code,
                )
            )
    return "\n\n".join(out) + "\n"


def _mark(chapter: Chapter, display: Display, marks: dict[str, str]) -> str:
    """What the fold under the display says, as a link that opens it."""
    if display.label not in marks:
        return "definition"
    tick, strengths = marks[display.label].split(" ", 1)
    address = f"{chapter.name}.html#proof-{display.label}"
    return f'<a href="{address}" title="How it was checked">{tick} {strengths}</a>'


def sheet_of(book: Book, package: Path) -> str:
    """The text of the page for this book, its list of formulas and its package."""
    chosen = tomllib.loads((book.folder / f"{PAGE}.toml").read_text(encoding="utf8"))
    marks = {
        proof.label: summary(replace(proof, mistakes=0), "")
        for path in book.notebooks()
        for proof in proofs(read_notebook(path))
    }
    return render(read_chapters(book), marks, chosen, package)
