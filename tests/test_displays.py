"""Displays are found by MyST's own parser: in directives too, and never in code."""

import json

import pytest

from equation_checks.displays import displays_in, find_display, title_of

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
"""


def test_displays_are_found_in_markdown_and_directives_but_not_in_code():
    found = displays_in(TEXT, cell=7)
    assert [(display.label, display.tex) for display in found] == [
        ("eq-one", "y = 1"),
        ("def-two", "w := 2"),
        ("wrong-three", "a = b"),
    ]
    assert {display.cell for display in found} == {7}


def test_the_title_is_the_first_heading():
    assert title_of("Text.\n\n# One $x$\n\n# Two") == "One $x$"
    assert title_of("## Not of the first level") == ""


def test_a_display_is_found_by_its_label_in_the_pages_of_a_folder(tmp_path):
    (tmp_path / "text.md").write_text(TEXT, encoding="utf8")
    cells = [
        {"cell_type": "code", "source": ["x = '$$ z $$ (eq-nb)'"]},
        {"cell_type": "markdown", "source": ["$$\n", "u = v\n", "$$ (eq-nb)\n"]},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf8")
    assert find_display("eq-one", tmp_path) == "y = 1"
    assert find_display("eq-nb", tmp_path) == "u = v"
    with pytest.raises(LookupError, match="eq-in-code.*save the notebook first"):
        find_display("eq-in-code", tmp_path)
