"""Questions with answers that open: what is written for them, and what is refused."""
# ruff: noqa: F811 (a test takes a fixture under the name by which it was imported)

import pytest
from test_book_extensions import NOTATION, build  # noqa: F401  (a fixture)

QUESTION = """# A

```{quiz} Is $\\ell$ a *log*-variance, and $a$ a logit?
- [ ] No, $\\ell^2$ is.

  Then *nothing* would follow from $a$.
- [x] Yes.

  | why | so |
  |:--|:--|
  | $b$ | that |
- [ ] $\\ell$ is a variance.

  Its logarithm is. See {doc}`index`.
```

~~~{quiz} Another one, with `code`?
- [x] Yes.

  Two.
- [ ] No.

  Two.
~~~
"""


@pytest.fixture
def page(build):
    status, complaints, _, page = build(QUESTION)
    assert (status, complaints) == (0, "")
    return page


def test_a_question_names_its_group(page):
    first, second = page.select(".quiz[role=group]")
    asked = first.select_one(".quiz-question")
    assert asked["id"] == first["aria-labelledby"] and asked.em.get_text() == "log"
    assert len(asked.select(".math > .katex")) == 2
    assert second.select_one(".quiz-question").get_text() == "Another one, with code?"


def test_answers_of_one_question_close_each_other_and_no_others(page):
    groups = [
        {answer["name"] for answer in asked.select("details")} for asked in page.select(".quiz")
    ]
    assert [len(names) for names in groups] == [1, 1] and groups[0] != groups[1]
    assert not page.select("details[open]")


def test_each_answer_opens_to_a_sign_a_word_and_a_reason(page):
    answers = page.select(".quiz")[0].select("details")
    replies = [answer.select_one(".quiz-reply") for answer in answers]
    verdicts = [reply.find("strong").get_text() for reply in replies]
    assert verdicts == ["✗ Not this one.", "✓ Right.", "✗ Not this one."]
    assert ["right" in answer["class"] for answer in answers] == [False, True, False]
    assert answers[0].summary.get_text().startswith("No, ")
    assert answers[0].summary.select(".math > .katex")
    assert replies[0].p.get_text().startswith("✗ Not this one. Then nothing would follow")
    assert replies[1].select("table .katex")
    assert replies[2].a["href"] == "index.html"
    assert "[" not in page.select_one(".quiz").get_text()


def test_a_formula_in_an_answer_is_no_link(build, monkeypatch):
    monkeypatch.setattr("test_book_extensions.INDEX", NOTATION)
    status, complaints, _, page = build(
        "# A\n\n```{quiz} So?\n- [x] $\\ell$\n\n  $a$\n- [ ] No\n\n  No.\n```\n"
    )
    assert (status, complaints) == (0, "")
    assert not page.select("summary a")
    assert page.select_one(".quiz-reply a.symbol")["href"] == "index.html#symbol-a"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("- [ ] 3\n\n  Why.\n- [ ] 4\n\n  Why.", "exactly one answer is right, marked [x]; here 0"),
        ("- [x] 3\n\n  Why.\n- [x] 4\n\n  Why.", "exactly one answer is right, marked [x]; here 2"),
        ("- [x] 3\n\n  Why.", "at least two answers"),
        ("- [x] 3\n\n  Why.\n- [ ] 4", "the answer '4' needs a second paragraph: why"),
        ("- [x] 3\n\n  Why.\n- 4 or 5\n\n  Why.", "begins with [ ] or [x], and not with '4 or'"),
        ("Four.", "one list, an answer in each item"),
        ("1. [x] 3\n\n   Why.\n2. [ ] 4\n\n   Why.", "one list, an answer in each item"),
    ],
)
def test_what_is_amiss_is_said_and_fails_the_build(build, body, said):
    status, complaints, *_ = build(f"# A\n\n```{{quiz}} What?\n{body}\n```\n")
    assert status == 1 and said in complaints
