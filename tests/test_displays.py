"""Displays are found by MyST's own parser: in directives too, and never in code."""

import json
from pathlib import Path

import pytest
import yaml

from equation_checks.displays import EXTENSIONS, displays_in, find_display, title_of

ROOT = Path(__file__).resolve().parents[1]
TEXT = """# Title with $x$

$$
y = 1
$$ (eq-one)

```python
x = "$$ z $$ (eq-in-code)"
```

`$$ z $$ (eq-in-words)`

````{admonition} Predict first
:class: tip

```{prf:theorem} Named
:label: a-theorem

$$ w := 2 $$ (def-two)
```
````

:::{note}

$$
a = b
$$ (wrong-three)
:::

$$ no label $$

$$ w $$ (another-label)

$$ w $$ (eq-with_underscore)

```eq-fence
z
```
"""


def test_displays_are_found_in_markdown_and_directives_but_not_in_code():
    found = displays_in(TEXT, cell=7)
    assert [(display.label, display.tex) for display in found] == [
        ("eq-one", "y = 1"),
        ("def-two", "w := 2"),
        ("wrong-three", "a = b"),
    ]
    assert {display.cell for display in found} == {7}


@pytest.mark.parametrize(
    "name",
    ["code", "code-block", "code-cell", "sourcecode", "literalinclude", "math", "raw"],
)
def test_a_directive_that_holds_code_displays_nothing(name):
    display = "$$ y = 1 $$ (eq-a)"
    assert displays_in(f"```{{{name}}}\n{display}\n```\n") == []
    assert len(displays_in(f"```{{note}}\n{display}\n```\n")) == 1


def test_displays_are_parsed_as_the_build_parses_them():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    assert set(config["parse"]["myst_enable_extensions"]) == EXTENSIONS


def test_the_title_is_the_first_heading():
    assert title_of("Text.\n\n# One $x$\n\n# Two") == "One $x$"
    assert title_of("## Not of the first level") == ""


def test_a_display_is_found_by_its_label_in_the_pages_of_a_folder(tmp_path):
    (tmp_path / "text.md").write_text(TEXT, encoding="utf8")
    cells = [
        {"cell_type": "code", "source": ["'''\n$$ z $$ (eq-nb)\n\n$$ y $$ (eq-one)\n'''"]},
        {
            "cell_type": "markdown",
            "source": ["More than {eq}`eq-one` says\n\n$$ n = 0 $$ (eq-one-n)"],
        },
        {
            "cell_type": "markdown",
            "source": ["$$\n", "u = v\n", "$$ (eq-nb)\n", "\n$$ w $$ (eq-nb-2)"],
        },
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf8")
    assert find_display("eq-one", tmp_path) == "y = 1"
    assert find_display("eq-nb", tmp_path) == "u = v"
    assert find_display("eq-nb-2", tmp_path) == "w"
    with pytest.raises(LookupError):
        find_display("eq-on", tmp_path)
    with pytest.raises(LookupError, match="eq-in-code.*save the notebook first"):
        find_display("eq-in-code", tmp_path)
