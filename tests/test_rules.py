"""The rules of hygiene: each accepts a good document, and finds the fault that is planted in it."""

import copy

import pytest

from equation_checks.book import comparison_counts
from equation_checks.execute import NOTEBOOK_METADATA
from equation_checks.rules import (
    MARKDOWN_RULES,
    NOTEBOOK_RULES,
    approx_comes_from_the_helper,
    checks_lie_in_folds,
    counts_run_from_one,
    displays_are_labelled,
    fences_are_closed,
    few_cells_ignored,
    floats_are_rounded,
    footnotes_are_defined,
    images_are_local,
    images_have_alt_text,
    no_addresses,
    no_error_or_stderr,
    no_machine_paths,
    no_svg,
    no_trailing_semicolon,
    numbers_not_verdicts,
    only_allowed_metadata,
    pages_state_no_equations,
    toc_is_complete,
)


def name_of(value):
    return value.__name__


def code(source, count, *outputs, **metadata):
    return {
        "cell_type": "code",
        "source": source,
        "execution_count": count,
        "metadata": metadata,
        "outputs": list(outputs),
    }


def stdout(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


PNG = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBORw0KGgo="}}
GOOD = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": NOTEBOOK_METADATA,
    "cells": [
        {"cell_type": "markdown", "source": "# Title\n\nSee https://a.org/home/x", "metadata": {}},
        code("print(0.000123456, 3.14159)", 1, stdout("0.000123456 3.14159\n")),
        code("plot()", 2, PNG, mystnb={"image": {"alt": "A line"}}, tags=["hide-input"]),
    ],
}


def set_in(path, value):
    """A mutation: set what lies at `path` in a notebook."""

    def mutate(notebook):
        *parents, last = path
        for key in parents:
            notebook = notebook[key]
        notebook[last] = value

    return mutate


FIRST, SECOND = ("cells", 1), ("cells", 2)
FIRST_OUTPUTS = (*FIRST, "outputs")


def output_of(kind, text):
    return [{"output_type": "display_data", "metadata": {}, "data": {kind: text}}]


@pytest.mark.parametrize("rule", NOTEBOOK_RULES, ids=name_of)
def test_rule_accepts_a_good_notebook(rule):
    assert rule(GOOD) == []


@pytest.mark.parametrize(
    "rule, mutate",
    [
        (counts_run_from_one, set_in((*SECOND, "execution_count"), 3)),
        (counts_run_from_one, set_in((*SECOND, "execution_count"), None)),
        (no_error_or_stderr, set_in((*FIRST_OUTPUTS, 0, "name"), "stderr")),
        (
            no_error_or_stderr,
            set_in(FIRST_OUTPUTS, [{"output_type": "error", "ename": "E", "evalue": ""}]),
        ),
        (no_trailing_semicolon, set_in((*SECOND, "source"), "plot();\n")),
        (no_svg, set_in(FIRST_OUTPUTS, output_of("image/svg+xml", "<svg/>"))),
        (no_svg, set_in(FIRST_OUTPUTS, output_of("text/html", "<p><svg></svg>"))),
        (only_allowed_metadata, set_in((*FIRST, "metadata"), {"execution": {"idle": "now"}})),
        (only_allowed_metadata, set_in((*FIRST, "metadata"), {"tags": ["hide-cel"]})),
        (only_allowed_metadata, set_in((*FIRST_OUTPUTS, 0, "metadata"), {"width": 3})),
        (only_allowed_metadata, set_in(("metadata",), {"widgets": {}})),
        (no_machine_paths, set_in((*FIRST, "source"), "open('/home/ada/x')")),
        (no_machine_paths, set_in(FIRST_OUTPUTS, [stdout("saved in /tmp/x\n")])),
        (no_machine_paths, set_in((*FIRST, "source"), r"open('C:\Users\ada')")),
        (images_have_alt_text, set_in((*SECOND, "metadata"), {"mystnb": {"figure": {}}})),
        (images_have_alt_text, set_in((*SECOND, "metadata"), {"mystnb": {"image": {"alt": " "}}})),
        (floats_are_rounded, set_in(FIRST_OUTPUTS, [stdout("0.12345678\n")])),
        (floats_are_rounded, set_in(FIRST_OUTPUTS, output_of("text/plain", "-1.00000001e-5"))),
        (numbers_not_verdicts, set_in(FIRST_OUTPUTS, [stdout("below 2 nats: True\n")])),
        (numbers_not_verdicts, set_in(FIRST_OUTPUTS, [stdout("False 3.1\n")])),
        (approx_comes_from_the_helper, set_in((*FIRST, "source"), "print('≈ 3')")),
        (approx_comes_from_the_helper, set_in((*FIRST, "source"), "print(f'≈ {x}')")),
        (checks_lie_in_folds, set_in(FIRST_OUTPUTS, [stdout("eq-a · proved · x = y · all x\n")])),
        (no_addresses, set_in(FIRST_OUTPUTS, output_of("text/plain", "<f at 0x7f00aa11cc22>"))),
    ],
)
def test_rule_catches(rule, mutate):
    bad = copy.deepcopy(GOOD)
    mutate(bad)
    assert rule(bad)


@pytest.mark.parametrize(
    "source, tags",
    [
        ("f()", ["nbval-ignore-output"]),
        ("f()", ["raises-exception"]),
        ("# NBVAL_IGNORE_OUTPUT\nf()", []),
        ("f()\n#NBVAL_SKIP", []),
    ],
)
def test_ignored_cells_are_counted(source, tags):
    kept = [code("f()", 1, stdout("1"))] * 19
    ignored = code(source, 20, stdout("1"), tags=tags)
    assert comparison_counts([{"cells": [*kept, ignored]}]) == (20, 19, 1)
    assert few_cells_ignored([{"cells": [*kept, ignored]}])
    assert not few_cells_ignored([{"cells": [*kept, *kept, ignored]}])


GOOD_TEXT = """
# Title

$$
a = b
$$ (eq-a-b)

The price is `$$`, see {eq}`eq-a-b`.[^why]

````{prf:proof}
Inside, $c$ and

$$ c := d $$ (def-c)

```python
x = "$$ no display"
```
````

:::{note}
text
:::

[^why]: Because.
"""


@pytest.mark.parametrize("rule", MARKDOWN_RULES, ids=name_of)
def test_rule_accepts_good_markdown(rule):
    assert rule([GOOD_TEXT]) == []


@pytest.mark.parametrize(
    "rule, old, new",
    [
        (fences_are_closed, ":::\n\n[^why]", "\n\n[^why]"),
        (fences_are_closed, "```\n````", "````"),
        (fences_are_closed, "````{prf:proof}", "```{prf:proof}"),
        (displays_are_labelled, " (eq-a-b)", ""),
        (displays_are_labelled, " (def-c)", ""),
        (displays_are_labelled, "(eq-a-b)", "(a-b)"),
        (displays_are_labelled, "(eq-a-b)", "(eq-A_b)"),
        (displays_are_labelled, "$$ (def-c)", ""),
        (displays_are_labelled, "text", "\\begin{align}\na\n\\end{align}"),
        (displays_are_labelled, ":::{note}", ":::{math}"),
        (footnotes_are_defined, "[^why]: Because.", ""),
        (footnotes_are_defined, "[^why]\n", "\n"),
        (images_are_local, "text", "<img alt='' src='https://a.org/x.png'>"),
        (images_are_local, "text", "![x](http://a.org/x.png)"),
        (images_are_local, ":::{note}", ":::{figure} https://a.org/x.png"),
    ],
)
def test_rule_catches_markdown(rule, old, new):
    assert old in GOOD_TEXT
    assert rule([GOOD_TEXT.replace(old, new, 1)])


def test_page_with_an_equation_is_caught():
    assert pages_state_no_equations([GOOD_TEXT])
    assert not pages_state_no_equations([GOOD_TEXT.replace("(eq-a-b)", "(def-a-b)")])


def test_incomplete_toc_is_caught():
    assert toc_is_complete({"book/a"}, {"book/a"}) == []
    assert toc_is_complete({"book/a"}, {"book/a", "book/orphan"})
    assert toc_is_complete({"book/a", "book/gone"}, {"book/a"})
