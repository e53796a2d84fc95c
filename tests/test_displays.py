"""Displays are found by MyST's own parser: in directives too, and never in code."""

from equation_checks.displays import displays_in, title_of

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
