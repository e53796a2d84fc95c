"""What a Jupyter Book consists of: its pages, its notebooks, their cells and outputs."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Notebook = dict[str, Any]
Cell = dict[str, Any]

# The tag of a cell of the proof layer.
CHECK = "check"
# The tags of what a reader is to write, and of what stands there when it is written.
TODO, SOLUTION = "todo", "solution"
IGNORE_TAGS = {"nbval-ignore-output", "nbval-skip", "nbval-raises-exception", "raises-exception"}
IGNORE_COMMENTS = {
    "NBVAL_IGNORE_OUTPUT",
    "NBVAL_SKIP",
    "NBVAL_RAISES_EXCEPTION",
    "PYTEST_VALIDATE_IGNORE_OUTPUT",
}
TEXT_TYPES = ("text/plain", "text/html", "text/latex")


@dataclass(frozen=True)
class Book:
    """The book whose ``_toc.yml`` stands in ``root``."""

    root: Path

    def pages(self) -> list[str]:
        """The pages of ``_toc.yml`` in reading order, without suffix: ``book/intro``, ..."""
        return _pages(yaml.safe_load((self.root / "_toc.yml").read_text(encoding="utf8")))

    def parts(self) -> dict[str, list[str]]:
        """The pages of each part of ``_toc.yml``, by the part's caption."""
        toc = yaml.safe_load((self.root / "_toc.yml").read_text(encoding="utf8"))
        return {part["caption"]: _pages(part) for part in toc.get("parts", [])}

    def source_of(self, page: str) -> Path | None:
        """The file behind a page of the table of contents."""
        files = (self.root / (page + suffix) for suffix in (".ipynb", ".md"))
        return next((file for file in files if file.is_file()), None)

    @property
    def folder(self) -> Path:
        """Where the pages stand: the folder of the first one."""
        return self.root / Path(self.pages()[0]).parent

    def notebooks(self) -> list[Path]:
        """The notebooks in reading order; those missing from ``_toc.yml`` last."""
        order = {page: i for i, page in enumerate(self.pages())}

        def place(path: Path) -> tuple[float, str]:
            page = path.relative_to(self.root).with_suffix("").as_posix()
            return order.get(page, float("inf")), path.name

        return sorted(self.folder.glob("*.ipynb"), key=place)

    def markdown_pages(self) -> list[Path]:
        return sorted(self.folder.glob("*.md"))

    @property
    def html(self) -> Path:
        return self.root / "_build" / "html"


def _pages(toc: dict) -> list[str]:
    pages = [toc[key] for key in ("root", "file") if key in toc]
    for key in ("parts", "chapters", "sections"):
        for entry in toc.get(key, []):
            pages += _pages(entry)
    return pages


def read_notebook(path: Path) -> Notebook:
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


def markdown_texts(path: Path) -> list[str]:
    """The Markdown of a page: the whole file, or the Markdown cells of a notebook."""
    if path.suffix == ".md":
        return [path.read_text(encoding="utf8")]
    cells = read_notebook(path)["cells"]
    return [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]


def code_cells(notebook: Notebook) -> list[Cell]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def is_check(cell: Cell) -> bool:
    """Whether the cell belongs to the proof layer."""
    return CHECK in cell["metadata"].get("tags", [])


def output_text(cell: Cell) -> str:
    """Everything that a code cell printed or displayed as text, stderr included."""
    parts = []
    for output in cell["outputs"]:
        if "text" in output:
            parts.append(output["text"])
        parts += [output["data"][kind] for kind in TEXT_TYPES if kind in output.get("data", {})]
    return "\n".join(parts)


def ignored_by_nbval(cell: Cell) -> bool:
    """Whether a tag or a comment keeps nbval from running the cell or comparing its output."""
    comments = {
        line.strip().lstrip("#").strip()
        for line in cell["source"].splitlines()
        if line.strip().startswith("#")
    }
    return bool(IGNORE_TAGS & set(cell["metadata"].get("tags", [])) or IGNORE_COMMENTS & comments)


def comparison_counts(notebooks: Iterable[Notebook]) -> tuple[int, int, int]:
    """(code cells, cells whose text nbval compares, cells it ignores) over some notebooks."""
    cells = [cell for notebook in notebooks for cell in code_cells(notebook)]
    ignored = [cell for cell in cells if ignored_by_nbval(cell)]
    compared = [cell for cell in cells if output_text(cell) and not ignored_by_nbval(cell)]
    return len(cells), len(compared), len(ignored)
