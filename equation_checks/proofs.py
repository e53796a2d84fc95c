"""Which cells of a notebook prove which display: the rule of the proof layer."""

from dataclasses import dataclass, field

from equation_checks.book import Notebook, is_check, output_text
from equation_checks.displays import displays_in
from equation_checks.line import CATCHES, read_lines


class Misplaced(ValueError):
    """A cell of the proof layer does not stand where its display is; the message says what to do."""


@dataclass
class Proof:
    """The cells, by position, that belong to one label, and what they printed.

    The label is empty for cells that print no line of a check, such as an assertion that two
    programs give the same.
    """

    label: str
    cells: list[int] = field(default_factory=list)
    strengths: list[str] = field(default_factory=list)
    mistakes: int = 0
    one_term: bool = False  # sympy has proved one term of the displayed sum


def proofs(notebook: Notebook) -> list[Proof]:
    """The folds of a notebook, in its order. Raises Misplaced.

    A cell tagged ``check`` belongs to one label. A cell without a line of a check joins the cell
    before it, if that is tagged too. The display of a label stands in the nearest Markdown cell
    above that has displays.
    """
    found: dict[str, Proof] = {}
    last: Proof | None = None
    nearest: set[str] = set()
    loose: list[Proof] = []
    for index, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            nearest = {display.label for display in displays_in(cell["source"])} or nearest
            last = None
            continue
        lines = read_lines(output_text(cell))
        if not is_check(cell):
            if lines:
                raise Misplaced(
                    f"cell {index} checks {lines[0].label} in the open: give it the tag 'check'"
                )
            last = None
            continue
        labels = {line.label for line in lines}
        if len(labels) > 1:
            raise Misplaced(f"cell {index} checks {', '.join(sorted(labels))}: split it")
        if not labels:
            if last is None:
                last = Proof("")
                loose.append(last)
        else:
            (label,) = labels
            if label not in nearest:
                raise Misplaced(
                    f"cell {index} checks {label}, which is not displayed in the nearest cell with "
                    "displays above: move the check there"
                )
            last = found.setdefault(label, Proof(label))
        last.cells.append(index)
        for line in lines:
            if line.strength == CATCHES:
                last.mistakes += 1
            else:
                last.strengths.append(line.strength)
                last.one_term |= "one term" in line.compared
    return sorted([*found.values(), *loose], key=lambda proof: proof.cells[0])
