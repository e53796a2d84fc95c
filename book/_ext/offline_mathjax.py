"""MathJax from the book's own folder, so that mathematics renders with no network.

The PyPI package sphinx-mathjax-offline is used as a source of files only: loaded as an extension it
adds 24 MB of fonts, while its tex-svg-full.js (2.2 MB, all TeX packages, no fonts) is enough alone.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

SCRIPT = "mathjax/tex-svg-full.js"


def use_local_script(app, config):
    config.mathjax_path = SCRIPT


def load_on_every_page(app):
    # Titles with mathematics stand in the sidebar of pages that have no mathematics themselves.
    app.set_html_assets_policy("always")


def copy_script(app, exception):
    if exception is not None or app.builder.format != "html":
        return
    package = Path(find_spec("sphinx-mathjax-offline").submodule_search_locations[0])
    target = Path(app.outdir, "_static", SCRIPT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(package / "static" / SCRIPT, target)


def setup(app):
    app.connect("config-inited", use_local_script)
    app.connect("builder-inited", load_on_every_page)
    app.connect("build-finished", copy_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
