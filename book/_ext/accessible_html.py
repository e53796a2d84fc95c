"""Mends of the HTML that Sphinx writes, where a screen reader would be told something wrong."""

from docutils import nodes


def visit_citation(self, node):
    type(self).visit_citation(self, node)
    # A list of no items, docutils says: doc-biblioentry is deprecated and no list item.
    self.body[-1] = self.body[-1].replace('role="doc-biblioentry"', 'role="listitem"')


def depart_citation(self, node):
    type(self).depart_citation(self, node)


def setup(app):
    app.add_node(nodes.citation, override=True, html=(visit_citation, depart_citation))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
