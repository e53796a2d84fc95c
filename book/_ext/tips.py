"""What a link means, shown where the link stands: displays, glossary terms, rows of the notation.

A page from a folder cannot fetch another page. So when all are built, each gets a copy of what its
links point to on other pages, in a <template> that stays unseen until tips.js shows a part of it.
"""

import posixpath
import re
from pathlib import Path

LINK = re.compile(r'<a class="[^"]*" href="([^"#]+\.html)#([^"]+)"')
# KaTeX writes no <div>, and a row of a table holds no table: the first end tag is the right one.
TARGETS = [
    re.compile(r'<div class="math[^>]* id="(equation-[^"]+)".*?</div>', re.DOTALL),
    re.compile(r'<dt id="(term-[^"]+)".*?</dd>', re.DOTALL),
    re.compile(r'<tr\b(?:(?!</tr>).)*? id="(symbol-[^"]+)".*?</tr>', re.DOTALL),
]
# No links inside a tip, and no anchor twice.
UNWANTED = re.compile(r'<a class="headerlink".*?</a>|</?a\b[^>]*>| id="[^"]*"')


def targets_of(html):
    """What links may point to on a page: a dictionary from anchor to HTML."""
    found = (match for target in TARGETS for match in target.finditer(html))
    return {match[1]: UNWANTED.sub("", match[0]) for match in found}


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


def setup(app):
    app.add_js_file("tips.js", loading_method="defer")
    app.connect("build-finished", write_tips)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
