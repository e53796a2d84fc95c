"""Hygiene of the book's sources: what nbval and Sphinx let pass in silence.

A rule takes a document and returns the problems it sees. Each rule has two tests: it finds nothing
in the book, and it does find the fault that a test plants in a good document.
"""

import copy
import re

import book_files
import pytest
import run_notebooks

ALLOWED_TAGS = {
    "check",
    "hide-cell",
    "hide-input",
    "hide-output",
    "remove-cell",
    "remove-input",
    "remove-output",
    "full-width",
    "output_scroll",
    "nbval-ignore-output",
    "nbval-skip",
}
MAX_IGNORED = 0.03
MAX_DIGITS = 6

# A path of somebody's machine; the look-behind spares web addresses and relative paths.
MACHINE_PATH = re.compile(
    r"(?<![\w./])/(?:home|root|tmp|work|opt|mnt|srv|Users|private)/[^\s'\"]*|\b[A-Z]:\\Users\\"
)
FENCE = re.compile(r"^\s*(?:[-*+]\s+|\d+\.\s+|>\s*)*(`{3,}|~{3,}|:{3,})(.*)$")
CODE_DIRECTIVES = {"code", "code-block", "code-cell", "sourcecode", "literalinclude", "math", "raw"}
DISPLAY = re.compile(r"\$\$(.+?)\$\$[ \t]*(?:\(([^)\n]*)\))?", re.DOTALL)
BARE_ENVIRONMENT = re.compile(
    r"\\begin\{(equation|align|gather|multline|eqnarray|alignat|flalign)\*?\}"
)


# Rules for a notebook --------------------------------------------------------------------------


def counts_run_from_one(notebook):
    counts = [cell["execution_count"] for cell in book_files.code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        return [f"execution counts are {counts}: run the notebook from its start (make notebooks)"]
    return []


def no_error_or_stderr(notebook):
    problems = []
    for number, cell in enumerate(book_files.code_cells(notebook), 1):
        for output in cell["outputs"]:
            if output["output_type"] == "error" or output.get("name") == "stderr":
                problems.append(f"code cell {number} stores an error or stderr")
    return problems


def no_trailing_semicolon(notebook):
    return [
        f"code cell {number} ends in ';', which nbval does not understand: write _ = ..."
        for number, cell in enumerate(book_files.code_cells(notebook), 1)
        if cell["source"].rstrip().endswith(";")
    ]


def no_svg(notebook):
    return [
        f"code cell {number} stores an SVG, whose bytes change from run to run: use PNG"
        for number, cell in enumerate(book_files.code_cells(notebook), 1)
        for output in cell["outputs"]
        if "image/svg+xml" in output.get("data", {}) or "<svg" in output_text_of(output)
    ]


def only_allowed_metadata(notebook):
    problems = []
    if notebook["metadata"] != run_notebooks.NOTEBOOK_METADATA:
        problems.append(f"notebook metadata is {notebook['metadata']} (make notebooks mends it)")
    for number, cell in enumerate(notebook["cells"], 1):
        if extra := set(cell["metadata"]) - set(run_notebooks.KEPT_CELL_METADATA):
            problems.append(f"cell {number} has metadata {sorted(extra)} (make notebooks mends it)")
        if unknown := set(cell["metadata"].get("tags", [])) - ALLOWED_TAGS:
            problems.append(f"cell {number} has unknown tags {sorted(unknown)}")
        for output in cell.get("outputs", []):
            if output.get("metadata"):
                problems.append(f"cell {number} has output metadata {output['metadata']}")
    return problems


def no_machine_paths(notebook):
    return [
        f"cell {number} names a path of one machine: {found.group()}"
        for number, cell in enumerate(notebook["cells"], 1)
        for text in [cell["source"], *map(output_text_of, cell.get("outputs", []))]
        for found in MACHINE_PATH.finditer(text)
    ]


def images_have_alt_text(notebook):
    problems = []
    for number, cell in enumerate(book_files.code_cells(notebook), 1):
        kinds = [kind for output in cell["outputs"] for kind in output.get("data", {})]
        alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
        if any(kind.startswith("image/") for kind in kinds) and not alt.strip():
            problems.append(f"code cell {number} shows an image without mystnb.image.alt")
    return problems


def floats_are_rounded(notebook):
    return [
        f"code cell {number} prints {found}; its last digits differ between machines"
        for number, cell in enumerate(book_files.code_cells(notebook), 1)
        for found in re.findall(r"\d+\.\d+(?:e[-+]?\d+)?", book_files.output_text(cell))
        if decimals(found) > MAX_DIGITS
    ]


def decimals(number):
    """Digits after the point that carry information: 0.00012 has two, 12.345 has three."""
    whole, fraction = number.split("e")[0].split(".")
    return len(fraction) if int(whole) else len(fraction.lstrip("0"))


def no_addresses(notebook):
    return [
        f"code cell {number} prints the address of an object: {found}"
        for number, cell in enumerate(book_files.code_cells(notebook), 1)
        for found in re.findall(r".{0,20}\b0x[0-9a-fA-F]{6,}", book_files.output_text(cell))
    ]


def few_cells_ignored(notebooks):
    cells, _, ignored = book_files.comparison_counts(notebooks)
    if ignored > MAX_IGNORED * cells:
        return [f"nbval ignores {ignored} of {cells} code cells; at most 3 % may be"]
    return []


def output_text_of(output):
    texts = [output.get("text", ""), *map(str, output.get("traceback", []))]
    texts += [v for k, v in output.get("data", {}).items() if not k.startswith("image/png")]
    return "\n".join(map(str, texts))


# Rules for Markdown, given as the list of a document's texts (cells, or one page) -----------------


def prose(text):
    """The text without code, and the fences that are never closed.

    Like MyST, the first line that can close a fence does; the inside of a directive is Markdown
    again, unless the directive holds code.
    """
    lines, kept, unclosed = text.splitlines(), [], []
    i = 0
    while i < len(lines):
        opening = FENCE.match(lines[i])
        if not opening or ("`" in opening[2] and opening[1][0] == "`"):
            kept.append(lines[i])
            i += 1
            continue
        fence, info = opening[1], opening[2].strip()
        closing = re.compile(rf"^\s*>?\s*{re.escape(fence[0])}{{{len(fence)},}}\s*$")
        end = next((j for j in range(i + 1, len(lines)) if closing.match(lines[j])), None)
        if end is None:
            unclosed.append(lines[i].strip())
            end = len(lines)
        inside = "\n".join(lines[i + 1 : end])
        directive = re.match(r"\{([\w:-]+)\}", info)
        if directive and directive[1] == "math":
            # Kept, so that the rule on displays sees that it is not written between dollars.
            kept.append("\\begin{equation}")
        elif directive and directive[1] not in CODE_DIRECTIVES:
            inner, inner_unclosed = prose(inside)
            kept.append(f"{info}\n{inner}")
            unclosed += inner_unclosed
        i = end + 1
    return re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "``", "\n".join(kept)), unclosed


def fences_are_closed(texts):
    return [f"fence is never closed: {fence}" for text in texts for fence in prose(text)[1]]


def displays_are_labelled(texts):
    problems = []
    for text in texts:
        text = prose(text)[0].replace("``", "")
        if text.count("$$") % 2:
            problems.append(f"an odd number of $$ in: {text[:80]!r}")
        for body, label in DISPLAY.findall(text):
            if not re.fullmatch(r"(eq|def|wrong)-[a-z0-9-]+", label):
                problems.append(f"display has no label (eq-|def-|wrong-...): {body.strip()[:60]!r}")
        for environment in BARE_ENVIRONMENT.findall(DISPLAY.sub("", text)):
            problems.append(f"write the display as $$ ... $$ (label), not as {environment}")
    return problems


def pages_state_no_equations(texts):
    return [
        f"a page in .md states ({label}); an equation belongs into the notebook that checks it"
        for text in texts
        for _, label in DISPLAY.findall(prose(text)[0].replace("``", ""))
        if label.startswith("eq-")
    ]


def footnotes_are_defined(texts):
    text = "\n".join(prose(text)[0] for text in texts)
    defined = set(re.findall(r"^\[\^([^\]]+)\]:", text, re.MULTILINE))
    used = set(re.findall(r"\[\^([^\]]+)\](?!:)", text))
    return [f"footnote [^{name}] is not defined" for name in sorted(used - defined)] + [
        f"footnote [^{name}] is never used" for name in sorted(defined - used)
    ]


def images_are_local(texts):
    pattern = re.compile(
        r"<img[^>]*src\s*=\s*[\"']?(?:https?:)?//[^>]*>|!\[[^\]]*\]\(\s*<?(?:https?:)?//[^)]*\)"
        r"|\{(?:image|figure)\}\s*https?://\S+"
    )
    return [
        f"image comes from the network: {found.group()}"
        for text in texts
        for found in pattern.finditer(prose(text)[0])
    ]


def toc_is_complete(pages, files):
    return [f"_toc.yml names {page}, which does not exist" for page in sorted(pages - files)] + [
        f"{file} stands in book/ but not in _toc.yml" for file in sorted(files - pages)
    ]


NOTEBOOK_RULES = [
    counts_run_from_one,
    no_error_or_stderr,
    no_trailing_semicolon,
    no_svg,
    only_allowed_metadata,
    no_machine_paths,
    images_have_alt_text,
    floats_are_rounded,
    no_addresses,
]
MARKDOWN_RULES = [
    fences_are_closed,
    displays_are_labelled,
    footnotes_are_defined,
    images_are_local,
]


# The book --------------------------------------------------------------------------------------


def name_of(value):
    return getattr(value, "stem", None) or value.__name__


def markdown_texts(path):
    if path.suffix == ".md":
        return [path.read_text(encoding="utf8")]
    cells = book_files.read_notebook(path)["cells"]
    return [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]


NOTEBOOKS = book_files.notebooks()
PAGES = sorted(book_files.BOOK.glob("*.md"))


@pytest.mark.parametrize("rule", NOTEBOOK_RULES, ids=name_of)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebook(path, rule):
    problems = rule(book_files.read_notebook(path))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("rule", MARKDOWN_RULES, ids=name_of)
@pytest.mark.parametrize("path", NOTEBOOKS + PAGES, ids=name_of)
def test_markdown(path, rule):
    problems = rule(markdown_texts(path))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_page(path):
    problems = pages_state_no_equations(markdown_texts(path))
    problems += [
        f"names a path of one machine: {found.group()}"
        for text in markdown_texts(path)
        for found in MACHINE_PATH.finditer(text)
    ]
    assert not problems, "\n".join(problems)


def test_few_cells_are_ignored():
    problems = few_cells_ignored([book_files.read_notebook(path) for path in NOTEBOOKS])
    assert not problems, "\n".join(problems)


def test_toc_and_folder_agree():
    files = {f"book/{path.stem}" for path in NOTEBOOKS + PAGES}
    problems = toc_is_complete(set(book_files.toc_pages()), files)
    assert not problems, "\n".join(problems)


# The rules themselves ----------------------------------------------------------------------------


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
    "metadata": run_notebooks.NOTEBOOK_METADATA,
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
    assert book_files.comparison_counts([{"cells": [*kept, ignored]}]) == (20, 19, 1)
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


# The executor ------------------------------------------------------------------------------------


def store(path, *sources):
    cells = [{"cell_type": "markdown", "source": "# T", "metadata": {"editable": True}}]
    cells += [code(source, None, collapsed=False, tags=["hide-cell"]) for source in sources]
    notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": {"x": 1}, "cells": cells}
    path.write_text(run_notebooks.nbformat.writes(run_notebooks.nbformat.from_dict(notebook)))


def test_executor_is_repeatable_and_obeys_the_rules(tmp_path):
    path = tmp_path / "a.ipynb"
    sources = (
        "import os\nprint(os.environ['OMP_NUM_THREADS'])",
        "open('here', 'w').close()",
        "1 + 1",
        "1 + 1",
    )
    store(path, *sources)
    run_notebooks.run(path)
    first = path.read_bytes()
    run_notebooks.run(path)
    assert path.read_bytes() == first
    assert (tmp_path / "here").exists(), "a notebook runs in its own folder"
    notebook = book_files.read_notebook(path)
    assert [rule.__name__ for rule in NOTEBOOK_RULES if rule(notebook)] == []
    assert [book_files.output_text(c) for c in book_files.code_cells(notebook)] == [
        "1\n",
        "",
        "2",
        "2",
    ]
    assert len({cell["id"] for cell in notebook["cells"]}) == 5


@pytest.mark.parametrize(
    "source, said",
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import sys\nprint('careful', file=sys.stderr)", "careful"),
    ],
)
def test_executor_leaves_a_failing_notebook_alone(tmp_path, capsys, source, said):
    path = tmp_path / "a.ipynb"
    store(path, "x = 1", source)
    before = path.read_bytes()
    assert run_notebooks.main([str(path)]) == 1
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    message = capsys.readouterr().err
    assert "cell 3" in message and said in message and source.splitlines()[0] in message
