"""Worksheets: notebooks in which readers write the answers before they see them.

What a reader is to write has three code cells. The first, with the tag ``todo``, is open and leaves
something out: ``yours = None`` or ``raise NotImplementedError``. The second, with the tag
``solution``, defines the same names in full. The third judges whatever the names stand for now.
A chapter holds all three; its worksheet lacks the solutions, in words and in code, the proof layer
and all outputs, and is in plain Markdown. This module is also a Sphinx extension, which offers the
worksheets on their pages.
"""

import copy
from pathlib import Path

import nbformat
from docutils import nodes
from nbformat import NotebookNode
from sphinx.application import Sphinx

from equation_checks.book import SOLUTION, TODO, Book, is_check
from equation_checks.displays import directive, top_level
from equation_checks.plain import plain, titles_in

FOLDER = "worksheets"


def tagged(cell: NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def worksheet_of(notebook: NotebookNode) -> NotebookNode | None:
    """The worksheet of a notebook, or None if it leaves nothing to its readers."""
    if not any(tagged(cell, TODO) for cell in notebook.cells):
        return None
    sheet = copy.deepcopy(notebook)
    cells, sheet.cells, in_solution = sheet.cells, [], False
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source, in_solution = _open_text(cell.source, in_solution)
            if not cell.source:
                continue
        elif tagged(cell, SOLUTION) or is_check(cell):
            continue
        else:
            cell.outputs, cell.execution_count = [], None
        sheet.cells.append(cell)
    return sheet


def _open_text(markdown: str, in_solution: bool) -> tuple[str, bool]:
    """The text without its solutions, and whether it ends inside of one."""
    lines = markdown.splitlines()
    kept, start = [], 0
    for token in top_level(markdown):
        name = directive(token)
        if name == "solution-start":
            kept += lines[start : token.map[0]]
            in_solution = True
        elif name == "solution-end":
            start, in_solution = token.map[1], False
    if not in_solution:
        kept += lines[start:]
    return "\n".join(kept).strip(), in_solution


def write_worksheets(paths: list[Path], folder: Path) -> list[Path]:
    """Write the worksheets of those notebooks that have one, under their names; return the files."""
    written, titles = [], titles_in(paths)
    for path in paths:
        if sheet := worksheet_of(nbformat.read(path, as_version=4)):
            for cell in sheet.cells:
                if cell.cell_type == "markdown":
                    cell.source = plain(cell.source, titles)
            folder.mkdir(parents=True, exist_ok=True)
            nbformat.write(sheet, folder / path.name)
            written.append(folder / path.name)
    return written


def worksheets(book: Book) -> int:
    """The command: write the worksheets of a book into its build folder."""
    for file in write_worksheets(book.notebooks(), book.root / "_build" / FOLDER):
        print(file.relative_to(book.root))
    return 0


# The Sphinx extension ---------------------------------------------------------------------------


def offer_worksheet(app: Sphinx, doctree: nodes.document) -> None:
    """Put a link to the worksheet where the section begins in which the reader first writes."""
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    cells = (n for n in doctree.findall(nodes.container) if f"tag_{TODO}" in n["classes"])
    first = next(cells, None)
    if first is None:
        return
    section = first.parent
    while not isinstance(section, nodes.section):
        section = section.parent
    up = "../" * app.env.docname.count("/")
    link = (
        f'<p class="worksheet"><a href="{up}{FOLDER}/{path.name}" '
        f'download="{path.stem}_worksheet.ipynb">Download the worksheet</a>: this chapter as a '
        "notebook without the solutions. It checks what you write.</p>"
    )
    section.insert(1, nodes.raw("", link, format="html"))


def write_beside_the_pages(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        paths = [Path(app.env.doc2path(page)) for page in sorted(app.env.found_docs)]
        notebooks = [path for path in paths if path.suffix == ".ipynb"]
        write_worksheets(notebooks, Path(app.outdir) / FOLDER)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", offer_worksheet)
    app.connect("build-finished", write_beside_the_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
