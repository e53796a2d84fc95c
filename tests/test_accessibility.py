"""The built book under axe-core: no fault that it calls serious or critical, in either theme."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from test_browser import HTML, THEMES, WIDTHS, planted, turn, visit
from test_browser import PAGES as BOOK_PAGES

pytestmark = pytest.mark.built

PAGES = [*BOOK_PAGES, "search"]
SEVERE = ("serious", "critical")

# Faults of the theme that stay: the rule, the element as a CSS selector, the reason.
KNOWN = []

# axe-core takes a millisecond or two for each element with text, and most of them are tokens of code
# and symbols of formulas, which KaTeX and Pygments write in the same way everywhere. So of all that
# look alike in both themes one is left to be seen. (Of a single letter axe-core finds no fault.)
# An element's looks are what its contrast depends on: its text, and what lies behind it.
LOOKS = """() => {
  const grounds = new Map([[null, ""]]);
  const ground = e => {
    if (!grounds.has(e)) {
      const { backgroundColor: colour, backgroundImage: image, opacity } = getComputedStyle(e);
      const clear = colour === "rgba(0, 0, 0, 0)" && image === "none" && opacity === "1";
      grounds.set(e, ground(e.parentElement) + (clear ? "" : `${colour} ${image} ${opacity}; `));
    }
    return grounds.get(e);
  };
  const ownText = e => [...e.childNodes].map(n => n.nodeType === 3 ? n.data : "").join("").trim();
  window.looks ??= new Map();
  for (const e of document.querySelectorAll(".highlight pre, .highlight pre *, .katex-html *")) {
    if (ownText(e).length < 2) continue;
    const { color, fontSize, fontWeight } = getComputedStyle(e);
    looks.set(e, `${looks.get(e) ?? ""} ${color} ${fontSize} ${fontWeight} on ${ground(e)}`);
  }
}"""
ONE_OF_EACH_LOOK = """() => {
  const kept = new Set(new Map([...looks].map(([e, look]) => [look, e])).values());
  window.repeated = [];
  for (const block of document.querySelectorAll(".highlight pre, .katex")) {
    const all = [block, ...block.querySelectorAll("*")];
    if (!all.some(e => kept.has(e))) {
      block.textContent = "x";
      repeated.push(block);
    } else for (const e of all)
      if (!kept.has(e)) for (const n of e.childNodes) if (n.nodeType === 3) n.data = "";
  }
}"""
CLEAR_THE_REST = "() => repeated.forEach(block => block.replaceChildren())"
# What may scroll: all that the rule for it can find something about, and a few elements of thousands.
MARK_SCROLLERS = """() => {
  for (const e of document.querySelectorAll("*"))
    e.toggleAttribute("data-scrolls", /auto|scroll/.test(getComputedStyle(e).overflow)
      && (e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight));
  return document.querySelectorAll("[data-scrolls]").length;
}"""
STILL = "* { transition: none !important; }"
# Tab stops follow a change of size in the next frame; the theme's own 300 ms later.
AFTER_A_FRAME = "() => new Promise(done => setTimeout(() => requestAnimationFrame(done), 350))"
COLOURS, LAYOUT = "color-contrast", "scrollable-region-focusable"
OTHER_RULES = {rule: {"enabled": False} for rule in (COLOURS, LAYOUT)}
IS_KNOWN = """([target, selectors]) => {
  const e = document.querySelector(target);
  return e !== null && selectors.some(selector => e.matches(selector));
}"""


@pytest.fixture(scope="module")
def window(browser):
    page = browser.new_page(offline=True)
    page.add_init_script(Axe().axe_script)
    page.complaints, page.requests = [], []  # visit empties them
    yield page
    page.close()


def faults_of(window, within=":root", **options):
    options["resultTypes"] = ["violations"]
    found = window.evaluate("arguments => axe.run(...arguments)", [within, options])
    faults = []
    for violation in found["violations"]:
        selectors = [selector for rule, selector, _ in KNOWN if rule == violation["id"]]
        for node in violation["nodes"]:
            target = node["target"][-1]
            if node["impact"] in SEVERE and not window.evaluate(IS_KNOWN, [target, selectors]):
                why = " ".join(node["failureSummary"].split())
                faults.append(
                    f"{violation['id']} ({node['impact']}): {node['html'][:200]}\n  {why}"
                )
    return faults


def resize(window, width):
    window.set_viewport_size({"width": width, "height": 900})
    window.evaluate(AFTER_A_FRAME)


def faults_in(window, path):
    """With all folds open. Themes differ in their colours only, widths in the layout only."""
    faults = {}
    window.emulate_media(color_scheme="light")
    visit(window, path)
    for width in WIDTHS:
        resize(window, width)
        some = window.evaluate(MARK_SCROLLERS)
        found = faults_of(window, within="[data-scrolls]", runOnly=[LAYOUT]) if some else []
        faults[f"{width} pixels"] = found
    window.add_style_tag(content=STILL)
    for theme in THEMES:
        turn(window, theme)
        window.evaluate(LOOKS)
    window.evaluate(ONE_OF_EACH_LOOK)
    turn(window, "light")
    faults["other"] = faults_of(window, rules=OTHER_RULES)
    window.evaluate(CLEAR_THE_REST)
    resize(window, WIDTHS[0])
    for theme in THEMES:
        turn(window, theme)
        faults[theme] = faults_of(window, runOnly=[COLOURS])
    return [f"{where}: {fault}" for where, found in faults.items() for fault in found]


def test_what_is_alike_on_every_page(built, window):
    """Both sidebars, which only a wide window shows, and the insides of formulas and code."""
    window.emulate_media(color_scheme="light")
    visit(window, HTML / "book" / "full_covariance.html")
    resize(window, WIDTHS[0])
    assert faults_of(window, rules=OTHER_RULES) == []


@pytest.mark.parametrize("page", PAGES)
def test_page(built, window, page):
    faults = faults_in(window, HTML / f"{page}.html")
    assert not faults, "\n".join(faults)


CODE = '<div class="highlight"><pre><span class="{}">word</span></pre></div>'


@pytest.mark.parametrize(
    "fault, said",
    [
        ('<p style="color: #999">pale</p>', "light: color-contrast"),
        ('<p style="color: #555">dark on dark</p>', "dark: color-contrast"),
        ("<style>.pale {color: #aaa}</style>" + CODE.format("pale"), "light: color-contrast"),
        ("<style>html[data-theme=dark] .dim {color: #444}</style>" + CODE.format("") +
         CODE.format("dim"), "dark: color-contrast"),
        ('<img src="../_static/page.png">', "other: image-alt"),
        ("<button></button>", "other: button-name"),
        ('<input type="range">', "other: label"),
        ('<div role="list"><p>no item</p></div>', "other: aria-required-children"),
        (f"<div style='overflow: auto'><span style='white-space: nowrap'>{'x' * 60}</span></div>",
         "390 pixels: scrollable-region-focusable"),
    ],
)  # fmt: skip
def test_fault_is_caught(built, window, fault, said):
    with planted(fault) as faulty:
        faults = faults_in(window, faulty)
    assert len(faults) == 1 and faults[0].startswith(said), faults


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
