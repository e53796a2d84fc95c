"""The package as it is installed: whole, declared, and enough for a notebook alone in a folder."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import anywhere
import pytest
from packaging.requirements import Requirement

from equation_checks.book import Book, code_cells, read_notebook

BOOK = Book(Path(__file__).resolve().parents[1])
PROJECT = tomllib.loads((BOOK.root / "pyproject.toml").read_text(encoding="utf8"))["project"]
DOWNLOAD = re.compile(r'<a href="([^"]*)"[^>]*btn-download-source-button')
PACKAGES = ("equation_checks", "vae_teach")


@pytest.fixture(scope="module")
def wheel():
    """The names in the wheel that `make test` has built and installed."""
    found = list(anywhere.FOLDER.glob("*.whl"))
    if not found:
        pytest.fail("There is no wheel in _build/anywhere: run make test", pytrace=False)
    return set(zipfile.ZipFile(found[0]).namelist())


@pytest.mark.built
def test_the_wheel_holds_both_packages_and_what_the_checks_read(wheel):
    expected = [path for name in PACKAGES for path in (BOOK.root / name).glob("*.py")]
    expected += (BOOK.root / "equation_checks" / "static").iterdir()
    assert {path.relative_to(BOOK.root).as_posix() for path in expected} <= wheel
    pages = [*BOOK.notebooks(), *BOOK.markdown_pages()]
    assert {f"equation_checks/pages/{path.name}" for path in pages} <= wheel
    modules = {name for name in wheel if name.endswith(".py")}
    assert len(modules) == sum(path.suffix == ".py" for path in expected)


def imports_of(tree):
    """Modules that are imported when the code runs from top to bottom; those in functions are not."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_from_elsewhere():
    """The top-level modules of others that the notebooks import, directly and through ours."""
    sources = [
        cell["source"] for path in BOOK.notebooks() for cell in code_cells(read_notebook(path))
    ]
    names, seen = set(), set()
    while sources:
        new = imports_of(ast.parse(sources.pop())) - seen
        seen |= new
        for name in new:
            package, *rest = name.split(".")
            if package not in PACKAGES:
                names.add(package)
                continue
            path = BOOK.root.joinpath(package, *rest or ["__init__"]).with_suffix(".py")
            if path.is_file():
                sources.append(path.read_text(encoding="utf8"))
    return names - set(sys.stdlib_module_names)


def with_what_they_need(requirements):
    """The names of the distributions that these requirements bring, all the way down."""
    names, queue = set(), [Requirement(line) for line in requirements]
    while queue:
        requirement = queue.pop()
        name = canonical(requirement.name)
        if name not in names and (
            not requirement.marker or requirement.marker.evaluate({"extra": ""})
        ):
            names.add(name)
            queue += [Requirement(line) for line in metadata.requires(name) or []]
    return names


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_pip_install_brings_whatever_a_notebook_imports():
    """The environment of the wheel sees all of ours, so that this is no test of running there."""
    brought = with_what_they_need(PROJECT["dependencies"])
    of = metadata.packages_distributions()
    names = imported_from_elsewhere()
    assert {"torch", "yaml", "PIL"} <= names
    missing = {name for name in names if not brought & {canonical(found) for found in of[name]}}
    assert missing == set()


@pytest.mark.built
@pytest.mark.parametrize("path", BOOK.notebooks(), ids=lambda path: path.stem)
def test_what_is_downloaded_is_the_notebook_that_has_been_run(built, path):
    page = BOOK.html / path.relative_to(BOOK.root).with_suffix(".html")
    (address,) = DOWNLOAD.findall(page.read_text(encoding="utf8"))
    assert (page.parent / address).read_bytes() == path.read_bytes()


def test_a_reader_in_a_checkout_runs_a_notebook_where_it_lies():
    command = [
        "-m",
        "pytest",
        "-q",
        "--nbval",
        "-p",
        "no:cacheprovider",
        "book/full_covariance.ipynb",
    ]
    found = subprocess.run(
        [sys.executable, *command], cwd=BOOK.root, capture_output=True, text=True
    ).stdout
    assert re.search(r"^\d+ passed", found, re.MULTILINE), found
