"""Which equation is checked where, and how: writes book/equations.md from the stored
outputs of the notebooks.

    python tools/equation_index.py

The tests use the functions of this file: they fail on an equation without a check, on a
check without an equation, and on a display whose TeX says something else than the
expression that was checked.
"""

import ast
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import sympy
from book_files import BOOK, ROOT, read_notebook, source_of, toc_pages
from sympy.parsing.latex import LaTeXParsingError, parse_latex

from vae_teach.checks import PARSED_FORM, SEPARATOR, STRENGTHS

DISPLAY = re.compile(
    r"\$\$(?P<tex>.+?)\$\$[ \t]*\((?P<label>(?:eq|def|wrong)-[a-z0-9-]+)\)", re.DOTALL
)
CODE_FENCE = re.compile(r"^(`{3,})(?:python|bash|text)?\n.*?^\1$", re.DOTALL | re.MULTILINE)
TEX_SUM = re.compile(r"\\sum_\{(\w+)=(\w+)\}\^\{(\w+)\}(.+)", re.DOTALL)
FORM_SUM = re.compile(r"sum over (\w+)=(\w+)\.\.(\w+) of (.+)")


MEANINGS = {
    "proved": "sympy shows it for all values; for a sum over coordinates, for one term of it",
    "special case": "sympy shows it for one case, for example 2 x 2 matrices",
    "exact": "two computations without sampling error agree within a tolerance",
    "gradient": "autograd and central differences agree with the displayed slope",
    "inequality": "strict at the points tried, equal where equality is claimed",
    "Monte Carlo": "within four of the estimate's own standard errors",
    "refuted": "the claim misses the truth by more than a stated amount",
}
HEAD = """# Equation index

This page is made by `tools/equation_index.py` from the outputs that the notebooks store. `make test` runs
the notebooks again, compares those outputs, and fails if this page differs from what they say.

The book states **{equations} equations** as facts. Each is checked where it stands, by **{checks} checks**
in all. They were shown **{mistakes} mistakes** and caught every one. Another **{refuted}** displays print a
false claim on purpose, and are refuted.

| strength | what it means | checks |
|:--|:--|--:|
{strengths}

*Parsed* means that a test reads the TeX of the display's right-hand side and compares it with the
expression that was checked: a changed sign, factor or limit of a sum in the printed formula fails a test.
This holds for {parsed} equations. *Transcribed* means that an author copied the display into code by hand.
Under its label stand the functions of `vae_teach` that compute it, if there are any."""


@dataclass
class Display:
    """One displayed equation: its label, its TeX, and the position of its cell in the
    chapter.
    """

    label: str
    tex: str
    cell: int = 0


@dataclass
class CheckLine:
    """One line that a check printed and the notebook stores, with the displayed form if
    it was printed.
    """

    label: str
    strength: str
    compared: str
    over: str
    cell: int = 0
    form: str | None = None


@dataclass
class Chapter:
    """A page of the book as the index sees it."""

    name: str
    title: str = ""
    displays: list[Display] = field(default_factory=list)
    checks: list[CheckLine] = field(default_factory=list)


def displays_in(markdown: str, cell: int = 0) -> list[Display]:
    """The labelled displays of a Markdown text, code fences left out."""
    text = CODE_FENCE.sub("", markdown)
    return [Display(found["label"], found["tex"].strip(), cell) for found in DISPLAY.finditer(text)]


def checks_in(output: str, cell: int = 0) -> list[CheckLine]:
    """The check lines in what one cell printed."""
    found: list[CheckLine] = []
    for line in output.splitlines():
        parts = line.split(SEPARATOR)
        if len(parts) == 4 and parts[1] in (*STRENGTHS, "catches"):
            found.append(CheckLine(*parts, cell))
        elif line.startswith(PARSED_FORM) and found:
            found[-1].form = line.removeprefix(PARSED_FORM)
    return found


def read_chapter(page: str) -> Chapter:
    """Displays and stored check lines of one page of the table of contents."""
    path = source_of(page)
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
                    chapter.checks += checks_in(output["text"], number)
    return chapter


def title_of(markdown: str) -> str:
    found = re.search(r"^# (.+)$", markdown, re.MULTILINE)
    return found[1].strip() if found else ""


def read_book() -> list[Chapter]:
    """All pages in reading order, without the index itself."""
    return [read_chapter(page) for page in toc_pages() if page != "book/equations"]


def docstring_labels(package: Path = ROOT / "vae_teach") -> dict[str, list[str]]:
    """For each label named by ``Book: ...`` in a docstring, the functions that name it."""
    labels: dict[str, list[str]] = {}
    for path in sorted(package.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf8"))
        for node, name in named_nodes(tree, path.stem):
            for found in re.findall(r"Book: ([a-z0-9, -]+)\.", ast.get_docstring(node) or ""):
                for label in found.split(","):
                    labels.setdefault(label.strip(), []).append(name)
    return labels


def named_nodes(tree: ast.AST, prefix: str):
    """Every class and function below ``tree`` with its dotted name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node, f"{prefix}.{node.name}"
            yield from named_nodes(node, f"{prefix}.{node.name}")


def problems(book: list[Chapter], docstrings: dict[str, list[str]]) -> list[str]:
    """Everything that is wrong between displays, checks and docstrings; empty when all
    is well.
    """
    found = []
    counts = Counter(display.label for chapter in book for display in chapter.displays)
    found += [f"{label} labels {count} displays" for label, count in counts.items() if count > 1]
    for chapter in book:
        for display in chapter.displays:
            if (":=" in display.tex) != display.label.startswith("def-"):
                found.append(f"{display.label}: a definition contains ':=', and nothing else does")
            after = {
                line.strength
                for line in chapter.checks
                if line.label == display.label and line.cell > display.cell
            }
            passed = after - {"catches"}
            if display.label.startswith("eq-") and not passed - {"refuted"}:
                found.append(f"{display.label} stands in {chapter.name} without a check after it")
            if display.label.startswith("eq-") and "catches" not in after:
                found.append(f"{display.label}: no wrong version is shown that its check catches")
            if display.label.startswith("wrong-") and passed != {"refuted"}:
                found.append(f"{display.label} stands in {chapter.name} and is not refuted there")
        labels = {display.label for display in chapter.displays}
        found += [
            f"{line.label} is checked in {chapter.name}, but not displayed there"
            for line in chapter.checks
            if line.label not in labels
        ]
        found += [
            problem
            for line in chapter.checks
            if line.form
            for problem in form_problems(chapter, line)
        ]
    found += [
        f"{', '.join(names)}: the docstring names {label}, which the book does not have"
        for label, names in docstrings.items()
        if label not in counts
    ]
    return found


def form_problems(chapter: Chapter, line: CheckLine) -> list[str]:
    """The display that ``line`` belongs to does not say what was checked, if so."""
    tex = next((display.tex for display in chapter.displays if display.label == line.label), None)
    if tex is None or says(tex, line.form):
        return []
    return [f"{line.label}: the display does not say {line.form}"]


def says(tex: str, form: str) -> bool:
    """Whether the right-hand side of a display says what a check printed.

    A sum must have the same index and limits on both sides, with nothing in front of
    it. Its term, or the whole of the side, is compared as a number at random positive
    values of the symbols.
    """
    displayed = right_hand_side(tex)
    in_tex, in_form = TEX_SUM.fullmatch(displayed), FORM_SUM.fullmatch(form)
    if in_form:
        if not in_tex or in_tex.groups()[:3] != in_form.groups()[:3]:
            return False
        displayed, form = in_tex[4], in_form[4]
    if "\\sum" in displayed:
        return False
    try:
        left = by_name(parse_latex(displayed))
    except LaTeXParsingError:
        return False
    names = set(re.findall(r"[A-Za-z]\w*", form)) - {"log", "exp", "sqrt", "pi"}
    right = sympy.sympify(form, locals={name: sympy.Symbol(name) for name in names})
    if left.free_symbols != right.free_symbols:
        return False
    draw = random.Random(0)
    for _ in range(5):
        point = {symbol: draw.uniform(0.3, 3) for symbol in sorted(right.free_symbols, key=str)}
        if abs(complex(left.subs(point) - right.subs(point))) > 1e-9:
            return False
    return True


def right_hand_side(tex: str) -> str:
    """What stands after the last ``=`` outside braces and before a side condition; on
    one line, without a closing comma or full stop.
    """
    tex = re.sub(r"\\\\|&|\\(?:begin|end)\{aligned\}", " ", tex).split(r", \qquad")[0]
    tex = tex.replace(r"\qquad", " ")
    depth, start = 0, 0
    for position, character in enumerate(tex):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "=" and depth == 0:
            start = position + 1
    return tex[start:].strip().rstrip(".,")


def by_name(expression: sympy.Expr) -> sympy.Expr:
    """The expression with plain symbols named alike on both sides, and e and pi
    taken as the numbers.
    """
    names = {
        symbol: sympy.Symbol(str(symbol).replace("{", "").replace("}", "").replace(" ", ""))
        for symbol in expression.free_symbols
    }
    return expression.subs(names).subs({sympy.Symbol("e"): sympy.E, sympy.Symbol("pi"): sympy.pi})


def render(book: list[Chapter], docstrings: dict[str, list[str]]) -> str:
    """The page of the index as MyST Markdown."""
    with_equations = [
        chapter for chapter in book if any(d.label.startswith("eq-") for d in chapter.displays)
    ]
    lines = [line for chapter in book for line in chapter.checks]
    equations = [d for chapter in book for d in chapter.displays if d.label.startswith("eq-")]
    strengths = Counter(line.strength for line in lines)
    forms = {line.label for line in lines if line.form}
    out = [
        HEAD.format(
            equations=len(equations),
            checks=sum(strengths[s] for s in STRENGTHS if s != "refuted"),
            mistakes=strengths["catches"],
            refuted=sum(d.label.startswith("wrong-") for chapter in book for d in chapter.displays),
            parsed=len(forms),
            strengths="\n".join(f"| {s} | {MEANINGS[s]} | {strengths[s]} |" for s in STRENGTHS),
        )
    ]
    for chapter in with_equations:
        out += ["", f"## {chapter.title}", "", "| equation | how it was checked |", "|:--|:--|"]
        for display in chapter.displays:
            if display.label.startswith(("eq-", "wrong-")):
                out.append(row(chapter, display, docstrings, forms))
    return "\n".join(out) + "\n"


def row(
    chapter: Chapter, display: Display, docstrings: dict[str, list[str]], forms: set[str]
) -> str:
    """One line of the index's table: number, label, how it was printed, functions;
    checks.
    """
    lines = [
        line
        for line in chapter.checks
        if line.label == display.label and line.strength != "catches"
    ]
    printed = "parsed" if display.label in forms else "transcribed"
    functions = [f"`{name}`" for name in docstrings.get(display.label, [])]
    left = [f"{{eq}}`{display.label}` {printed}", f"`{display.label}`", *functions]
    right = [f"**{line.strength}**: {line.compared}; {line.over}" for line in lines]
    return f"| {'<br>'.join(left)} | {'<br>'.join(right)} |"


if __name__ == "__main__":
    (BOOK / "equations.md").write_text(render(read_book(), docstring_labels()), encoding="utf8")
