"""Questions under the hand of a reader, on a page of the built book into which some are put."""
# ruff: noqa: F811 (a test takes a fixture under the name by which it was imported)

import pytest
from test_accessibility import faults_in, window  # noqa: F401  (a fixture)
from test_book_extensions import build  # noqa: F401  (a fixture)
from test_browser import OVERFLOW, planted
from test_check_yourself import QUESTION

pytestmark = pytest.mark.built

LONG = "an answer that goes on and on, with $\\mathbb{E}_q[\\log p(x \\mid z)]$ in it, " * 4
OPEN = "all => all.map(answer => answer.open)"


@pytest.fixture
def questions(built, build):
    *_, page = build(QUESTION.replace("[x] Yes.", f"[x] Yes, {LONG}", 1))
    with planted(
        "".join(map(str, page.select(".quiz"))).replace('href="index', 'href="intro')
    ) as it:
        yield it


@pytest.fixture
def page(questions, browser):
    """As a reader finds it, with no script at all."""
    context = browser.new_context(
        offline=True, java_script_enabled=False, viewport={"width": 390, "height": 800}
    )
    page = context.new_page()
    page.goto(questions.as_uri())
    yield page
    context.close()


def test_opening_an_answer_closes_the_other(page):
    answers, replies = page.locator(".quiz summary"), page.locator(".quiz-reply")
    assert answers.count() == replies.count() == 5
    answers.nth(0).click()
    answers.nth(4).click()
    assert [reply.is_visible() for reply in replies.all()] == [True, False, False, False, True]
    answers.nth(1).click()
    assert [reply.is_visible() for reply in replies.all()] == [False, True, False, False, True]
    assert replies.nth(1).inner_text().startswith("✓ Right.")
    answers.nth(1).click()
    assert not replies.nth(1).is_visible()


def test_the_keyboard_opens_answers_and_fingers_hit_them(page):
    page.locator(".quiz summary").nth(0).focus()
    page.keyboard.press("Enter")
    assert page.locator(".quiz-reply").nth(0).is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator(".quiz-reply").nth(1).is_visible()
    assert not page.locator(".quiz-reply").nth(0).is_visible()
    assert all(s.bounding_box()["height"] >= 40 for s in page.locator(".quiz summary").all())


def test_print_shows_no_reply(page):
    page.locator(".quiz summary").nth(1).click()
    page.emulate_media(media="print")
    assert page.locator(".quiz summary").nth(1).is_visible()
    assert not any(reply.is_visible() for reply in page.locator(".quiz-reply").all())


def test_nothing_sticks_out_and_axe_has_no_complaint(questions, window):
    faults = faults_in(window, questions)  # with all answers open
    assert not faults, "\n".join(faults)
    for width in (1280, 390):
        window.set_viewport_size({"width": width, "height": 900})
        assert not window.evaluate(OVERFLOW)
    assert window.locator(".quiz-reply:visible").count() == 5
    groups = window.locator(".quiz")
    name = groups.nth(1).get_attribute("aria-labelledby")
    assert window.locator(f"#{name}").inner_text() == "Another one, with code?"
