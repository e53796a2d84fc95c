"""What the book consists of: its pages, its notebooks, and which cells nbval compares."""

import json
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
HTML = ROOT / "_build" / "html"

IGNORE_TAGS = {"nbval-ignore-output", "nbval-skip", "nbval-raises-exception", "raises-exception"}
IGNORE_COMMENTS = {
    "NBVAL_IGNORE_OUTPUT",
    "NBVAL_SKIP",
    "NBVAL_RAISES_EXCEPTION",
    "PYTEST_VALIDATE_IGNORE_OUTPUT",
}
TEXT_TYPES = ("text/plain", "text/html", "text/latex")


def toc_pages(toc=None):
    """The pages of _toc.yml in reading order, without suffix: `book/intro`, ..."""
    if toc is None:
        toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    pages = [toc[key] for key in ("root", "file") if key in toc]
    for key in ("parts", "chapters", "sections"):
        for entry in toc.get(key, []):
            pages += toc_pages(entry)
    return pages


def source_of(page):
    """The file behind a page of the table of contents, or None."""
    for suffix in (".ipynb", ".md"):
        if (ROOT / (page + suffix)).is_file():
            return ROOT / (page + suffix)
    return None


def notebooks():
    """The book's notebooks, in reading order; those missing from _toc.yml last."""
    order = {page: i for i, page in enumerate(toc_pages())}
    return sorted(BOOK.glob("*.ipynb"), key=lambda p: (order.get(f"book/{p.stem}", 1e9), p.name))


def read_notebook(path):
    """The notebook as plain JSON, with every source and text joined into one string."""
    notebook = json.loads(Path(path).read_text(encoding="utf8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = "".join(output["text"])
            for kind, value in output.get("data", {}).items():
                if isinstance(value, list):
                    output["data"][kind] = "".join(value)
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def output_text(cell):
    """Everything that a code cell printed or displayed as text, stderr included."""
    parts = []
    for output in cell["outputs"]:
        if "text" in output:
            parts.append(output["text"])
        parts += [output["data"][kind] for kind in TEXT_TYPES if kind in output.get("data", {})]
    return "\n".join(parts)


def ignored_by_nbval(cell):
    """Whether a tag or a comment keeps nbval from running the cell or comparing its output."""
    comments = {
        line.strip().lstrip("#").strip()
        for line in cell["source"].splitlines()
        if line.strip().startswith("#")
    }
    return bool(IGNORE_TAGS & set(cell["metadata"].get("tags", [])) or IGNORE_COMMENTS & comments)


def comparison_counts(books):
    """(code cells, cells whose text nbval compares, cells it ignores) over some notebooks."""
    cells = [cell for notebook in books for cell in code_cells(notebook)]
    ignored = [cell for cell in cells if ignored_by_nbval(cell)]
    compared = [cell for cell in cells if output_text(cell) and not ignored_by_nbval(cell)]
    return len(cells), len(compared), len(ignored)
