"""Buttons that open a notebook on Binder or Colab, and links to the source: if the book has an address.

The address is ``repository_url`` in ``_config.yml``. As long as it is empty there is no button; the
theme, asked for buttons without an address, would fail.
"""

BUTTONS = {
    "repository_branch": "main",
    "use_repository_button": True,
    "use_source_button": True,
    "launch_buttons": {
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
        "notebook_interface": "jupyterlab",
    },
}


def offer(app, config):
    if config.html_theme_options.get("repository_url"):
        config.html_theme_options |= BUTTONS


def tell_what_colab_needs(app, pagename, templatename, context, doctree):
    """Binder installs the package, Colab does not."""
    for group in context["header_buttons"]:
        for button in group.get("buttons", []):
            if button["text"] == "Colab":
                address = app.config.html_theme_options["repository_url"]
                button["tooltip"] += f". There, run this first: %pip install git+{address}"


def setup(app):
    app.connect("config-inited", offer)
    # After the theme, which has put its buttons there.
    app.connect("html-page-context", tell_what_colab_needs, priority=502)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
