"""What a link means, shown where the link stands: displays, glossary terms, rows of the notation.

A page from a folder cannot fetch another page. So when all are built, each gets a copy of what its
links point to on other pages, in a <template> that stays unseen until tips.js shows a part of it.

A symbol of the notation that has an anchor, as in ``[$\\ell$]{#symbol-log-variance}``, is a link
where a page first uses it. One that means different things in different chapters has no anchor.
"""

import posixpath
import re
from pathlib import Path

from docutils import nodes

LINK = re.compile(r'<a class="[^"]*" href="([^"#]+\.html)#([^"]+)"')
# KaTeX writes no <div>, and a row of a table holds no table: the first end tag is the right one.
BLOCK = re.compile(
    r'<div class="math[^>]* id="equation-.*?</div>|<dt id="term-.*?</dd>|<tr\b.*?</tr>', re.DOTALL
)
ANCHOR = re.compile(r' id="((?:equation|term|symbol)-[^"]+)"')
# No links inside a tip, and no anchor twice.
UNWANTED = re.compile(r'<a class="headerlink".*?</a>|</?a\b[^>]*>| id="[^"]*"')
NOT_IN = (nodes.title, nodes.caption, nodes.reference)


def targets_of(html):
    """What links may point to on a page: a dictionary from anchor to HTML."""
    found = {}
    for block in BLOCK.findall(html):
        tip = UNWANTED.sub("", block)
        if block.startswith("<tr"):
            tip = f"<table>{tip}</table>"
        found |= dict.fromkeys(ANCHOR.findall(block), tip)
    return found


def write_tips(app, exception):
    if exception is not None or app.builder.format != "html":
        return
    paths = {name: Path(app.builder.get_outfilename(name)) for name in app.env.found_docs}
    pages = {f"{name}.html": path.read_text(encoding="utf8") for name, path in paths.items()}
    targets = {page: targets_of(html) for page, html in pages.items()}
    for name, path in paths.items():
        page = f"{name}.html"
        html = re.sub(r'<template id="tips">.*?</template>', "", pages[page], flags=re.DOTALL)
        tips = {}
        for address, anchor in LINK.findall(html):
            there = posixpath.normpath(posixpath.join(posixpath.dirname(page), address))
            if tip := targets.get(there, {}).get(anchor):
                tips[f"{address}#{anchor}"] = tip
        if tips:
            held = "".join(f'<div data-for="{link}">{tip}</div>' for link, tip in tips.items())
            before, _, after = html.rpartition("</body>")
            html = f'{before}<template id="tips">{held}</template></body>{after}'
        if html != pages[page]:
            path.write_text(html, encoding="utf8")


def note_symbols(app, doctree):
    for span in doctree.findall(nodes.inline):
        for anchor in span["ids"]:
            if anchor.startswith("symbol-"):
                app.env.symbols[span.astext()] = app.env.docname, anchor


def link_symbols(app, doctree, docname):
    left = {tex: place for tex, place in app.env.symbols.items() if place[0] != docname}
    for formula in list(doctree.findall(nodes.math)):
        around = formula.parent
        while around and not isinstance(around, NOT_IN):
            around = around.parent
        if around is None and formula.astext() in left:
            page, anchor = left.pop(formula.astext())
            address = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
            # The title is the link's name for whoever cannot see the formula.
            title = "what the symbol means"
            link = nodes.reference(
                refuri=address, internal=True, classes=["symbol"], reftitle=title
            )
            formula.replace_self(link)
            link += formula


def start(app):
    app.env.symbols = getattr(app.env, "symbols", {})


def setup(app):
    app.add_js_file("tips.js", loading_method="defer")
    app.connect("builder-inited", start)
    app.connect("doctree-read", note_symbols)
    app.connect("doctree-resolved", link_symbols)
    app.connect("build-finished", write_tips)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
