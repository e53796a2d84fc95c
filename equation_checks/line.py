"""The one line that a check prints, written and read in one place."""

import re
from dataclasses import dataclass, replace

SEPARATOR = " · "
EXECUTED = "executed"
TRANSCRIBED = "transcribed"
STRENGTHS = (
    *(EXECUTED, TRANSCRIBED, "proved", "special case", "enclosed", "exact", "gradient"),
    *("inequality", "Monte Carlo", "refuted"),
)
CATCHES = "catches"
FORM = "    read from the page: "


@dataclass(frozen=True)
class Line:
    """``label · strength · what was compared · over what``, or, for a mistake that a check
    catches, ``label · catches · the mistake · off by how much``.

    ``form`` is how the TeX of an executed display was read; it stands on a line below.
    """

    label: str
    strength: str
    compared: str
    over: str
    form: str = ""

    def weakness(self) -> str:
        """What the check would let pass although it should not, as the line itself says; or nothing."""
        if self.strength in (TRANSCRIBED, "enclosed", "refuted", CATCHES):
            return ""
        if found := re.search(r"error of (\S+) fails", self.over):
            return f"an error of less than {found[1]} passes" if float(found[1]) > 0.01 else ""
        if found := re.search(r"(\d+) of (\d+) changed terms fail", self.over):
            return "" if found[1] == found[2] else f"only {found[0]}"
        return "" if " fails" in self.over else "it does not say what it would have caught"

    def __str__(self) -> str:
        line = SEPARATOR.join([self.label, self.strength, self.compared, self.over])
        return f"{line}\n{FORM}{self.form}" if self.form else line


def read_lines(output: str) -> list[Line]:
    """The lines of checks among everything else that a cell printed."""
    found: list[Line] = []
    for text in output.splitlines():
        parts = text.split(SEPARATOR)
        if len(parts) == 4 and parts[1] in (*STRENGTHS, CATCHES):
            found.append(Line(*parts))
        elif text.startswith(FORM):
            found.append(replace(found.pop(), form=text.removeprefix(FORM)))
    return found
