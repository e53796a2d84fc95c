"""A Sphinx extension: one fold under each display, made from what its checks have printed.

The cells of a notebook that carry the tag ``check`` vanish from the page. Those of one label
become one ``<details>`` directly under the display of that label,

    ✓ (5.2) proved · exact · 3 mistakes caught

closed, with the printed number of the equation. They open to the code and its output. A tick
beside the equation's number leads into the fold. Builders without folds show the line alone.
"""

import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

from equation_checks.book import read_notebook
from equation_checks.line import STRENGTHS
from equation_checks.proofs import Misplaced, Proof, proofs

logger = logging.getLogger(__name__)


class fold(nodes.General, nodes.Element):
    """The proof of one display; ``display`` is its ``math_block``, or None."""


class switch(nodes.General, nodes.Element):
    """Where the button stands that opens every fold of a page."""


def mark_of(label: str) -> str:
    return "✗" if label.startswith("wrong-") else "✓"


def summary(proof: Proof, number: str) -> str:
    """The closed line of a fold, as plain text."""
    strengths = sorted(set(proof.strengths), key=STRENGTHS.index)
    if proof.one_term:
        strengths = [s.replace("proved", "proved for one term") for s in strengths]
    parts = strengths or ["checked in code"]
    if proof.mistakes:
        parts.append(f"{proof.mistakes} mistake{'s' * (proof.mistakes > 1)} caught")
    return " ".join([mark_of(proof.label), *([f"({number})"] if number else []), " · ".join(parts)])


def fold_checks(app: Sphinx, doctree: nodes.document) -> None:
    """Move the cells of the proof layer of a notebook into folds."""
    path = Path(app.env.doc2path(app.env.docname))
    if path.suffix != ".ipynb":
        return
    try:
        found = proofs(read_notebook(path))
    except Misplaced as problem:
        logger.warning(str(problem), location=app.env.docname)
        return
    if not found:
        return
    cells = {
        node["cell_index"]: node
        for node in doctree.findall(nodes.container)
        if node.get("nb_element") == "cell_code"
    }
    displays = {node["label"]: node for node in doctree.findall(nodes.math_block) if node["label"]}
    for proof in found:
        display = displays.get(proof.label)
        node = fold("", proof=proof, display=display)
        first = cells[proof.cells[0]]
        if display is None:
            first.replace_self(node)
            node += first
        else:
            display["proof"] = f"proof-{proof.label}"
            display.parent.insert(display.parent.index(display) + 1, node)
        for index in proof.cells[display is None :]:
            cells[index].parent.remove(cells[index])
            node += cells[index]
    title = next(doctree.findall(nodes.title))
    title.parent.insert(title.parent.index(title) + 1, switch())


def number_of(translator: Any, node: fold) -> str:
    display = node["display"]
    return "" if display is None else get_node_equation_number(translator, display)


def visit_fold(self: Any, node: fold) -> None:
    line = escape(summary(node["proof"], number_of(self, node)))
    mark, _, rest = line.partition(" ")
    label = node["proof"].label
    # A link opens the fold only when it leads to something inside of it: to this body.
    target = f' id="proof-{label}"' if label else ""
    self.body.append(
        f'<details class="proof"><summary><span class="proof-mark">{mark}</span> {rest} '
        '<span class="words"><span>show</span><span>hide</span></span>'
        f'</summary><div class="proof-body"{target}>'
    )


def depart_fold(self: Any, node: fold) -> None:
    self.body.append("</div></details>\n")


def visit_switch(self: Any, node: switch) -> None:
    # Without the script there is nothing to press, so the script shows it.
    self.body.append('<button type="button" class="proof-switch" hidden></button>\n')
    raise nodes.SkipNode


def show_line(self: Any, node: fold) -> None:
    """For builders without folds."""
    text = summary(node["proof"], "")
    if hasattr(self, "add_text"):
        self.add_text(text)
    elif hasattr(self, "body"):
        self.body.append(f"\n\n{text}\n\n")
    raise nodes.SkipNode


def skip(self: Any, node: nodes.Node) -> None:
    raise nodes.SkipNode


def add_ticks(app: Sphinx) -> None:
    """Let whatever renders displays add a tick beside the number of those with a fold."""
    renderers = app.registry.html_block_math_renderers
    for name, (visit, depart) in list(renderers.items()):
        renderers[name] = (_with_tick(visit), depart)


def _with_tick(visit: Any) -> Any:
    def visit_with_tick(self: Any, node: nodes.math_block) -> None:
        start = len(self.body)
        try:
            visit(self, node)
        finally:
            if "proof" in node:
                number = get_node_equation_number(self, node)
                mark = mark_of(node["label"])
                tick = (
                    f'<a class="proof-tick" href="#{node["proof"]}" title="How it was checked" '
                    f'aria-label="{mark} How equation {number} was checked">{mark}</a>'
                )
                html = "".join(self.body[start:])
                self.body[start:] = [
                    re.sub(
                        r'(<span class="eqno">\([^<]*\))',
                        lambda eqno: eqno[1] + tick,
                        html,
                        count=1,
                    )
                ]

    return visit_with_tick


def add_static_files(app: Sphinx) -> None:
    app.config.html_static_path.append(str(Path(__file__).parent / "static"))


def setup(app: Sphinx) -> dict[str, bool]:
    html = {"html": (visit_fold, depart_fold)}
    others = dict.fromkeys(("latex", "text", "man", "texinfo"), (show_line, None))
    app.add_node(fold, **html, **others)
    app.add_node(switch, html=(visit_switch, None), **dict.fromkeys(others, (skip, None)))
    app.add_js_file("proofs.js", loading_method="defer")
    app.add_css_file("proofs.css")
    app.connect("builder-inited", add_static_files)
    app.connect("builder-inited", add_ticks)
    app.connect("doctree-read", fold_checks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
