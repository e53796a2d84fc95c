"""The built book under axe-core: no fault that it calls serious or critical, in either theme."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from test_browser import HTML, THEMES, planted, visit
from test_browser import PAGES as BOOK_PAGES

pytestmark = pytest.mark.built

PAGES = [*BOOK_PAGES, "search", "genindex"]
SEVERE = ("serious", "critical")

# Faults of the theme that stay: the rule, the element as a CSS selector, the reason.
KNOWN = []

# axe-core takes about a millisecond for the contrast of an element with text. Most of them are tokens
# of code and symbols of formulas: in each block one of each colour is left to be seen. (Of a single
# letter axe-core judges nothing.)
ONE_OF_EACH_COLOUR = """() => {
  for (const block of document.querySelectorAll(".highlight pre, .katex-html")) {
    const seen = new Set(), repeated = [];
    for (const e of block.querySelectorAll("*")) {
      const length = e.childElementCount ? 0 : e.textContent.trim().length;
      if (!length) continue;
      const { color, backgroundColor } = getComputedStyle(e);
      if (length === 1 || seen.has(color + backgroundColor)) repeated.push(e);
      else seen.add(color + backgroundColor);
    }
    for (const e of repeated) e.style.visibility = "hidden";
  }
}"""
# Tab stops follow a change of size in the next frame; the theme's own 300 ms later.
AFTER_A_FRAME = "() => new Promise(done => setTimeout(() => requestAnimationFrame(done), 350))"
ALL_BUT_CONTRAST = {"rules": {"color-contrast": {"enabled": False}}}
# Thousands of elements that KaTeX and Pygments write in the same way everywhere: they are looked
# into on one page.
WITHOUT_INSIDES = """() => {
  for (const e of document.querySelectorAll(".katex, .highlight pre")) e.textContent = "x";
}"""
IS_KNOWN = """([target, selectors]) => {
  const e = document.querySelector(target);
  return e !== null && selectors.some(selector => e.matches(selector));
}"""


@pytest.fixture(scope="module")
def window(browser):
    page = browser.new_page(offline=True)
    page.complaints, page.requests = [], []  # visit empties them
    yield page
    page.close()


def faults_of(window, **options):
    window.evaluate(AFTER_A_FRAME)
    response = Axe().run(window, options={"resultTypes": ["violations"], **options}).response
    faults = []
    for violation in response["violations"]:
        selectors = [selector for rule, selector, _ in KNOWN if rule == violation["id"]]
        for node in violation["nodes"]:
            target = node["target"][-1]
            if node["impact"] in SEVERE and not window.evaluate(IS_KNOWN, [target, selectors]):
                why = " ".join(node["failureSummary"].split())
                faults.append(
                    f"{violation['id']} ({node['impact']}): {node['html'][:200]}\n  {why}"
                )
    return faults


def faults_in(window, path, theme):
    """With all folds open. Themes differ in their colours only, widths in the layout only."""
    window.emulate_media(color_scheme=theme)
    window.set_viewport_size({"width": 1280, "height": 900})
    visit(window, path)
    window.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")
    window.evaluate(ONE_OF_EACH_COLOUR)
    faults = faults_of(window, runOnly=["color-contrast", "scrollable-region-focusable"])
    if theme == "light":
        window.set_viewport_size({"width": 390, "height": 900})
        narrow = faults_of(window, runOnly=["scrollable-region-focusable"])
        window.evaluate(WITHOUT_INSIDES)
        narrow += faults_of(window, **ALL_BUT_CONTRAST)
        faults += [f"390 pixels: {fault}" for fault in dict.fromkeys(narrow) if fault not in faults]
    return faults


def test_what_is_alike_on_every_page(built, window):
    """Both sidebars, which only a wide window shows, and the insides of formulas and code."""
    window.set_viewport_size({"width": 1280, "height": 900})
    window.emulate_media(color_scheme="light")
    visit(window, HTML / "book" / "full_covariance.html")
    assert faults_of(window, **ALL_BUT_CONTRAST) == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("page", PAGES)
def test_page(built, window, page, theme):
    faults = faults_in(window, HTML / f"{page}.html", theme)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "fault, rule, theme",
    [
        ('<p style="color: #999; background: #fff">pale</p>', "color-contrast", "light"),
        ('<p style="color: #555">dark on dark</p>', "color-contrast", "dark"),
        ('<div class="highlight"><pre><span style="color: #aaa; background: #fff">xyz</span></pre></div>',
         "color-contrast", "light"),
        ('<img src="../_static/page.png">', "image-alt", "light"),
        ("<button></button>", "button-name", "light"),
        ('<input type="range">', "label", "light"),
        ('<div role="list"><p>no item</p></div>', "aria-required-children", "light"),
        (f"<div style='overflow: auto'><span style='white-space: nowrap'>{'x' * 60}</span></div>",
         "scrollable-region-focusable", "light"),
    ],
)  # fmt: skip
def test_fault_is_caught(built, window, fault, rule, theme):
    with planted(fault) as faulty:
        faults = faults_in(window, faulty, theme)
    assert len(faults) == 1 and rule in faults[0].split(" (")[0], faults


def test_code_that_begins_to_scroll_becomes_a_tab_stop(built, window):
    """As code in an opened fold does, which has less room there than the theme had measured."""
    visit(window, HTML / f"{PAGES[0]}.html")
    window.set_viewport_size({"width": 1280, "height": 900})
    window.wait_for_timeout(1500)  # until the theme has measured
    window.evaluate("document.querySelector('.bd-article pre').style.width = '100px'")
    tab_stop = "document.querySelector('.bd-article pre').tabIndex === 0"
    window.wait_for_function(tab_stop, timeout=5000)


def test_elbo_slider_names_its_controls(built, window):
    visit(window, HTML / "book" / "elbo.html")
    for name in ("mean of q", "standard deviation of q"):
        assert window.get_by_role("slider", name=name, exact=True).count() == 1
    lamp = window.get_by_role("button", name="lamp 3", pressed=False)
    lamp.click()
    assert window.get_by_role("button", name="lamp 3", pressed=True).count() == 1
