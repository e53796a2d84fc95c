"""The Sphinx extension, on a book of one page: folds, numbers, ticks, other builders."""

import json

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from equation_checks.execute import NOTEBOOK_METADATA

CONF = """
extensions = ["myst_nb", "sphinx.ext.mathjax", "equation_checks.folds"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"
numfig = True
math_numfig = True
numfig_secnum_depth = 1
"""
INDEX = "# Book\n\n```{toctree}\n:numbered:\n\npage\n```\n"
TEXT = """# Page

Words before.

$$ x = y $$ (eq-a)

Words between.

$$ z = y $$ (wrong-b)

Words after, with {eq}`eq-a`.
"""
PROVED = "eq-a · proved · x = y · all x\n"
CAUGHT = "eq-a · catches · a sign · off by 2\neq-a · catches · a factor · off by 1\n"
EXACT = "eq-a · exact · x = y · one point, within 1e-09\n"
REFUTED = "wrong-b · refuted · z ≠ y · one point, off by 1 or more\n"


def markdown(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def code(source, printed="", tags=("check",)):
    output = {"output_type": "stream", "name": "stdout", "text": printed}
    return {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": {"tags": list(tags)},
        "source": source,
        "outputs": [output] if printed else [],
    }


CELLS = [
    markdown(TEXT),
    code("open_code = 1", "an open number\n", tags=()),
    code("proof_code_1", EXACT),
    code("proof_code_2", CAUGHT),
    code("refutation", REFUTED),
    code("proof_code_3", PROVED),
]


@pytest.fixture
def build(tmp_path):
    """Build a page of these cells; the folder of the output and what Sphinx warned of."""

    def build(cells, builder="html"):
        source = tmp_path / "source"
        source.mkdir(exist_ok=True)
        (source / "conf.py").write_text(CONF)
        (source / "index.md").write_text(INDEX)
        notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": NOTEBOOK_METADATA}
        (source / "page.ipynb").write_text(json.dumps({**notebook, "cells": cells}))
        warnings = (tmp_path / "warnings").open("w+")
        with docutils_namespace(), warnings:
            app = Sphinx(
                source, source, tmp_path / builder, tmp_path / "trees", builder,
                status=None, warning=warnings, freshenv=True,
            )  # fmt: skip
            app.build()
            warnings.seek(0)
            return tmp_path / builder, warnings.read()

    return build


@pytest.fixture
def soup(build):
    folder, warnings = build(CELLS)
    assert warnings == ""
    return BeautifulSoup((folder / "page.html").read_text(encoding="utf8"), "html.parser")


def words(tag):
    return " ".join(tag.get_text(" ").split())


def test_one_fold_per_label_directly_under_its_display(soup):
    folds = soup.select("details.proof")
    assert [words(fold.summary) for fold in folds] == [
        "✓ (1.1) proved · exact · 2 mistakes caught show hide",
        "✗ (1.2) refuted show hide",
    ]
    above = [fold.find_previous_sibling() for fold in folds]
    assert [tag["id"] for tag in above] == ["equation-eq-a", "equation-wrong-b"]
    assert not any(fold.has_attr("open") for fold in folds)


def test_the_fold_holds_code_and_output_and_the_open_page_none_of_it(soup):
    first, second = soup.select("details.proof")
    inside = words(first)
    order = ["proof_code_1", "1e-09", "proof_code_2", "a sign", "proof_code_3", PROVED.strip()]
    places = [inside.index(text) for text in order]
    assert places == sorted(places)
    assert "refutation" in words(second)
    first.decompose()
    second.decompose()
    page = words(soup)
    assert "open_code" in page and "an open number" in page
    assert "proof_code" not in page and "refutation" not in page and "proved" not in page


def test_a_tick_beside_the_number_leads_into_the_fold(soup):
    for label in ("eq-a", "wrong-b"):
        tick = soup.select_one(f"#equation-{label} .eqno a.proof-tick")
        target = soup.find(id=tick["href"].removeprefix("#"))
        assert target.find_parent("details", class_="proof") is not None
    ticks = [tick.text for tick in soup.select("a.proof-tick")]
    assert ticks == ["✓", "✗"], "what is refuted is not ticked off"
    tick = soup.select_one("#equation-eq-a a.proof-tick")
    assert tick["aria-label"] == "✓ How equation 1.1 was checked"


def test_a_proof_of_one_term_is_not_called_a_proof_of_the_sum(build):
    term = "eq-a · proved · one term of the sum = the integral · all x\n"
    folder, _ = build([markdown(TEXT), code("proof", term), code("refutation", REFUTED)])
    soup = BeautifulSoup((folder / "page.html").read_text(encoding="utf8"), "html.parser")
    assert words(soup.select_one("details.proof summary")).startswith("✓ (1.1) proved for one term")


def test_one_switch_stands_under_the_title(soup):
    (switch,) = soup.select("button.proof-switch")
    assert switch.find_previous_sibling().name == "h1"
    assert switch.has_attr("hidden"), "the script shows it"


def test_a_page_without_checks_has_neither_fold_nor_switch(build):
    folder, _ = build([markdown(TEXT), code("1", tags=())])
    page = (folder / "page.html").read_text(encoding="utf8")
    assert "<details" not in page and "<button" not in page and "proof-tick" not in page


def test_a_check_without_a_label_folds_where_it_stands(build):
    folder, warnings = build([markdown("# Page\n\nWords."), code("assert same"), markdown("More.")])
    soup = BeautifulSoup((folder / "page.html").read_text(encoding="utf8"), "html.parser")
    (fold,) = soup.select("details.proof")
    assert warnings == "" and words(fold.summary).startswith("✓ checked in code")
    assert fold.find_previous_sibling("p").text == "Words."
    assert fold.find_next_sibling("p").text == "More."


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([markdown(TEXT), code("x", PROVED + REFUTED)], "cell 1 checks eq-a, wrong-b: split it"),
        ([markdown(TEXT), code("x", PROVED, tags=())], "in the open"),
        ([markdown("# Page"), code("x", PROVED)], "not displayed in the nearest"),
    ],
)
def test_a_misplaced_check_is_a_warning_that_names_the_cell(build, cells, said):
    _, warnings = build(cells)
    assert said in warnings and "page" in warnings


def test_other_builders_show_the_line(build):
    folder, _ = build(CELLS, builder="text")
    page = (folder / "page.txt").read_text(encoding="utf8")
    assert "✓ proved · exact · 2 mistakes caught" in page and "✗ refuted" in page
    assert "proof_code" not in page
    folder, _ = build(CELLS, builder="latex")
    (tex,) = folder.glob("*.tex")
    page = tex.read_text(encoding="utf8")
    assert "proved · exact · 2 mistakes caught" in page and "proof" not in page
