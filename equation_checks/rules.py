"""Hygiene of a book's sources: what nbval and Sphinx let pass in silence.

A rule takes a notebook, or the list of a document's Markdown texts, and returns the problems it
sees as sentences.
"""

import ast
import re
from collections.abc import Iterable

from equation_checks.book import (
    CHECK,
    IGNORE_TAGS,
    SOLUTION,
    TODO,
    Notebook,
    code_cells,
    comparison_counts,
    output_text,
)
from equation_checks.displays import LABEL, directive, tokens, top_level
from equation_checks.execute import KEPT_CELL_METADATA, NOTEBOOK_METADATA
from equation_checks.proofs import Misplaced, proofs

ALLOWED_TAGS = {
    CHECK,
    "hide-cell",
    "hide-input",
    "hide-output",
    "remove-cell",
    "remove-input",
    "remove-output",
    "full-width",
    "output_scroll",
    TODO,
    SOLUTION,
    *IGNORE_TAGS,
}
MAX_IGNORED = 0.03
MAX_DIGITS = 6

# A path of somebody's machine; the look-behind spares web addresses and relative paths.
MACHINE_PATH = re.compile(
    r"(?<![\w./])/(?:home|root|tmp|work|opt|mnt|srv|Users|private)/[^\s'\"]*|\b[A-Z]:\\Users\\"
)

Problems = list[str]


# Rules for a notebook --------------------------------------------------------------------------


def counts_run_from_one(notebook: Notebook) -> Problems:
    counts = [cell["execution_count"] for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        return [f"execution counts are {counts}: run the notebook from its start (make notebooks)"]
    return []


def no_error_or_stderr(notebook: Notebook) -> Problems:
    problems = []
    for number, cell in enumerate(code_cells(notebook), 1):
        for output in cell["outputs"]:
            if output["output_type"] == "error" or output.get("name") == "stderr":
                problems.append(f"code cell {number} stores an error or stderr")
    return problems


def no_trailing_semicolon(notebook: Notebook) -> Problems:
    return [
        f"code cell {number} ends in ';', which nbval does not understand: write _ = ..."
        for number, cell in enumerate(code_cells(notebook), 1)
        if cell["source"].rstrip().endswith(";")
    ]


def no_svg(notebook: Notebook) -> Problems:
    return [
        f"code cell {number} stores an SVG, whose bytes change from run to run: use PNG"
        for number, cell in enumerate(code_cells(notebook), 1)
        for output in cell["outputs"]
        if "image/svg+xml" in output.get("data", {}) or "<svg" in _text_of(output)
    ]


def only_allowed_metadata(notebook: Notebook) -> Problems:
    problems = []
    if notebook["metadata"] != NOTEBOOK_METADATA:
        problems.append(f"notebook metadata is {notebook['metadata']} (make notebooks mends it)")
    for number, cell in enumerate(notebook["cells"], 1):
        if extra := set(cell["metadata"]) - set(KEPT_CELL_METADATA):
            problems.append(f"cell {number} has metadata {sorted(extra)} (make notebooks mends it)")
        if unknown := set(cell["metadata"].get("tags", [])) - ALLOWED_TAGS:
            problems.append(f"cell {number} has unknown tags {sorted(unknown)}")
        for output in cell.get("outputs", []):
            if output.get("metadata"):
                problems.append(f"cell {number} has output metadata {output['metadata']}")
    return problems


def no_machine_paths(notebook: Notebook) -> Problems:
    return [
        f"cell {number} names a path of one machine: {found.group()}"
        for number, cell in enumerate(notebook["cells"], 1)
        for text in [cell["source"], *map(_text_of, cell.get("outputs", []))]
        for found in MACHINE_PATH.finditer(text)
    ]


def images_have_alt_text(notebook: Notebook) -> Problems:
    problems = []
    for number, cell in enumerate(code_cells(notebook), 1):
        kinds = [kind for output in cell["outputs"] for kind in output.get("data", {})]
        alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
        if any(kind.startswith("image/") for kind in kinds) and not alt.strip():
            problems.append(f"code cell {number} shows an image without mystnb.image.alt")
    return problems


def floats_are_rounded(notebook: Notebook) -> Problems:
    return [
        f"code cell {number} prints {found}; its last digits differ between machines"
        for number, cell in enumerate(code_cells(notebook), 1)
        for found in re.findall(r"\d+\.\d+(?:e[-+]?\d+)?", output_text(cell))
        if _decimals(found) > MAX_DIGITS
    ]


def _decimals(number: str) -> int:
    """Digits after the point that carry information: 0.00012 has two, 12.345 has three."""
    whole, fraction = number.split("e")[0].split(".")
    return len(fraction) if int(whole) else len(fraction.lstrip("0"))


def no_addresses(notebook: Notebook) -> Problems:
    return [
        f"code cell {number} prints the address of an object: {found}"
        for number, cell in enumerate(code_cells(notebook), 1)
        for found in re.findall(r".{0,20}\b0x[0-9a-fA-F]{6,}", output_text(cell))
    ]


def numbers_not_verdicts(notebook: Notebook) -> Problems:
    return [
        f"code cell {number} prints a verdict, where a reader wants the number: {line.strip()}"
        for number, cell in enumerate(code_cells(notebook), 1)
        for line in output_text(cell).splitlines()
        if re.search(r"\b(True|False)\b", line)
    ]


def approx_comes_from_the_helper(notebook: Notebook) -> Problems:
    return [
        f"code cell {number} writes '≈' by hand: print approx(value, expected, within=...)"
        for number, cell in enumerate(code_cells(notebook), 1)
        for node in ast.walk(ast.parse(cell["source"]))
        if isinstance(node, ast.Constant) and "≈" in str(node.value)
    ]


def checks_lie_in_folds(notebook: Notebook) -> Problems:
    try:
        proofs(notebook)
    except Misplaced as problem:
        return [str(problem)]
    return []


def few_cells_ignored(notebooks: Iterable[Notebook]) -> Problems:
    cells, _, ignored = comparison_counts(notebooks)
    if ignored > MAX_IGNORED * cells:
        return [f"nbval ignores {ignored} of {cells} code cells; at most 3 % may be"]
    return []


def _text_of(output: dict) -> str:
    texts = [output.get("text", ""), *map(str, output.get("traceback", []))]
    texts += [v for k, v in output.get("data", {}).items() if not k.startswith("image/png")]
    return "\n".join(map(str, texts))


# Rules for Markdown, given as the list of a document's texts (cells, or one page) ---------------


def fences_are_closed(texts: list[str]) -> Problems:
    return [problem for text in texts for problem in _unclosed(text)]


def _unclosed(text: str) -> Problems:
    problems = []
    lines = text.splitlines()
    for token in top_level(text):
        if not token.type.endswith("fence"):
            continue
        last = lines[token.map[1] - 1].lstrip("> ").strip()
        if token.map[1] - token.map[0] < 2 or not last or last.strip(token.markup[0]):
            problems.append(f"fence is never closed: {lines[token.map[0]].strip()}")
        elif directive(token):
            problems += _unclosed(token.content)
    return problems


def displays_are_labelled(texts: list[str]) -> Problems:
    problems = []
    for text in texts:
        for token in tokens(text):
            shown = token.content.strip()[:60]
            if token.type == "math_block_label" and not LABEL.fullmatch(token.info):
                problems.append(f"display has a label ({token.info}), but not eq-, def- or wrong-")
            if token.type in ("math_block", "math_inline_double"):
                problems.append(f"display has no label (eq-|def-|wrong-...): {shown!r}")
            if token.type == "amsmath" or directive(token) == "math":
                problems.append(f"write the display as $$ ... $$ (label): {shown!r}")
            if token.type == "text" and "$$" in token.content:
                problems.append(f"an odd number of $$ in: {shown!r}")
    return problems


def pages_state_no_equations(texts: list[str]) -> Problems:
    return [
        f"a page in .md states ({token.info}); it belongs into the notebook that checks it"
        for text in texts
        for token in tokens(text)
        if token.type == "math_block_label" and token.info.startswith("eq-")
    ]


def footnotes_are_defined(texts: list[str]) -> Problems:
    text = "\n\n".join(texts)
    content = "\n".join(token.content for token in tokens(text) if token.type == "text")
    defined = set(re.findall(r"^\[\^([^\]]+)\]:", text, re.MULTILINE))
    used = {t.meta["label"] for t in tokens(text) if t.type == "footnote_ref"}
    unknown = set(re.findall(r"\[\^([^\]]+)\]", content)) - defined
    return [f"footnote [^{name}] is not defined" for name in sorted(unknown)] + [
        f"footnote [^{name}] is never used" for name in sorted(defined - used)
    ]


def images_are_local(texts: list[str]) -> Problems:
    remote = re.compile(r"^\s*(?:https?:)?//")
    problems = []
    for text in texts:
        for token in tokens(text):
            sources = []
            if token.type == "image":
                sources = [token.attrGet("src")]
            elif token.type in ("html_block", "html_inline"):
                sources = re.findall(r"<img[^>]*src\s*=\s*[\"']?([^\"'\s>]+)", token.content)
            elif directive(token) in ("image", "figure"):
                sources = [token.info.split("}", 1)[1]]
            problems += [
                f"image comes from the network: {s.strip()}" for s in sources if remote.match(s)
            ]
    return problems


def toc_is_complete(pages: set[str], files: set[str]) -> Problems:
    return [f"_toc.yml names {page}, which does not exist" for page in sorted(pages - files)] + [
        f"{file} stands in the book's folder but not in _toc.yml" for file in sorted(files - pages)
    ]


NOTEBOOK_RULES = [
    counts_run_from_one,
    no_error_or_stderr,
    no_trailing_semicolon,
    no_svg,
    only_allowed_metadata,
    no_machine_paths,
    images_have_alt_text,
    floats_are_rounded,
    no_addresses,
    numbers_not_verdicts,
    approx_comes_from_the_helper,
    checks_lie_in_folds,
]
MARKDOWN_RULES = [
    fences_are_closed,
    displays_are_labelled,
    footnotes_are_defined,
    images_are_local,
]
