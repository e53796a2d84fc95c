"""Formulas set by KaTeX when the book is built, so that they stand in the page at its first paint.

What a page holds of a formula is HTML (for the eye), MathML (for a screen reader) and its TeX. A
reader's browser runs no program for them; it needs one style sheet and fonts, from the book's own
folder. KaTeX itself runs here, in a small JavaScript engine: version 0.19.1, three kinds of files of
its npm package (katex.min.js, katex.min.css, fonts/*.woff2) as they are, in the folder beside this.
"""

import html
import json
import re
import shutil
from functools import cache
from pathlib import Path

import quickjs
from docutils import nodes
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

KATEX = Path(__file__).with_name("katex")
# Both ways as JSON: the engine's wrapper cannot hand over a string that was put together from many.
RENDER = """(tex, options) => {
  try {
    return JSON.stringify({html: katex.renderToString(tex, JSON.parse(options))});
  } catch (error) {
    if (!(error instanceof katex.ParseError)) throw error;
    return JSON.stringify({error: error.rawMessage});
  }
}"""

logger = logging.getLogger(__name__)


@cache
def engine():
    context = quickjs.Context()
    context.eval((KATEX / "katex.min.js").read_text(encoding="utf8"))
    return context.eval(RENDER)


@cache
def katex(tex, **options):
    """``{"html": ...}``, or ``{"error": ...}`` where KaTeX does not accept the formula."""
    return json.loads(engine()(tex, json.dumps({"strict": "error"} | options)))


def formula(translator, node, tex, **options):
    result = katex(tex, **options)
    if "html" in result:
        return result["html"]
    page = translator.builder.current_docname
    logger.warning("%s: TeX error in %r: %s", page, tex, result["error"], location=node)
    return f'<span class="katex-error">{html.escape(tex)}</span>'


def visit_inline(self, node):
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(formula(self, node, node.astext()) + "</span>")
    raise nodes.SkipNode


def visit_display(self, node):
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, _("Link to this equation"))
        self.body.append("</span>")
    tex = node.astext().strip()
    if "\\\\" in tex and "\\begin" not in tex:  # lines without an environment, as Sphinx takes it
        tex = f"\\begin{{split}}{tex}\\end{{split}}"
    self.body.append(formula(self, node, tex, displayMode=True) + "</div>\n")
    raise nodes.SkipNode


def plain_title(app, pagename, templatename, context, doctree):
    """In <title> all tags are stripped: there a formula is the text of its MathML, and once."""
    title = app.env.longtitles.get(pagename)
    for node in title.findall(nodes.math) if title else []:
        whole = katex(node.astext()).get("html", "")
        mathml = whole.partition("<annotation")[0]
        context["title"] = context["title"].replace(whole, re.sub("<[^>]*>", "", mathml))


def copy_styles(app):
    if app.builder.format == "html":
        target = Path(app.outdir, "_static", "katex")
        no_program = shutil.ignore_patterns("*.js")
        shutil.copytree(KATEX, target, ignore=no_program, dirs_exist_ok=True)


def setup(app):
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_display, None))
    app.add_css_file("katex/katex.min.css")
    app.connect("builder-inited", copy_styles)
    app.connect("html-page-context", plain_title)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
