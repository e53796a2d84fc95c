"""The address of the book, in one place, brings the buttons that launch its notebooks."""

import os
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from sphinx.cmd.build import main
from test_project import PROJECT

from equation_checks.book import Book

BOOK = Book(Path(__file__).resolve().parents[1])
CONFIG = yaml.safe_load((BOOK.root / "_config.yml").read_text(encoding="utf8"))["sphinx"]["config"]
ADDRESS = "https://github.com/someone/some-book"
BUTTONS = "a.btn-launch-buttons, .dropdown-launch-buttons a, .dropdown-source-buttons a"


def buttons_of(html):
    """The launch and source buttons of a page: their addresses, by the text that they carry."""
    soup = BeautifulSoup(html.read_text(encoding="utf8"), "html.parser")
    return {" ".join(a.get_text().split()): a for a in soup.select(BUTTONS)}


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_an_address_brings_buttons_and_none_brings_none(tmp_path, capsys, address):
    """A book of one notebook, with the book's own options."""
    options = CONFIG["html_theme_options"] | {"repository_url": address}
    (tmp_path / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(BOOK.root / 'book' / '_ext')!r})\n"
        "extensions = ['myst_nb', 'sphinx_book_theme', 'launch_buttons']\n"
        "html_theme, nb_execution_mode = 'sphinx_book_theme', 'off'\n"
        f"html_theme_options = {options!r}\n"
    )
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# A")],
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
    )
    nbformat.write(notebook, tmp_path / "index.ipynb")
    status = main(["-W", "-q", str(tmp_path), str(tmp_path / "out")])
    assert (status, capsys.readouterr().err) == (0, "")
    found = buttons_of(tmp_path / "out" / "index.html")
    if not address:
        assert found == {}
        return
    assert {text: button["href"] for text, button in found.items()} == {
        "Binder": "https://mybinder.org/v2/gh/someone/some-book/main?urlpath=lab/tree/index.ipynb",
        "Colab": "https://colab.research.google.com/github/someone/some-book/blob/main/index.ipynb",
        "Repository": ADDRESS,
        "Show source": f"{ADDRESS}/blob/main/index.ipynb?plain=1",
    }
    assert found["Colab"]["title"].endswith(f"run this first: %pip install git+{ADDRESS}")


@pytest.mark.built
@pytest.mark.skipif(
    bool(CONFIG["html_theme_options"]["repository_url"]), reason="it has an address"
)
def test_the_book_without_an_address_has_no_button(built):
    # The last is in the address that Jupyter Book takes for a book that gives none.
    unwanted = ("dropdown-launch-buttons", "dropdown-source-buttons", "executablebooks")
    for page in BOOK.pages():
        html = (BOOK.html / f"{page}.html").read_text(encoding="utf8")
        assert [name for name in unwanted if name in html] == []


def test_binder_installs_a_python_and_a_torch_that_the_package_accepts_and_then_the_package():
    folder = BOOK.root / "binder"
    environment = yaml.safe_load((folder / "environment.yml").read_text(encoding="utf8"))
    python, torch, _ = environment["dependencies"]
    assert python.partition("=")[2] in SpecifierSet(PROJECT["requires-python"])
    ours = {Requirement(line).name: Requirement(line) for line in PROJECT["dependencies"]}
    assert Requirement(torch).specifier == ours["torch"].specifier
    assert os.access(folder / "postBuild", os.X_OK)
    assert (
        (folder / "postBuild").read_text().splitlines()[-1].endswith("pip install --no-cache-dir .")
    )
