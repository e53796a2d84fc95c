"""The displays of a page, found by MyST's own parser."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

from equation_checks.book import Book, markdown_texts

EXTENSIONS = {"amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"}
# The content of any other directive is Markdown again.
CODE_DIRECTIVES = {"code", "code-block", "code-cell", "sourcecode", "literalinclude", "math", "raw"}
LABEL = re.compile(r"(eq|def|wrong)-[a-z0-9-]+")
OPTION = re.compile(r"^(?::[\w-]+:.*\n|---\n(?:.*\n)*?---\n)*")


@dataclass
class Display:
    """One labelled display: its label, its TeX, and the position of its cell in the chapter."""

    label: str
    tex: str
    cell: int


@cache
def _parser() -> MarkdownIt:
    return create_md_parser(MdParserConfig(enable_extensions=EXTENSIONS), RendererHTML)


def top_level(markdown: str) -> list[Token]:
    """The block tokens of a Markdown text; a directive is one of them."""
    return _parser().parse(markdown)


def tokens(markdown: str) -> Iterator[Token]:
    """All tokens of a Markdown text, inline ones and those inside directives included."""
    for token in top_level(markdown):
        yield token
        yield from token.children or []
        name = directive(token)
        if name and name not in CODE_DIRECTIVES:
            yield from tokens(OPTION.sub("", token.content))


def directive(token: Token) -> str | None:
    """The name of the directive that a fence holds: ``admonition``, ..."""
    found = re.match(r"\{([\w:-]+)\}", token.info)
    return found[1] if found else None


def displays_in(markdown: str, cell: int = 0) -> list[Display]:
    """The labelled displays of a Markdown text."""
    return [
        Display(token.info, token.content.strip(), cell)
        for token in tokens(markdown)
        if token.type == "math_block_label" and LABEL.fullmatch(token.info)
    ]


def title_of(markdown: str) -> str:
    """The text of the first heading of the first level, or nothing."""
    found = top_level(markdown)
    for heading, inline in zip(found, found[1:], strict=False):
        if heading.tag == "h1":
            return inline.content
    return ""


def installed_pages() -> Path:
    """The folder of the pages that came with this package: inside it, or beside it in a checkout."""
    pages = Path(__file__).parent / "pages"
    return pages if pages.is_dir() else Book(Path(__file__).parents[1]).folder


def find_display(label: str, folder: Path) -> str:
    """The TeX of the display with this label, read from the pages of a folder as they are now."""
    for path in sorted([*folder.glob("*.ipynb"), *folder.glob("*.md")]):
        # Most pages do not name the label, and a notebook with its pictures takes long to parse.
        if label not in path.read_text(encoding="utf8"):
            continue
        texts = (text for text in markdown_texts(path) if label in text)
        for display in (display for text in texts for display in displays_in(text)):
            if display.label == label:
                return display.tex
    raise LookupError(
        f"No page in {folder} displays {label}. Run the check in the folder of the notebooks, "
        "and save the notebook first if the display is new."
    )
