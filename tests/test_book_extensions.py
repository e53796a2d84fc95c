"""Small books, built with the book's own extensions."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from sphinx.cmd.build import main

ROOT = Path(__file__).resolve().parent.parent
CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "book" / "_ext")!r})
extensions = ["myst_parser", "check_yourself", "glossary_links", "prerendered_math", "tips"]
source_suffix = {{".md": "markdown"}}
myst_enable_extensions = ["attrs_inline", "dollarmath"]
glossary_everyday = ["prior", "code"]
math_numfig = numfig = True
numfig_secnum_depth = 1
html_theme = "basic"
html_static_path = [{str(ROOT / "book" / "_static")!r}]
"""
INDEX = """# Book

```{toctree}
:numbered:
chapter
```
"""


@pytest.fixture
def build(tmp_path, capsys):
    """`build(chapter)`: the exit status of sphinx-build -W, its complaints, the two pages."""

    def build(chapter):
        (tmp_path / "conf.py").write_text(CONF, encoding="utf8")
        (tmp_path / "index.md").write_text(INDEX, encoding="utf8")
        (tmp_path / "chapter.md").write_text(chapter, encoding="utf8")
        out = tmp_path / "out"
        status = main(["-W", "--keep-going", "-q", str(tmp_path), str(out)])
        pages = [
            BeautifulSoup((out / f"{name}.html").read_text(encoding="utf8"), "html.parser")
            for name in ("index", "chapter")
        ]
        return status, capsys.readouterr().err, *pages

    return build


def test_number_permalink_and_reference(build):
    status, complaints, _, page = build("# A\n\n$$\na = b\n$$ (eq-a)\n\nBy {eq}`eq-a`, $a$.\n")
    assert (status, complaints) == (0, "")
    display = page.find("div", class_="math")
    assert display["id"] == "equation-eq-a"
    number = display.find("span", class_="eqno")
    assert number.contents[0] == "(1.1)"
    assert number.a["href"] == "#equation-eq-a"
    assert page.select_one("p a.reference")["href"] == "#equation-eq-a"
    assert page.select_one("p a.reference").get_text() == "(1.1)"
    assert page.select_one("p span.math > .katex > .katex-mathml annotation").get_text() == "a"


def test_what_the_book_writes_is_set(build):
    status, complaints, _, page = build(
        "# A\n\n$$\n\\begin{aligned}\n\\tfrac12 &\\overset{?}{=} \\mathbb{E}_q\\big[z\\big] \\\\\n"
        "&\\le \\mathrm{KL}(q \\,\\Vert\\, p) \\qquad \\text{always}\n\\end{aligned}\n$$ (eq-a)\n"
    )
    assert (status, complaints) == (0, "")
    assert len(page.select("div.math > .katex-display > .katex > .katex-mathml math")) == 1


def test_lines_without_an_environment_stay_lines(build):
    status, complaints, _, page = build("# A\n\n$$\na \\\\ b\n$$ (eq-a)\n")
    assert (status, complaints) == (0, "")
    assert len(page.select("div.math mtr")) == 2


@pytest.mark.parametrize("formula", [r"\nosuchmacro x", r"\left( a", "é"])
@pytest.mark.parametrize("written", ["so ${}$ it is", "$$\n{}\n$$ (eq-a)"])
def test_bad_tex_fails_the_build_and_is_named(build, formula, written):
    status, complaints, _, page = build("# A\n\n" + written.replace("{}", formula) + "\n")
    assert status == 1
    assert "chapter: TeX error" in complaints and repr(formula) in complaints
    assert page.select_one(".math > .katex-error").get_text() == formula


def test_formulas_in_titles(build):
    status, complaints, index, page = build("# If $a < \\sigma^2$\n\n## And $\\beta$\n\nx\n")
    assert (status, complaints) == (0, "")
    assert page.title.get_text().startswith("1. If a<σ2 — ")
    assert len(index.select(".toctree-wrapper .math > .katex")) == 2
    assert len(page.select("h1 .math > .katex")) == len(page.select("h2 .math > .katex")) == 1


NOTATION = """# Book

```{toctree}
chapter
```

| symbol | meaning |
|:--|:--|
| [$\\ell$]{#symbol-ell}, [$a$]{#symbol-a} | log-variance and logit |
| $b$ | no symbol with an anchor |

$$
c = d
$$ (eq-c)

```{glossary}
ELBO
  the bound
```
"""


def test_tips_hold_what_other_pages_say(build, monkeypatch):
    monkeypatch.setattr(f"{__name__}.INDEX", NOTATION)
    status, complaints, index, page = build(
        "# On $a$\n\nBy {eq}`eq-c` the {term}`ELBO`, $\\ell$, $b$ and [$a$](#symbol-a). "
        "Again $\\ell$.\n\n$$\ne = f\n$$ (eq-e)\n\nBy {eq}`eq-e`.\n"
    )
    assert (status, complaints) == (0, "")
    tips = {tip["data-for"]: tip for tip in page.select("template#tips > div")}
    assert set(tips) == {
        f"index.html#{anchor}"
        for anchor in ("equation-eq-c", "term-ELBO", "symbol-ell", "symbol-a")
    }
    assert tips["index.html#equation-eq-c"].select(".katex-display .katex-mathml")
    shown = {anchor: "".join(tip.find_all(string=True)).strip() for anchor, tip in tips.items()}
    number = index.select_one("#equation-eq-c .eqno").contents[0]
    assert shown["index.html#equation-eq-c"].split()[0].startswith(number)
    assert shown["index.html#term-ELBO"] == "ELBOthe bound"
    assert "log-variance" in shown["index.html#symbol-ell"]
    assert not page.select("template a, template [id]")
    symbols = [link["href"] for link in page.select("a.symbol")]
    assert symbols == ["index.html#symbol-ell"]  # once, and neither in a title nor in a link
    assert not index.select("template#tips, a.symbol")


GLOSSARY = """# Book

Here the posterior is not linked.

```{toctree}
chapter
```

```{glossary}
posterior collapse
  The code says nothing. Nobody notices. → {doc}`chapter`

posterior
  What is known afterwards.

EM
expectation maximisation
  An old way.

Jensen's inequality
  About averages.

prior
latent variable
code
  What comes before.
```
"""
PROSE = """# EM

## On posterior collapse

```{note}
In a box: EM.
```

| EM |
|:--|
| posterior |

`EM`, [EM](https://example.org), $EM$, them, EMs-like, non-EM and EMotions: the prior of the codes.

- Posterior
  collapse. By Jensen's inequality, *posteriors* differ, and the posterior's mean.

> EM

Expectation maximisation is EM. A latent variable.
"""


def test_words_of_the_glossary_are_links_where_a_page_first_uses_them(build, monkeypatch):
    monkeypatch.setattr(f"{__name__}.INDEX", GLOSSARY)
    status, complaints, index, page = build(PROSE)
    assert (status, complaints) == (0, "")
    links = {" ".join(link.get_text().split()): link for link in page.select("a.word")}
    assert {text: link["href"] for text, link in links.items()} == {
        "Posterior collapse": "index.html#term-posterior-collapse",
        "Jensen’s inequality": "index.html#term-Jensen-s-inequality",
        "posteriors": "index.html#term-posterior",
        "Expectation maximisation": "index.html#term-EM",
        "latent variable": "index.html#term-prior",
    }
    assert len(page.select("a.word")) == 5
    assert all(link.find_parent(["p", "li"]) for link in links.values())
    assert not index.select("a.word")
    tip = page.select_one("template [data-for='index.html#term-posterior-collapse']")
    shown = "".join(tip.find_all(string=True))
    assert "The code says nothing. Nobody notices." in shown
    # A name of several shows what stands under all of them.
    tip = page.select_one("template [data-for='index.html#term-EM']")
    assert "An old way." in "".join(tip.find_all(string=True))


def test_the_index_names_the_pages_that_use_a_word(build, monkeypatch, tmp_path):
    monkeypatch.setattr(f"{__name__}.INDEX", GLOSSARY)
    build(PROSE)
    html = (tmp_path / "out" / "genindex.html").read_text(encoding="utf8")
    entries = {}
    for entry in BeautifulSoup(html, "html.parser").select(".indextable td > ul > li"):
        here, *pages = entry.find_all("a")
        entries[here.get_text()] = here["href"], [(a.get_text(), a["href"]) for a in pages]
    assert entries["Jensen's inequality"] == (
        "index.html#term-Jensen-s-inequality",
        [("EM", "chapter.html#uses-term-Jensen-s-inequality")],
    )
    assert entries["EM"] == ("index.html#term-EM", [("EM", "chapter.html#uses-term-EM")])
    assert entries["code"] == ("index.html#term-code", [])
    assert len(entries) == 8
