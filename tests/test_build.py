"""The built HTML, read as text: links resolve, nothing loads from the network, nothing is raw."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup, NavigableString, Tag

from equation_checks.book import Book

pytestmark = pytest.mark.built

BOOK = Book(Path(__file__).resolve().parent.parent)
HTML, PAGES = BOOK.html, BOOK.pages()

EXTERNAL = re.compile(r"^\s*(https?:)?//", re.IGNORECASE)
# Attributes by which a page loads something when it is opened.
LOADS = {
    "script": ["src"],
    "link": ["href"],
    "img": ["src", "srcset"],
    "source": ["src", "srcset"],
    "iframe": ["src"],
    "video": ["src", "poster"],
    "audio": ["src"],
    "embed": ["src"],
    "object": ["data"],
}
RAW = {
    "TeX": re.compile(r"\$\$|\\begin\{|\\end\{|\\(?:frac|mathbb|mathcal|log|sigma|mu|theta|phi)\b"),
    "a role": re.compile(r"\{[a-z:]+\}`"),
    "a fence": re.compile(r"```|:::"),
}
NO_PROSE = "pre, code, script, style, .math"


@cache
def soup_of(path):
    return BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")


@cache
def anchors_of(path):
    soup = soup_of(path)
    return {tag["id"] for tag in soup.find_all(id=True)} | {
        tag["name"] for tag in soup.find_all("a", attrs={"name": True})
    }


def broken_links(path, root):
    problems = []
    for tag in soup_of(path).find_all("a", href=True):
        url = urlsplit(tag["href"])
        if url.scheme or url.netloc:
            continue
        target = (path.parent / unquote(url.path)).resolve() if url.path else path
        if not target.is_file() or root not in target.parents:
            problems.append(f"{tag['href']} leads nowhere")
        elif url.fragment and unquote(url.fragment) not in anchors_of(target):
            problems.append(f"{tag['href']}: the page has no such anchor")
    return problems


def external_loads(path):
    return [
        f"<{name} {attribute}={tag[attribute]}>"
        for name, attributes in LOADS.items()
        for attribute in attributes
        for tag in soup_of(path).find_all(name, attrs={attribute: EXTERNAL})
    ]


def missing_files(path):
    """Scripts, pictures and style sheets that the page asks for and that were not built."""
    return [
        f"{tag[attribute]} was not built"
        for name, attribute in [("script", "src"), ("img", "src"), ("link", "href")]
        for tag in soup_of(path).find_all(name, attrs={attribute: True})
        if not (url := urlsplit(tag[attribute])).scheme
        and url.path
        and not url.netloc
        and not (path.parent / unquote(url.path)).is_file()
    ]


def texts_of(tag):
    """What a reader reads in it as prose: no code, no formulas, no comments."""
    for child in tag.children:
        if type(child) is NavigableString:
            yield child
        elif isinstance(child, Tag) and not child.css.match(NO_PROSE):
            yield from texts_of(child)


def raw_markup(path):
    soup = soup_of(path)
    text = "".join(texts_of(soup.body or soup))
    return [
        f"{what} is left raw: ...{text[max(0, found.start() - 20) : found.end() + 30]!r}"
        for what, pattern in RAW.items()
        for found in pattern.finditer(text)
    ]


def unset_formulas(path):
    """Formulas that KaTeX did not set, or set without the MathML that a screen reader reads."""
    return [
        f"{tag.get_text()[:80]!r} is not set"
        for tag in soup_of(path).select(".math")
        if len(tag.select(".katex")) != 1 or not tag.select(".katex-mathml math")
    ]


def images_without_alt(path):
    return [
        f"{tag.get('src')} has no alt text"
        for tag in soup_of(path).select("article img, .bd-article img")
        if not tag.get("alt", "").strip() or tag["alt"].startswith(("../_images", "_images"))
    ]


RULES = [
    broken_links,
    external_loads,
    missing_files,
    raw_markup,
    unset_formulas,
    images_without_alt,
]


def test_every_page_of_the_toc_is_built(built):
    assert [page for page in PAGES if not (HTML / f"{page}.html").is_file()] == []


def test_index_leads_to_the_first_page(built):
    refresh = soup_of(HTML / "index.html").find("meta", attrs={"http-equiv": "Refresh"})
    target = refresh["content"].split("url=")[1]
    assert target == f"{PAGES[0]}.html"
    assert (HTML / target).is_file()


@pytest.mark.parametrize("page", ["search", *PAGES])
def test_page(built, page):
    path = HTML / f"{page}.html"
    problems = []
    for rule in RULES:
        problems += rule(path, HTML) if rule is broken_links else rule(path)
    assert not problems, "\n".join(problems)


def test_style_sheets_load_nothing_from_the_network(built):
    pattern = re.compile(r"@import\s+[\"']?https?:|url\(\s*[\"']?(?:https?:)?//[^)]*\)")
    found = {
        str(path.relative_to(HTML)): pattern.findall(path.read_text(encoding="utf8"))
        for path in HTML.rglob("*.css")
    }
    assert {path: urls for path, urls in found.items() if urls} == {}


GOOD = '<body><article id="a"><a href="#a">x</a><a href="b.html#b">x</a></article></body>'


@pytest.mark.parametrize(
    "rule, html",
    [
        (broken_links, '<a href="gone.html">x</a>'),
        (broken_links, '<a href="#gone">x</a>'),
        (broken_links, '<a href="b.html#gone">x</a>'),
        (broken_links, '<a href="../outside.html">x</a>'),
        (external_loads, '<script src="https://a.org/x.js"></script>'),
        (external_loads, '<link rel="stylesheet" href="//a.org/x.css">'),
        (external_loads, '<iframe src="http://a.org"></iframe>'),
        (external_loads, '<img alt="x" src="https://a.org/x.png">'),
        (missing_files, '<img alt="x" src="gone.png">'),
        (raw_markup, "<p>$$ a $$</p>"),
        (raw_markup, "<p>see \\frac{a}{b}</p>"),
        (raw_markup, "<p>see {eq}`eq-a`</p>"),
        (unset_formulas, '<span class="math"><span class="katex-error">(</span></span>'),
        (images_without_alt, '<article><img src="b.html"></article>'),
    ],
)
def test_rule_catches(tmp_path, rule, html):
    (tmp_path / "outside.html").write_text("outside")
    root = tmp_path / "html"
    root.mkdir()
    (root / "b.html").write_text('<p id="b">x</p>')
    good, bad = root / "good.html", root / "bad.html"
    good.write_text(GOOD)
    bad.write_text(GOOD.replace("</body>", html + "</body>"))
    arguments = (root,) if rule is broken_links else ()
    assert rule(good, *arguments) == []
    assert rule(bad, *arguments)
