"""Which cells prove which display, and what is refused."""

import pytest

from equation_checks.proofs import Misplaced, proofs


def markdown(*labels):
    return {
        "cell_type": "markdown",
        "source": "Text.\n\n" + "\n\n".join(f"$$ x = y $$ ({label})" for label in labels),
        "metadata": {},
    }


def code(*lines, tag="check"):
    output = {"output_type": "stream", "name": "stdout", "text": "\n".join(lines)}
    return {
        "cell_type": "code",
        "source": "",
        "metadata": {"tags": [tag]} if tag else {},
        "outputs": [output] if lines else [],
    }


PROVED = "eq-a · proved · x = y · all x"
CATCHES = "eq-a · catches · a lost sign · off by 0.5"
EXACT = "eq-b · exact · x = y · one point, within 1e-09"


def summary(*cells):
    return [(p.label, p.cells, p.strengths, p.mistakes) for p in proofs({"cells": list(cells)})]


def test_the_cells_of_one_label_become_one_fold():
    assert summary(markdown("eq-a"), code(PROVED), code(CATCHES, CATCHES), code()) == [
        ("eq-a", [1, 2, 3], ["proved"], 2)
    ]


def test_displays_of_one_cell_get_a_fold_each():
    cells = markdown("eq-a", "eq-b"), code(PROVED), code(EXACT), code(CATCHES)
    assert summary(*cells) == [("eq-a", [1, 3], ["proved"], 1), ("eq-b", [2], ["exact"], 0)]


def test_open_cells_and_text_may_stand_between():
    text = markdown()
    assert summary(markdown("eq-a"), code("12.5", tag=""), text, code(PROVED)) == [
        ("eq-a", [3], ["proved"], 0)
    ]


def test_a_check_without_a_label_folds_by_itself():
    assert summary(markdown("eq-a"), code(tag=""), code(), code()) == [("", [2, 3], [], 0)]
    between = markdown("eq-a"), code(), code(tag=""), code(PROVED)
    assert summary(*between) == [("", [1], [], 0), ("eq-a", [3], ["proved"], 0)]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([markdown("eq-a", "eq-b"), code(PROVED, EXACT)], "eq-a, eq-b: split it"),
        ([markdown("eq-a"), markdown("eq-b"), code(PROVED)], "not displayed in the nearest"),
        ([markdown("eq-b"), code(PROVED)], "not displayed"),
        ([markdown("eq-a"), code(PROVED, tag="")], "in the open"),
    ],
)
def test_a_check_elsewhere_is_refused(cells, said):
    with pytest.raises(Misplaced, match=said):
        proofs({"cells": cells})
