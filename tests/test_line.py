"""A line of a check is read as it is written."""

from equation_checks.line import Line, read_lines


def test_lines_are_read_among_other_output_as_they_were_written():
    proved = Line("eq-a", "executed", "left = right", "all x", form="y = x + 1")
    refuted = Line("wrong-b", "refuted", "claim ≠ truth", "one point")
    catches = Line("eq-a", "catches", "a lost sign", "off by 0.5")
    output = f"hello\n{proved}\neq-a · shown · c · o\n{catches}\n{refuted}\n"
    assert read_lines(output) == [proved, catches, refuted]
    assert str(refuted) == "wrong-b · refuted · claim ≠ truth · one point"
