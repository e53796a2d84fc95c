r"""Reads the TeX of a display: tokens, a normal text for every part, and a tree.

pylatexenc takes the TeX apart; only the commands listed here are known, and any other is an error.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pylatexenc.latexwalker import (
    LatexCharsNode,
    LatexEnvironmentNode,
    LatexGroupNode,
    LatexMacroNode,
    LatexWalker,
    LatexWalkerParseError,
)
from pylatexenc.macrospec import LatexContextDb, MacroSpec

from equation_checks.world import Unreadable

SPACES = {",", ";", "!", " ", "quad", "qquad"}
SIZES = {"left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr"}
RELATIONS = {"=": "=", "le": "<=", "ge": ">=", "<": "<", ">": ">", "ne": "!=", ":=": ":="}
FUNCTIONS = {"log", "exp", "sqrt", "sin", "cos", "tanh", "det"}
LETTERS = {
    *("alpha", "beta", "gamma", "delta", "Delta", "varepsilon", "theta", "lambda", "Lambda", "mu"),
    *("nu", "pi", "rho", "sigma", "Sigma", "phi", "omega", "ell", "dots", "star", "top"),
    *("partial", "nabla"),
}
ACCENTS = {"hat", "widehat"}
FONTS = {"mathbb", "mathcal", "mathrm", "text"}  # words with a space in them are no name
BIG = {"sum", "prod", "int", "min", "max"}
OTHER = {"\\": "newline", "mid": "mid", "|": "||", "cdot": "*", "in": "in", "sim": "~"}
OPEN, CLOSE = "([", ")]"

KNOWN = LatexContextDb()
KNOWN.add_context_category(
    "notation",
    macros=[
        *(MacroSpec(name, "{") for name in ACCENTS | FONTS | {"sqrt"}),
        *(MacroSpec(name, "{{") for name in ("frac", "tfrac", "overset")),
    ],
)


@dataclass(frozen=True)
class Token:
    """``kind`` is what the token is (``letter``, ``number``, ``frac``, ...), ``text`` how it reads."""

    kind: str
    text: str
    parts: tuple[tuple["Token", ...], ...] = ()


def tokens(tex: str) -> tuple[Token, ...]:
    """The tokens of a display without its spaces and sizes."""
    try:
        nodes, _, _ = LatexWalker(
            tex, latex_context=KNOWN, tolerant_parsing=False
        ).get_latex_nodes()
    except LatexWalkerParseError as error:
        raise Unreadable(f"{tex!r}: {error}") from error
    return tuple(_flatten(nodes))


def _flatten(nodes: list) -> Iterator[Token]:
    for node in nodes:
        if isinstance(node, LatexCharsNode):
            for text in re.findall(r":=|\d+(?:\.\d+)?|\S", node.chars):
                yield _character(text)
        elif isinstance(node, LatexGroupNode):
            inner = tuple(_flatten(node.nodelist))
            if inner:
                yield Token("group", text_of(inner), (inner,))
        elif isinstance(node, LatexEnvironmentNode):
            inner = tuple(_flatten(node.nodelist))
            if node.environmentname == "aligned":
                yield from inner
            elif node.environmentname == "cases":
                yield Token("cases", f"cases({text_of(inner)})", (inner,))
            else:
                raise Unreadable(f"The environment {node.environmentname} has no meaning here.")
        elif isinstance(node, LatexMacroNode):
            yield from _macro(node)
        else:
            raise Unreadable(f"{node.latex_verbatim()!r} has no meaning here.")


def _character(text: str) -> Token:
    if text[0].isdigit():
        return Token("number", text)
    if text.isalpha():
        return Token("letter", text)
    if text in RELATIONS:
        return Token("relation", RELATIONS[text])
    return Token(text, text)


def _macro(node: LatexMacroNode) -> Iterator[Token]:
    name = node.macroname
    arguments = []
    for argument in node.nodeargd.argnlist if node.nodeargd else []:
        inner = argument.nodelist if isinstance(argument, LatexGroupNode) else [argument]
        arguments.append(tuple(_flatten(inner)))
    if name in SPACES | SIZES:
        return
    if name in RELATIONS:
        yield Token("relation", RELATIONS[name])
    elif name in FUNCTIONS:
        yield Token("function", name, tuple(arguments))
    elif name in LETTERS:
        yield Token("letter", name)
    elif name in BIG:
        yield Token("big", name)
    elif name in OTHER:
        yield Token(OTHER[name], "|" if name == "mid" else OTHER[name])
    elif name in ACCENTS:
        yield Token("letter", f"{name.removeprefix('wide')} {text_of(arguments[0])}")
    elif name in FONTS:
        words = "".join(part.text for part in arguments[0])
        yield Token("words" if " " in node.latex_verbatim() else "letter", words)
    elif name in ("frac", "tfrac"):
        above, below = arguments
        yield Token("frac", f"({text_of(above)})/({text_of(below)})", (above, below))
    elif name == "overset":
        yield Token("relation", "?=")
    else:
        raise Unreadable(
            rf"The command \{name} is not among those that the reader of displays knows."
        )


def text_of(found: Collection[Token]) -> str:
    """The normal text of tokens: ``p(x|z)``, ``sigma_q^2``; one text whatever the spacing."""
    text = ""
    for token in found:
        new = "; " if token.kind == "newline" else token.text
        if token.kind == "group" and len(token.parts[0]) > 1 and text.endswith("^"):
            new = f"({new})"
        # A long name is kept apart from a letter beside it, and a relation from its sides.
        if text and text[-1].isalpha() and new[0].isalpha() and (len(new) > 1 or _long(text)):
            new = f" {new}"
        text += f" {new} " if token.kind == "relation" else new
    return text


def _long(text: str) -> bool:
    return len(re.search(r"[A-Za-z ]+$", text)[0]) > 1
