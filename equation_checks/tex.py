"""Whether the TeX of a display says what a check has checked."""

import random
import re

import sympy
from sympy.parsing.latex import LaTeXParsingError, parse_latex

TEX_SUM = re.compile(r"\\sum_\{(\w+)=(\w+)\}\^\{(\w+)\}(.+)", re.DOTALL)
FORM_SUM = re.compile(r"sum over (\w+)=(\w+)\.\.(\w+) of (.+)")


def says(tex: str, form: str) -> bool:
    """Whether the right-hand side of a display says what a check printed.

    A sum must have the same index and limits on both sides, with nothing in front of
    it. Its term, or the whole of the side, is compared as a number at random positive
    values of the symbols.
    """
    displayed = right_hand_side(tex)
    in_tex, in_form = TEX_SUM.fullmatch(displayed), FORM_SUM.fullmatch(form)
    if in_form:
        if not in_tex or in_tex.groups()[:3] != in_form.groups()[:3]:
            return False
        displayed, form = in_tex[4], in_form[4]
    if "\\sum" in displayed:
        return False
    try:
        left = by_name(parse_latex(displayed))
    except LaTeXParsingError:
        return False
    names = set(re.findall(r"[A-Za-z]\w*", form)) - {"log", "exp", "sqrt", "pi"}
    right = sympy.sympify(form, locals={name: sympy.Symbol(name) for name in names})
    if left.free_symbols != right.free_symbols:
        return False
    draw = random.Random(0)
    for _ in range(5):
        point = {symbol: draw.uniform(0.3, 3) for symbol in sorted(right.free_symbols, key=str)}
        if abs(complex(left.subs(point) - right.subs(point))) > 1e-9:
            return False
    return True


def right_hand_side(tex: str) -> str:
    """What stands after the last ``=`` outside braces and before a side condition; on
    one line, without a closing comma or full stop.
    """
    tex = re.sub(r"\\\\|&|\\(?:begin|end)\{aligned\}", " ", tex).split(r", \qquad")[0]
    tex = tex.replace(r"\qquad", " ")
    depth, start = 0, 0
    for position, character in enumerate(tex):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "=" and depth == 0:
            start = position + 1
    return tex[start:].strip().rstrip(".,")


def by_name(expression: sympy.Expr) -> sympy.Expr:
    """The expression with plain symbols named alike on both sides, and e and pi
    taken as the numbers.
    """
    names = {
        symbol: sympy.Symbol(str(symbol).replace("{", "").replace("}", "").replace(" ", ""))
        for symbol in expression.free_symbols
    }
    return expression.subs(names).subs({sympy.Symbol("e"): sympy.E, sympy.Symbol("pi"): sympy.pi})
