"""Links each word of the glossary where a page first uses it, and lists that place in the index.

A link stands in running text only: not in titles, captions, boxes, tables, folds, questions or
exercises, and not on the glossary's own page. Several names of one thing are one word. Names in
``glossary_everyday`` of _config.yml are not linked. tips.js shows what a link leads to.
"""

import itertools
import re

from docutils import nodes
from sphinx import addnodes

LISTS = (nodes.bullet_list, nodes.enumerated_list, nodes.list_item)
PROSE = (nodes.document, nodes.section, nodes.paragraph, nodes.emphasis, nodes.strong, *LISTS)


def plain(text):
    """Without line breaks, and without the capital that a sentence begins with."""
    text = " ".join(text.split()).replace("’", "'")
    return text[0].lower() + text[1:]


def pattern_of(names):
    """Matches each plain name as a whole word, with or without a plural s; the longest first."""
    written = [f"(?i:{n[0]}){re.escape(n[1:])}" for n in sorted(names, key=len, reverse=True)]
    either = "|".join(written).replace("\\ ", r"\s+").replace("'", "['’]")
    return re.compile(rf"(?<![\w-])({either})s?(?![\w-])")


def note_words(app, doctree):
    for glossary in doctree.findall(addnodes.glossary):
        for item in glossary.findall(nodes.definition_list_item):
            names = list(item.findall(nodes.term))
            in_index = names[0].next_node(addnodes.index)["entries"][0][1]
            place = in_index, app.env.docname, names[0]["ids"][0]
            app.env.words |= {plain(name.astext()): place for name in names}


def in_prose(node):
    while isinstance(node.parent, PROSE):
        node = node.parent
    return isinstance(node, nodes.document)  # some extensions leave a node without its parent


def texts_of(doctree):
    """The running text, where each line was one by itself."""
    for parent in filter(in_prose, list(doctree.findall(nodes.TextElement))):
        runs = itertools.groupby(parent.children, lambda node: isinstance(node, nodes.Text))
        parent[:] = [x for text, run in runs for x in ([nodes.Text("".join(run))] if text else run)]
    return [text for text in doctree.findall(nodes.Text) if in_prose(text)]


def link_words(app, doctree, docname):
    everyday = {plain(name) for name in app.config.glossary_everyday}
    left = {name: place for name, place in app.env.words.items() if name not in everyday}
    if not left or docname in {page for _, page, _ in left.values()}:
        return
    pattern, title = pattern_of(app.env.words), app.env.titles[docname].astext()
    index = app.env.get_domain("index").entries[docname]
    for text in texts_of(doctree):
        parts, end = [], 0
        for found in pattern.finditer(text):
            if not (place := left.get(plain(found[1]))):
                continue
            left = {name: other for name, other in left.items() if other != place}
            word, page, anchor = place
            address = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
            link = nodes.reference("", found[0], refuri=address, internal=True, classes=["word"])
            link["ids"] = [f"uses-{anchor}"]
            parts += [nodes.Text(text[end : found.start()]), link]
            end = found.end()
            index.append(("single", f"{word}; {title}", link["ids"][0], "", None))
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(text[end:])])


def setup(app):
    app.add_config_value("glossary_everyday", [], "html", [list])
    app.connect("builder-inited", lambda app: vars(app.env).setdefault("words", {}))
    app.connect("doctree-read", note_words)
    app.connect("doctree-resolved", link_words)
    return {"parallel_read_safe": False, "parallel_write_safe": False}
