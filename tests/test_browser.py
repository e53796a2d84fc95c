"""The built book in Chromium, with no network: mathematics, console, requests, overflow."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from equation_checks.book import Book
from vae_teach.exact_models import LampStrip

pytestmark = pytest.mark.built

BOOK = Book(Path(__file__).resolve().parent.parent)
HTML, PAGES = BOOK.html, BOOK.pages()
WIDTHS = (1280, 390)
THEMES = ("light", "dark")

UNFOLD = """() => {
  // Without a name, which would let only one answer of a question stand open.
  document.querySelectorAll("details").forEach(d => { d.removeAttribute("name"); d.open = true; });
  document.querySelectorAll(".toggle-hidden").forEach(e => e.classList.remove("toggle-hidden"));
}"""
# Folds and code of the proof layer that stand open before anybody opened one.
STRAY = """[...document.querySelectorAll("details.proof, .tag_check")].filter(
  e => !e.closest("details.proof") || e.open || e.checkVisibility() && e.matches(".tag_check")
).length"""
# How far a reader scrolls, in screens of 1,000 pixels, questions and exercises left out.
SCREENS = """(() => {
  const article = document.querySelector(".bd-article").getBoundingClientRect();
  const end = document.querySelector("#check-yourself, #exercises");
  return ((end ? end.getBoundingClientRect().top : article.bottom) - article.top) / 1000;
})()"""
# Set when the book was built, so there from the first paint on: see book/_ext/prerendered_math.py.
FIRST_FORMULA = """(function look() {
  if ([...document.querySelectorAll(".katex")].some(e => e.getClientRects().length))
    window.firstFormula = performance.now();
  else requestAnimationFrame(look);
})()"""
MATHEMATICS = """() => {
  const formulas = [...document.querySelectorAll(".math")];
  const text = e => e.textContent.slice(0, 80);
  const hidden = e => getComputedStyle(e).position === "absolute";
  return {
    errors: [...document.querySelectorAll(".katex-error")].map(text),
    unrendered: formulas.filter(e => e.querySelectorAll(".katex").length !== 1).map(text),
    silent: formulas.filter(e => !e.querySelector(".katex-mathml math")).map(text),
    unstyled: [...document.querySelectorAll(".katex-mathml")].filter(e => !hidden(e)).map(text),
    stray: document.querySelectorAll(".katex").length - formulas.length,
  };
}"""
RAW_TEX = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest("pre, code, script, style, noscript, annotation")) continue;
    if (/\\$\\$|\\\\[(\\[]|\\\\[a-zA-Z]{2,}|\\$[^$\\s][^$\\n]{0,40}\\$/.test(node.data))
      found.push(node.data.trim().slice(0, 80));
  }
  return found;
}"""
# What sticks out of the window, unless something around it scrolls. (Hidden overflow is cut off.)
OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  const found = [];
  if (document.documentElement.scrollWidth > width)
    found.push(`the page is ${document.documentElement.scrollWidth} pixels wide`);
  for (const e of document.querySelectorAll(".bd-article *")) {
    const box = e.getBoundingClientRect();
    if (box.width === 0 || box.right <= width + 1 || e.closest(".katex *")) continue;
    let around = e;
    while (around && !["auto", "scroll"].includes(getComputedStyle(around).overflowX))
      around = around.parentElement.closest(".bd-article *");
    if (!around) found.push(`<${e.tagName.toLowerCase()} class="${e.className}"> ends at `
      + `${Math.round(box.right)}: ${e.textContent.trim().slice(0, 40)}`);
  }
  return found.slice(0, 5);
}"""


@pytest.fixture(scope="module")
def window(browser):
    """One page for all tests, offline, with what it asked for and complained about."""
    context = browser.new_context(offline=True)
    context.add_init_script(FIRST_FORMULA)
    page = context.new_page()
    page.complaints, page.requests = [], []
    page.on(
        "console",
        lambda m: page.complaints.append(m.text) if m.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on(
        "request",
        lambda r: (
            None if r.url.startswith(("file:", "data:", "blob:")) else page.requests.append(r.url)
        ),
    )
    yield page
    context.close()


def go(window, path):
    window.complaints.clear()
    window.requests.clear()
    window.goto(path.as_uri())
    window.evaluate("document.fonts.ready.then(() => null)")


def visit(window, path):
    go(window, path)
    window.evaluate(UNFOLD)


def turn(window, theme):
    window.emulate_media(color_scheme=theme)
    window.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")


def problems_of(window):
    """Of a page that stands as it was loaded; afterwards its folds are open."""
    stray = window.evaluate(STRAY)
    problems = [f"{stray} parts of the proof layer stand open"] if stray else []
    window.evaluate(UNFOLD)
    mathematics = window.evaluate(MATHEMATICS)
    problems += [f"TeX error: {error}" for error in mathematics["errors"]]
    problems += [f"not rendered: {text}" for text in mathematics["unrendered"]]
    problems += [f"no MathML: {text}" for text in mathematics["silent"]]
    problems += [f"KaTeX without its styles: {text}" for text in mathematics["unstyled"]]
    if mathematics["stray"]:
        problems.append(f"{mathematics['stray']} more formulas than .math elements")
    problems += [f"raw TeX: {text}" for text in window.evaluate(RAW_TEX)]
    # There and back again: to lay a page out for another width takes longest.
    for theme, widths in zip(THEMES, (WIDTHS, WIDTHS[::-1]), strict=True):
        turn(window, theme)
        for width in widths:
            window.set_viewport_size({"width": width, "height": 900})
            problems += [f"{theme}, {width} pixels: {x}" for x in window.evaluate(OVERFLOW)]
    problems += [f"console: {text}" for text in window.complaints]
    problems += [f"asked the network for {url}" for url in window.requests]
    return problems


@pytest.fixture
def fresh(window):
    """The window, wide and light whatever a test before it did."""
    window.set_viewport_size({"width": WIDTHS[0], "height": 900})
    window.emulate_media(color_scheme="light")
    return window


@pytest.mark.parametrize("page", PAGES)
def test_page(built, fresh, record_property, page):
    go(fresh, HTML / f"{page}.html")
    record_property("first formula", fresh.evaluate("window.firstFormula"))
    record_property("screens", fresh.evaluate(SCREENS))
    problems = problems_of(fresh)
    assert not problems, "\n".join(problems)


def test_index_redirects(built, window):
    window.goto((HTML / "index.html").as_uri())
    window.wait_for_url(f"**/{PAGES[0]}.html")


def test_search_finds_a_word(built, window):
    window.goto((HTML / "search.html").as_uri() + "?q=likelihood")
    window.wait_for_selector("#search-results li a")


@contextmanager
def planted(fault):
    """A copy of a built page, beside it, with a fault at its end; one for each process."""
    page = HTML / f"{PAGES[0]}.html"
    html = page.read_text(encoding="utf8")
    faulty = page.with_name(f"_with_a_fault_{os.getpid()}.html")
    assert html.count("</article>") == 1
    try:
        faulty.write_text(html.replace("</article>", fault + "</article>"), encoding="utf8")
        yield faulty
    finally:
        faulty.unlink()


GONE = "<style>@font-face {font-family: KaTeX_Gone; src: url(gone.woff2)}</style>"


@pytest.mark.parametrize(
    "fault, said",
    [
        ('<div class="tag_check">a check</div>', "1 parts of the proof layer stand open"),
        ('<details class="proof" open>x</details>', "1 parts of the proof layer stand open"),
        ('<span class="math"><span class="katex-error">(</span></span>', "TeX error"),
        ('<span class="math">\\(never\\)</span>', "not rendered"),
        ('<span class="math"><span class="katex">x</span></span>', "no MathML"),
        ('<span class="katex">x</span>', "more formulas"),
        ('<span class="katex-mathml" style="position: static">x</span>', "without its styles"),
        ('<p style="font-family: KaTeX_Gone">x</p>' + GONE, "console: "),
        ("<p>left over: $$ x $$</p>", "raw TeX"),
        ("<p>left over: $x$</p>", "raw TeX"),
        ("<p>left over: \\alpha</p>", "raw TeX"),
        ('<div style="width: 500px">wide</div>', "390 pixels"),
        ('<div style="overflow: hidden"><p style="width: 2000px">cut</p></div>', "1280 pixels"),
        ("<script>console.error('complaint')</script>", "console: complaint"),
        ("<script>nosuchfunction()</script>", "nosuchfunction"),
        ('<img alt="" src="https://example.org/x.png">', "asked the network"),
    ],
)
def test_fault_is_caught(built, fresh, fault, said):
    with planted(fault) as faulty:
        go(fresh, faulty)
        problems = problems_of(fresh)
    assert [problem for problem in problems if said in problem], problems


def test_elbo_slider_computes_what_the_package_does(built, window):
    visit(window, HTML / "book" / "elbo.html")
    strip = LampStrip()
    for number, mu, sigma in ((0, 0.0, 1.0), (0, 2.1, 0.4), (24, 0.3, 0.2), (255, -1.0, 0.1)):
        image = strip.images()[number]
        q = (
            torch.tensor([mu], dtype=torch.float64),
            2 * torch.tensor([sigma], dtype=torch.float64).log(),
        )
        shown = window.evaluate("q => elboSlider.compute(...q)", [image.tolist(), mu, sigma])
        assert shown["logEvidence"] == pytest.approx(strip.log_evidence(image).item(), abs=1e-10)
        assert shown["elbo"] == pytest.approx(strip.elbo(image, *q).item(), abs=1e-10)
        assert shown["gap"] == pytest.approx(strip.kl_to_posterior(image, *q).item(), abs=1e-10)


def test_elbo_slider_follows_the_hand(built, window):
    visit(window, HTML / "book" / "elbo.html")
    sum_of = ".elbo-slider .sum"
    assert window.inner_text(sum_of).split() == (
        ["ELBO", "−5.69", "+", "KL(q", "to", "posterior)", "2.82", "=", "log", "p(x)", "−2.87"]
    )
    window.fill(".elbo-slider input[name=mu]", "2.2")
    window.fill(".elbo-slider input[name=sigma]", "0.4")
    on_a_peak = window.inner_text(sum_of)
    assert "ELBO −3.6" in on_a_peak and on_a_peak.endswith("log p(x) −2.87")
    window.click(".elbo-slider .lamps button:nth-child(8)")  # now the last lamp is lit
    assert not window.inner_text(sum_of).endswith("log p(x) −2.87")
    assert not window.complaints


FOREIGN = ".bd-article a[href*='.html#equation-']"
OWN = ".bd-article a.reference[href^='#equation-']"
TIP = "#tip:not([hidden])"


def test_tip_shows_an_equation_of_another_page(built, window):
    window.set_viewport_size({"width": WIDTHS[0], "height": 900})
    visit(window, HTML / "book" / "elbo.html")
    link = window.locator(FOREIGN).first
    link.hover()
    window.wait_for_selector(TIP)
    assert window.locator("#tip .eqno").inner_text() == link.inner_text()
    assert window.locator("#tip .katex-display").bounding_box()["height"] > 10
    assert link.get_attribute("aria-describedby") == "tip"
    assert not window.evaluate(MATHEMATICS)["unrendered"]
    window.keyboard.press("Escape")
    assert not window.locator(TIP).count() and link.get_attribute("aria-describedby") is None


def test_tip_follows_the_keyboard_and_knows_its_own_page(built, window):
    visit(window, HTML / "book" / "elbo.html")
    link = window.locator(OWN).first
    link.evaluate("""link => {
      const before = document.createElement("button");
      link.before(before);
      before.focus();
    }""")
    window.keyboard.press("Tab")
    assert window.locator(f"{TIP} .katex-display").count() == 1
    window.keyboard.press("Tab")
    assert not window.locator(f"{TIP} .eqno", has_text=link.inner_text()).count()


def test_tip_explains_a_symbol(built, window):
    visit(window, HTML / "book" / "elbo.html")
    window.locator(".bd-article a.symbol[href$='#symbol-encoder']").hover()
    window.wait_for_selector(f"{TIP} td")
    assert "approximate posterior" in window.inner_text("#tip")


def test_tip_stays_while_the_pointer_rests_on_it(built, window):
    visit(window, HTML / "book" / "elbo.html")
    window.locator(FOREIGN).first.hover()
    window.hover(TIP)
    window.wait_for_timeout(600)
    assert window.locator(TIP).count()
    window.mouse.move(2, 2)
    window.wait_for_selector(TIP, state="detached")


@pytest.mark.parametrize("theme", THEMES)
def test_first_tap_shows_and_second_follows(built, browser, theme):
    size = {"width": WIDTHS[1], "height": 800}
    context = browser.new_context(has_touch=True, viewport=size, color_scheme=theme)
    page = context.new_page()
    page.goto((HTML / "book" / "elbo.html").as_uri())
    link = page.locator(FOREIGN).first
    target = link.get_attribute("href")
    link.tap()
    box = page.locator(TIP).bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= WIDTHS[1]
    assert not page.evaluate(OVERFLOW)
    link.tap()
    page.wait_for_url(f"**/{target}")
    context.close()
