"""The folds of the built book, as a reader's hand finds them: closed, opened by what leads inside."""

import pytest
from test_browser import HTML

pytestmark = pytest.mark.built

CHAPTER = HTML / "book" / "elbo.html"
LABEL = "eq-elbo-gap"
OPEN = f"document.getElementById('proof-{LABEL}').closest('details').open"
ALL_OPEN = "[...document.querySelectorAll('details.proof')].map(fold => fold.open)"


@pytest.fixture
def page(browser):
    """A page that no other test has opened anything on."""
    page = browser.new_page(offline=True, viewport={"width": 1280, "height": 1000})
    yield page
    page.close()


def go(page, address):
    page.goto(address)
    page.wait_for_function("document.readyState === 'complete'")


def test_the_line_says_the_printed_number(built, page):
    go(page, CHAPTER.as_uri())
    lines = page.locator("details.proof:has(.proof-body[id]) > summary").all_inner_texts()
    numbers = page.locator("div.math:has(.proof-tick) > .eqno").all_inner_texts()
    assert len(lines) == len(numbers) > 5
    for line, number in zip(lines, numbers, strict=True):
        assert f" {number.split(')')[0]}) " in line


def test_keyboard_opens_and_closes_a_fold(built, page):
    go(page, CHAPTER.as_uri())
    page.locator("details.proof > summary").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(ALL_OPEN)[0]
    page.keyboard.press("Space")
    assert not page.evaluate(ALL_OPEN)[0]


def test_the_tick_and_an_address_lead_inside(built, page):
    go(page, CHAPTER.as_uri())
    page.click(f"#equation-{LABEL} .proof-tick")
    page.wait_for_function(OPEN)
    assert sum(page.evaluate(ALL_OPEN)) == 1
    go(page, "about:blank")
    go(page, f"{CHAPTER.as_uri()}#proof-{LABEL}")
    page.wait_for_function(OPEN)


def test_a_search_hit_inside_is_shown(built, page):
    go(page, f"{CHAPTER.as_uri()}?highlight=quadrature")
    page.wait_for_selector("details.proof[open] .highlighted")


def test_one_switch_opens_and_closes_all(built, page):
    go(page, CHAPTER.as_uri())
    switch = page.get_by_role("button", name="Show all checks")
    switch.click()
    assert all(page.evaluate(ALL_OPEN))
    page.get_by_role("button", name="Hide all checks").click()
    assert not any(page.evaluate(ALL_OPEN))


def test_print_follows_the_switch(built, page):
    go(page, CHAPTER.as_uri())
    page.emulate_media(media="print")
    body = page.locator("details.proof .proof-body").first
    assert not body.is_visible()
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Show all checks").click()
    page.emulate_media(media="print")
    assert body.is_visible()


def test_without_scripts_every_fold_still_opens(built, browser):
    context = browser.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    page.goto(CHAPTER.as_uri())
    body = page.locator("details.proof .proof-body").first
    assert not body.is_visible() and not page.locator(".proof-switch").is_visible()
    page.locator("details.proof > summary").first.click()
    assert body.is_visible()
    context.close()
