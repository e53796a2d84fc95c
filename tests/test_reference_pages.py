"""The built glossary, index and formula sheet: links at first use, tips, and a sheet on two sides."""
# ruff: noqa: F811 (a test takes a fixture under the name by which it was imported)

import re

import pytest
from bs4 import BeautifulSoup
from test_browser import HTML, PAGES, TIP, visit, window  # noqa: F401  (window is a fixture)

pytestmark = pytest.mark.built

# So that no page becomes a forest of dotted lines.
MAX_WORDS = 20


@pytest.mark.parametrize("page", PAGES)
def test_a_page_links_few_words_and_each_once(built, page):
    html = (HTML / f"{page}.html").read_text(encoding="utf8")
    soup = BeautifulSoup(html, "html.parser")
    words = [link["href"] for link in soup.select("article a.word")]
    assert len(words) == len(set(words)) <= MAX_WORDS
    tips = {
        tip["data-for"]: "".join(tip.find_all(string=True)) for tip in soup.select("#tips > div")
    }
    assert all("→" in tips[word] for word in words)  # the whole entry, with its place
    assert not words or page != "book/glossary"


def test_words_have_tips_and_stand_in_the_index(built, window):
    visit(window, HTML / "book" / "elbo.html")
    link = window.locator("article a.word", has_text="posterior collapse")
    link.hover()
    window.wait_for_selector(TIP)
    assert "The encoder returns the prior for every image" in window.inner_text("#tip")
    window.goto((HTML / "genindex.html").as_uri())
    window.click("li:has(> a[href$='#term-posterior-collapse']) li a[href^='book/elbo.html']")
    assert window.locator(":target").inner_text() == "posterior collapse"
    assert window.locator("nav.bd-links a[href$='genindex.html']").count() == 1


def test_the_sheet_is_printed_on_two_sides(built, window):
    visit(window, HTML / "book" / "formulas.html")
    sheet = window.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", sheet)) == 2
    assert re.search(rb"/MediaBox\s*\[0 0 59[45][.\d]* 84[12]", sheet)  # A4
    window.emulate_media(media="print")
    assert window.locator("#formula-sheet > h1").is_visible()
    assert not window.locator(".print-sheet").is_visible()
    window.emulate_media(media="null")
