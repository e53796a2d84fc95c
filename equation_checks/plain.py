"""The Markdown of a page in words that any notebook program shows.

MyST's roles and directives are for the built book. In plain Jupyter they stand as raw text, so
worksheets say the same without them.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from equation_checks.book import markdown_texts
from equation_checks.displays import CODE_DIRECTIVES, OPTION, directive, top_level

ROLE = re.compile(r"\{(\w+)(?::\w+)?\}`(?:([^`<]+?) <)?([^`<>]+)>?`")
LEFT_OUT = {"data-flow", "quiz", "image", "figure", "raw", "literalinclude"}


def titles_in(paths: Iterable[Path]) -> dict[str, str]:
    """What pages and labelled sections are called, by the names that roles give them."""
    titles = {}
    for path in paths:
        for text in markdown_texts(path):
            label = path.stem
            for token in top_level(text):
                if token.type == "myst_target":
                    label = token.content
                elif token.type == "inline" and label and label not in titles:
                    titles[label] = token.content
                    label = ""
                elif token.type not in ("heading_open", "inline"):
                    label = ""
    return titles


def plain(markdown: str, titles: dict[str, str]) -> str:
    """The text with boxes as quotations, and references by the titles of what they lead to."""
    lines, kept, start = markdown.splitlines(), [], 0
    for token in top_level(markdown):
        name = directive(token)
        if token.type == "myst_target":
            new = []
        elif token.type == "math_block_label":
            new = lines[token.map[0] : token.map[1]]
            new[-1] = new[-1].removesuffix(f" ({token.info})")
        elif name in LEFT_OUT:
            new = []
        elif name and name not in CODE_DIRECTIVES:
            head = token.info.split("}", 1)[1].strip() or name.split(":")[-1].capitalize()
            body = plain(OPTION.sub("", token.content), titles).splitlines()
            new = [f"> {line}".rstrip() for line in (f"**{head}**", "", *body)]
        else:
            continue
        kept += lines[start : token.map[0]]
        if name == "quiz":
            kept = _without_idle_heading(kept)
        kept += new
        start = token.map[1]
    text = ROLE.sub(lambda role: _words(role, titles), "\n".join(kept + lines[start:]))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _without_idle_heading(lines: list[str]) -> list[str]:
    """Take a heading of the second level off the end, under which nothing is left."""
    said = [line for line in lines if line.strip()]
    return lines[: lines.index(said[-1])] if said and said[-1].startswith("## ") else lines


def _words(role: re.Match, titles: dict[str, str]) -> str:
    """What a reference says: its own text, a title, or the label to look for in the index."""
    kind, text, target = role.groups()
    if text:
        return text
    if kind == "eq":
        return f"[{target}]"
    if kind == "numref":
        return "the figure"
    return f"“{titles[target]}”" if target in titles else target
