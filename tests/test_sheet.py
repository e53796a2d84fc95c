"""The formula sheet takes TeX from the chapters and code from the package, and retypes neither."""

import pytest

from equation_checks.displays import Display
from equation_checks.index import Chapter
from equation_checks.sheet import functions_of, render

PACKAGE = '''
class Model:
    def loss(self, x, beta=1.0):
        """Return the loss.

        Book: eq-a.
        """
        if beta < 0:
            raise ValueError("beta must not be negative")
        scaled = [
            beta * value
            for value in x
        ]
        return sum(scaled)


def long(x):
    """Book: eq-b."""
    x = x + 1
    x = x + 2
    if x > 3:
        x = 0
    x = x + 3
    return x


def unnamed(x):
    return x
'''


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "module.py").write_text(PACKAGE, encoding="utf8")
    return folder


def chapters():
    displays = [
        Display("eq-a", "a\n= b", 0),
        Display("def-c", "c := d", 1),
        Display("eq-b", "b = a", 2),
        Display("eq-left-out", "0 = 0", 3),
    ]
    return [Chapter("other", "No formula"), Chapter("first", "How a is made", displays)]


def test_code_without_docstrings_and_guards(package):
    functions = functions_of(package)
    assert functions["module.Model.loss"] == [
        "# module.Model.loss(x, beta)",
        "scaled = [",
        "    beta * value",
        "    for value in x",
        "]",
        "return sum(scaled)",
    ]
    assert functions["module.long"] == ["# module.long"]


def test_a_formula_has_its_name_number_mark_tex_and_code(package):
    chosen = {"eq-b": "the second", "eq-a": "the first", "def-c": ["a third", "module.unnamed"]}
    page = render(chapters(), {"eq-a": "✓ executed · exact", "eq-b": "✓ proved"}, chosen, package)
    first, second, third = page.partition("## How a is made")[2].split(":::{container} formula")[1:]
    assert first == (
        "\n**The first** {eq}`eq-a` "
        '<a href="first.html#proof-eq-a" title="How it was checked">✓ executed · exact</a>'
        "\n\n$\\displaystyle a = b$\n\n"
        "```python\n# module.Model.loss(x, beta)\nscaled = [\n    beta * value\n    for value in x\n"
        "]\nreturn sum(scaled)\n```\n:::\n\n"
    )
    assert second.startswith("\n**A third** {eq}`def-c` definition\n\n$\\displaystyle c := d$\n")
    assert "# module.unnamed(x)\nreturn x\n" in second
    assert "# module.long\n```" in third
    assert "eq-left-out" not in page and "No formula" not in page


def test_a_label_that_no_chapter_displays_is_named(package):
    with pytest.raises(LookupError, match="eq-gone.*no chapter displays"):
        render(chapters(), {}, {"eq-gone": "what was"}, package)
