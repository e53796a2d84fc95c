"""Reads a display as statements that can be worked out in a world."""

import inspect
import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import sympy
import torch

from equation_checks.notation import CLOSE, OPEN, Token, text_of, tokens
from equation_checks.world import (
    Definition,
    Operand,
    Over,
    Unreadable,
    World,
    apply,
    divergence,
    entropy,
    interval,
    log_normal,
    slope,
    times,
    variance,
    weigh,
)

BUILT_IN = {"E", "Var", "Cov", "KL", "H", "P", "N", "tr"}
SEPARATORS = {",", ";", "mid", "||"}
RELATIONS = {
    **{"<=": operator.le, "<": operator.lt, ">": operator.gt, ">=": operator.ge},
    **{"=": operator.eq, "!=": operator.ne},
}
CLOSING = {"(": ")", "[": "]"}
STARTS_FACTOR = {
    *("letter", "number", "function", "frac", "group", "big", "cases", "(", "[", "||", "*"),
}


@dataclass(frozen=True)
class Node:
    """A part of a display: its normal text, its value in a world, and the logarithm of that.

    A product of densities has its logarithm from theirs, so that nothing is lost to underflow.
    """

    text: str
    value: Callable[[World], Any]
    log_form: Callable[[World], Any] | None = None

    def log(self, world: World) -> Any:
        return self.log_form(world) if self.log_form else apply("log", self.value(world))

    def at(self, world: World) -> Operand:
        """The value as a function of what an average binds."""
        return lambda **names: self.value(world.bind(names))

    def log_at(self, world: World) -> Operand:
        return lambda **names: self.log(world.bind(names))


@dataclass(frozen=True)
class Statement:
    """Sides, the relations between them (one fewer), and whether it is only a condition."""

    sides: tuple[Node, ...]
    relations: tuple[str, ...]
    condition: bool


def read(tex: str, world: World) -> list[Statement]:
    """The statements of a display. One after words, as in ``with equality only at v = 1``, is a
    condition; the words are not read.
    """
    return [_statement(found, world, condition) for found, condition in _statements(tokens(tex))]


def normal_text(tex: str) -> str:
    """How the statements of a display are read, whatever its spaces and sizes."""
    return "; ".join(
        f"{'where ' * condition}{text_of(found)}" for found, condition in _statements(tokens(tex))
    )


def define(tex: str, world: World) -> World:
    """The world, and in it what a display defines by ``:=``."""
    ((found, _),) = _statements(tokens(tex))
    (_, left), (_, right), *_ = _cut(found, {"relation"})
    node = Parser(right, world).whole()
    return world.bind({text_of(left): Definition(node.value, node.log)})


def _statement(found: Sequence[Token], world: World, condition: bool = False) -> Statement:
    pieces = _cut(found, {"relation"})
    return Statement(
        tuple(Parser(piece, world).whole() for _, piece in pieces),
        tuple(before.text for before, _ in pieces[1:]),
        condition,
    )


def _statements(found: Sequence[Token]) -> list[tuple[tuple[Token, ...], bool]]:
    """Statements end at commas, and at rows that start a statement of their own. With each stands
    whether it comes after words.
    """
    statements: list[tuple[list[Token], bool]] = []
    for _, part in _cut([token for token in found if token.kind not in {"&", "."}], {","}):
        current: list[Token] = []
        conditions = []
        for _, row in _cut(part, {"newline"}):
            (_, row), *after = _cut(row, {"words"})
            conditions += [(words, True) for _, words in after]
            if _related(current) and _related(row) and row[0].kind not in {"relation", "+", "-"}:
                statements.append((current, False))
                current = []
            current += [token for token in row if token.kind != "newline"]
        statements += [(current, False), *conditions]
    return [(tuple(statement), after) for statement, after in statements if _related(statement)]


def _related(found: Sequence[Token]) -> bool:
    return len(_cut(found, {"relation"})) > 1


def _cut(found: Sequence[Token], kinds: set[str]) -> list[tuple[Token | None, tuple[Token, ...]]]:
    """The pieces between tokens of these kinds outside parentheses, each with the token before."""
    pieces: list[tuple[Token | None, list[Token]]] = [(None, [])]
    depth = 0
    for token in found:
        depth += (token.kind in OPEN) - (token.kind in CLOSE)
        if depth == 0 and token.kind in kinds:
            pieces.append((token, []))
        else:
            pieces[-1][1].append(token)
    return [(before, tuple(piece)) for before, piece in pieces]


def _items(subscript: Sequence[Token]) -> list[tuple[Token, ...]]:
    """``p, j`` and ``i j`` are two items, and so are ``d x_d``."""
    items: list[list[Token]] = [[]]
    for token in subscript:
        if token.kind == ",":
            items.append([])
        elif token.kind == "letter" and items[-1] and items[-1][-1].kind != "_":
            items.append([token])
        else:
            items[-1].append(token)
    return [tuple(item) for item in items]


class Parser:
    """Recursive descent over the tokens of one expression; the world says what takes arguments."""

    def __init__(self, found: Sequence[Token], world: World):
        self.tokens, self.world, self.position = tuple(found), world, 0
        self.differential = False  # inside an integral, where a d ends a product

    # The tokens

    def peek(self, ahead: int = 0) -> Token:
        position = self.position + ahead
        return self.tokens[position] if position < len(self.tokens) else Token("end", "the end")

    def take(self) -> Token:
        if self.position >= len(self.tokens):
            raise self.stuck("the end")
        self.position += 1
        return self.tokens[self.position - 1]

    def since(self, start: int) -> str:
        return text_of(self.tokens[start : self.position])

    def stuck(self, at: str) -> Unreadable:
        return Unreadable(f"cannot read {at} in {text_of(self.tokens)}")

    def argument(self) -> tuple[Token, ...]:
        """What a sub- or superscript applies to: one token, or the inside of a group."""
        token = self.take()
        return token.parts[0] if token.kind == "group" else (token,)

    def enclosed(self) -> tuple[Token, ...]:
        """The tokens between a parenthesis or bar, which is next, and the one that closes it."""
        opening = self.take().kind
        closing = CLOSING.get(opening, opening)
        start, depth = self.position, 0
        while depth or self.peek().kind != closing:
            token = self.take()
            depth += (token.kind in OPEN) - (token.kind in CLOSE)
        self.take()
        return self.tokens[start : self.position - 1]

    def inner(self, found: Sequence[Token]) -> Node:
        return Parser(found, self.world).whole()

    # Expressions

    def whole(self) -> Node:
        node = self.expression()
        if self.peek().kind != "end":
            raise self.stuck(self.peek().text)
        return node

    def expression(self) -> Node:
        start = self.position
        total = self.signed()
        while self.peek().kind in ("+", "-"):
            left, right = total, self.signed()
            total = Node(self.since(start), lambda w, a=left, b=right: a.value(w) + b.value(w))
        return total

    def signed(self) -> Node:
        """A term with its sign, if it has one."""
        start = self.position
        sign = self.take().kind if self.peek().kind in ("+", "-") else "+"
        term = self.term()
        if sign == "+":
            return term
        return Node(self.since(start), lambda w: -term.value(w))

    def term(self) -> Node:
        """Factors side by side."""
        node = self.factor()
        while self.starts_factor():
            if self.peek().kind == "*":
                self.take()
            node = _product(node, self.factor())
        return node

    def starts_factor(self) -> bool:
        if self.differential and self.peek().text == "d":
            return False
        return self.peek().kind in STARTS_FACTOR

    def factor(self) -> Node:
        start = self.position
        node = self.atom()
        while self.peek().kind in ("^", "_") or (self.peek().kind, self.peek(1).kind) == ("|", "_"):
            kind = self.take().kind
            if kind == "|":
                self.take()
            value = self.scripted(node, kind, self.argument())
            node = Node(self.since(start), value)
        return node

    def scripted(self, node: Node, kind: str, script: tuple[Token, ...]) -> Callable[[World], Any]:
        if kind == "|":
            return self.evaluated_at(node, script)
        if kind == "_":
            items = [self.inner(item) for item in _items(script)]
            return lambda w: _entry(node.value(w), [item.value(w) for item in items])
        if text_of(script) == "top":
            return lambda w: node.value(w).T
        power = self.inner(script)
        return lambda w: node.value(w) ** power.value(w)

    def evaluated_at(self, node: Node, condition: tuple[Token, ...]) -> Callable[[World], Any]:
        """``X|_{a = b}`` is X where ``a``, a name or a power of one, is ``b``."""
        (_, left), (_, right) = _cut(condition, {"relation"})
        (_, name), *powers = _cut(left, {"^"})
        exponents = [self.inner(power) for _, power in powers]
        value = self.inner(right)

        def at(w: World) -> Any:
            found = value.value(w)
            for exponent in exponents:
                found = found ** (1 / exponent.value(w))
            return node.value(w.bind({text_of(name): found}))

        return at

    def atom(self) -> Node:
        token, start = self.peek(), self.position
        if token.kind in ("(", "["):
            return self.inner(self.enclosed())
        if token.kind == "|":
            inside = self.inner(self.enclosed())
            return Node(self.since(start), lambda w: abs(inside.value(w)))
        if token.kind == "||":
            inside = self.inner(self.enclosed())
            return Node(self.since(start), lambda w: inside.value(w).norm())
        if token.text == "nabla":
            self.position += 2
            return self.derivative(self.argument(), None, start)
        if token.kind == "letter":
            return self.name()
        self.take()
        if token.kind == "number":
            number = int(token.text) if token.text.isdigit() else float(token.text)
            return Node(token.text, lambda w: number)
        if token.kind == "group":
            return self.inner(token.parts[0])
        if token.kind == "cases":
            return self.cases(token)
        if token.kind == "frac":
            return self.fraction(token, start)
        if token.kind == "function":
            return self.function(token, start)
        if token.kind == "big":
            return self.integral(start) if token.text == "int" else self.big(token.text, start)
        raise self.stuck(token.text)

    # Names and what takes arguments

    def name(self) -> Node:
        """A letter with its scripts, and its arguments where the world knows a function."""
        start = self.position
        base, subscript, items = self.take().text, (), []
        while True:
            if self.peek().kind == "'":
                base += self.take().text
            elif self.peek().kind == "_":
                self.take()
                subscript = self.argument()
                items = _items(subscript)
            elif self.peek().kind == "^" and self.names_a_function(start):
                base += self.take().text + text_of(self.argument())
            else:
                break
        text = self.since(start)
        opens = self.peek().kind in ("(", "[")
        if opens and (base in BUILT_IN or self.world.takes_arguments(text)):
            return self.call(text, base, subscript, start)
        if text in self.world:  # a subscript such as z|x is no term
            return Node(text, lambda w: w.look_up(text))
        nodes = [self.inner(item) for item in items]
        return Node(text, lambda w: _named(w, text, base, nodes))

    def names_a_function(self, start: int) -> bool:
        """Whether a superscript belongs to the name: a star, or the -1 of an inverse function."""
        if self.peek(1).text in ("*", "star"):
            return True
        power = text_of(self.tokens[start : self.position + 2])
        return self.world.takes_arguments(power)

    def call(self, head: str, base: str, subscript: tuple[Token, ...], start: int) -> Node:
        square = self.peek().kind == "["
        inside = self.enclosed()
        text = self.since(start)
        if text in self.world or f"log {text}" in self.world:
            return Node(text, lambda w: w.look_up(text), lambda w: w.log_of(text))
        if base in ("E", "Var") or (base == "Cov" and square):
            operand, average = self.inner(inside), self.average(subscript)
            if base == "E":
                return Node(text, lambda w: average(w)(operand.at(w)))
            return Node(text, lambda w: variance(average(w), operand.at(w)))
        if base == "P":
            event, average = _statement(inside, self.world), self.average(())
            return Node(text, lambda w: average(w)(lambda **names: holds(event, w.bind(names))))
        pieces = _cut(inside, SEPARATORS)
        if base in ("KL", "H"):
            work_out = divergence if base == "KL" else entropy
            densities = [self.density(piece) for _, piece in pieces]
            variable = densities[0][0]
            return Node(
                text,
                lambda w: work_out(_measure(w, variable), *(d.log_at(w) for _, d in densities)),
            )
        arguments = [self.inner(piece) for _, piece in pieces]
        if base == "N":
            return gaussian(text, *(a.value for a in arguments))
        if base == "tr":
            return Node(text, lambda w: sympy.Matrix(arguments[0].value(w)).trace())
        separators = [before.kind for before, _ in pieces[1:]]
        return self.applied(text, head, arguments, separators)

    def applied(self, text: str, head: str, arguments: list[Node], separators: list[str]) -> Node:
        """A function of the world at its arguments: ``f(mu+sigma*eps)``, or ``p(x|z_l)`` by the
        key ``p(x|z)``, whose names are given the values of the arguments.
        """
        if inspect.isroutine(self.world.get(head)):
            return Node(text, lambda w: w.call(w[head], *(a.value(w) for a in arguments)))
        for key in self.world.keys_of(head):
            names, between = _names_in(key[len(head) + 1 : -1])
            if between == separators and all(
                _fits(argument.text, name) for argument, name in zip(arguments, names, strict=True)
            ):
                return _template(text, key, dict(zip(names, arguments, strict=True)))
        raise self.stuck(f"{head} of {', '.join(a.text for a in arguments)}")

    def average(self, subscript: tuple[Token, ...]) -> Callable[[World], Callable[[Operand], Any]]:
        """What an expectation does: ``E_q``, as the world says or as an integral against q."""
        key = f"E_{text_of(subscript)}" if subscript else "E"
        if key in self.world:
            return lambda w: w[key]
        if not subscript:
            raise Unreadable(f"'E' has no meaning here: say what {text_of(self.tokens)} averages.")
        variable, density = self.density(subscript)

        def average(w: World) -> Callable[[Operand], Any]:
            over = _measure(w, variable)
            return lambda operand: over(lambda **z: weigh(density.at(w)(**z), operand(**z)))

        return average

    def density(self, found: Sequence[Token]) -> tuple[str, Node]:
        """The variable of a density, and the density: ``q(z|x)``; ``q``, if just one is known;
        ``N(mu, v)``; ``z ~ p(z)``.
        """
        pieces = _cut(found, {"~"})
        if len(pieces) == 2:
            variable, found = text_of(pieces[0][1]), pieces[1][1]
            if text_of(found).startswith("N("):
                return self.distributed(variable, found)
            return variable, self.inner(found)
        text = text_of(found)
        if text.startswith("N("):
            return self.distributed("z", found)
        if text.endswith(")"):
            return self.variable(text), self.inner(found)
        known = self.world.keys_of(text)
        known = [key for key in known if "|" not in key] or known
        if len(known) != 1:
            raise Unreadable(f"'{text}' is not the one density of that name; known: {known}.")
        key = known[0]
        return self.variable(key), Node(text, lambda w: w.look_up(key), lambda w: w.log_of(key))

    def variable(self, density: str) -> str:
        """``z`` of ``q(z|x)``; ``z_j`` of ``q_j(z_j)``, if there is a ``dz_j`` of its own."""
        name = re.split(r"[|,;)]", density.partition("(")[2])[0]
        return name if f"d{name}" in self.world else name[0]

    def distributed(self, variable: str, found: Sequence[Token]) -> tuple[str, Node]:
        """``N(mu, v)`` as the density of a variable."""
        parts = [self.inner(piece).value for _, piece in _cut(found[2:-1], {","})]
        return variable, gaussian(text_of(found), lambda w: w.look_up(variable), *parts)

    # Cases, fractions, derivatives, functions, sums, integrals

    def cases(self, token: Token) -> Node:
        """The value of the first row whose condition holds; a row without a relation is ``otherwise``."""
        rows = []
        for _, row in _cut(token.parts[0], {"newline"}):
            (_, value), (_, condition) = _cut(row, {"&"})
            condition = [part for part in condition if part.kind != "words"]
            related = _statement(condition, self.world) if _related(condition) else None
            rows.append((self.inner(value), related))

        def value(w: World) -> Any:
            found = torch.tensor(math.nan, dtype=torch.float64)
            for node, condition in reversed(rows):
                here = torch.as_tensor(holds(condition, w) if condition else True)
                found = torch.where(here, torch.as_tensor(node.value(w)), found)
            return found

        return Node(token.text, value)

    def fraction(self, token: Token, start: int) -> Node:
        if token.text in self.world:
            return Node(token.text, lambda w: w.look_up(token.text))
        above, below = token.parts
        if [part[0].text for part in token.parts if part] in (["partial"] * 2, ["d"] * 2):
            operand = self.inner(above[1:]) if len(above) > 1 else None
            return self.derivative(below[1:], operand, start)
        top, bottom = self.inner(above), self.inner(below)
        if not (top.log_form or bottom.log_form):
            return Node(token.text, lambda w: top.value(w) / bottom.value(w))

        def log(w: World) -> Any:
            return top.log(w) - bottom.log(w)

        return Node(token.text, lambda w: apply("exp", log(w)), log)

    def derivative(self, by: Sequence[Token], operand: Node | None, start: int) -> Node:
        """A derivative of ``operand``, or of the rest of the product."""
        operand = operand or self.signed()
        variable = self.inner(by)
        base, _, subscript = variable.text.partition("_")

        def value(w: World) -> Any:
            if variable.text in w:
                return slope(w, operand.at(w), w.name_of(variable.text))
            if isinstance(w.get(subscript), int):
                return slope(w, operand.at(w), base, w[subscript])
            # In an expression such as w^2: by the chain rule, through its only letter.
            name = next((token.text for token in by if token.kind == "letter"), variable.text)
            return slope(w, operand.at(w), name) / slope(w, variable.at(w), name)

        return Node(self.since(start), value)

    def function(self, token: Token, start: int) -> Node:
        if token.parts:
            argument = self.inner(token.parts[0])
        elif self.peek().kind in ("(", "["):
            argument = self.inner(self.enclosed())
        else:  # factors, up to a sign, a dot or an integral
            argument = self.factor()
            while self.starts_factor() and self.peek().text not in ("*", "int"):
                argument = _product(argument, self.factor())
        if token.text == "log":
            return Node(self.since(start), argument.log)
        return Node(self.since(start), lambda w: apply(token.text, argument.value(w)))

    def scripts(self) -> tuple[tuple[Token, ...], tuple[Token, ...]]:
        """The limits below and above."""
        found: dict[str, tuple[Token, ...]] = {"_": (), "^": ()}
        while self.peek().kind in found:
            kind = self.take().kind
            found[kind] = self.argument()
        return found["_"], found["^"]

    def big(self, kind: str, start: int) -> Node:
        """A sum or product, or another operator that the world knows, such as ``min_q``."""
        below, above = self.scripts()
        key = f"{kind}_{text_of(below)}"
        ranges = None if key in self.world else self.ranges(below, above)
        body = self.signed()
        text = self.since(start)
        if ranges is None:
            return Node(text, lambda w: w[key](body.at(w)))
        join = {"sum": operator.add, "prod": times}[kind]
        return Node(
            text, lambda w: reduce(join, (body.value(w.bind(names)) for names in ranges(w)))
        )

    def ranges(
        self, below: tuple[Token, ...], above: tuple[Token, ...]
    ) -> Callable[[World], Iterable[dict[str, int]]]:
        """The values of the indices: from ``d=1`` to ``784``, ``i in B``, or ``i,j`` as the world says."""
        if above:
            (_, name), (_, first) = _cut(below, {"relation"})
            low, high = self.inner(first), self.inner(above)
            return lambda w: [
                {text_of(name): i} for i in range(int(low.value(w)), int(high.value(w)) + 1)
            ]
        names, *among = (piece for _, piece in _cut(below, {"in"}))
        values = text_of(among[0]) if among else None

        def ranges(w: World) -> Iterable[dict[str, int]]:
            found: list[dict[str, int]] = [{}]
            for name in (text_of(item) for item in _items(names)):
                found = [{**f, name: i} for f in found for i in w.look_up(values or name)]
            return found

        return ranges

    def integral(self, start: int) -> Node:
        below, above = self.scripts()
        outer, self.differential = self.differential, True
        body = self.signed()
        self.differential = outer
        if self.peek().text != "d":
            raise self.stuck("an integral without its d")
        self.take()
        variable = self.take().text
        region = _statement(below, self.world) if _related(below) else None
        limits = [self.inner(below), self.inner(above)] if above else []

        def value(w: World) -> Any:
            over = (
                interval(variable, *(limit.value(w) for limit in limits))
                if limits
                else _measure(w, variable)
            )
            if region is None:
                return over(body.at(w))
            return over(lambda **z: body.at(w)(**z) * holds(region, w.bind(z)))

        return Node(self.since(start), value)


def gaussian(text: str, *parts: Callable[[World], Any]) -> Node:
    """``N(x; mean, variance)``, a density."""

    def log(w: World) -> Any:
        return log_normal(*(part(w) for part in parts))

    return Node(text, lambda w: apply("exp", log(w)), log)


def _template(text: str, key: str, arguments: dict[str, Node]) -> Node:
    """``p(x|z_l)``, which is ``p(x|z)`` where ``z`` is the value of ``z_l``."""

    def bound(w: World) -> World:
        new = {name: a.value(w) for name, a in arguments.items() if a.text != name}
        return w.bind(new)

    return Node(text, lambda w: bound(w).look_up(key), lambda w: bound(w).log_of(key))


def holds(statement: Statement, world: World) -> Any:
    """Where a statement such as ``u <= F(t)`` holds."""
    left, right = (side.value(world) for side in statement.sides)
    return RELATIONS[statement.relations[0]](left, right)


def _product(left: Node, right: Node) -> Node:
    return Node(
        f"{left.text} {right.text}",
        lambda w: times(left.value(w), right.value(w)),
        (lambda w: left.log(w) + right.log(w)) if left.log_form or right.log_form else None,
    )


def _measure(world: World, variable: str) -> Over:
    return world.look_up(f"d{variable}")


def _names_in(inside: str) -> tuple[list[str], list[str]]:
    """The names in a key, long ones such as ``theta`` too, and the kinds of what separates them."""
    pieces = re.split(r"(\|\||[|,;])", inside)
    return pieces[::2], ["mid" if found == "|" else found for found in pieces[1::2]]


def _fits(argument: str, name: str) -> bool:
    """Whether an argument may stand for a name: ``z_l`` and ``z'`` for z, a longer term for any."""
    return (
        argument == name
        or argument[len(name) : len(name) + 1] in ("_", "'")
        or (not argument.replace("_", "").isalnum())
    )


def _named(world: World, text: str, base: str, items: list[Node]) -> Any:
    """The value of a name, or the entry of a tensor where its subscripts are indices."""
    if text in world:
        return world.look_up(text)
    indices, rest = [], []
    for item in items:
        worked_out = item.text.isdigit() or "_" in item.text
        index = item.value(world) if worked_out else world.get(item.text)
        if isinstance(index, int):
            indices.append(index)
        else:
            rest.append(item.text)
    name = "_".join([base, ",".join(rest)]) if rest else base
    if not indices or name not in world:
        return world.look_up(text)
    return _entry(world.look_up(name), indices)


def _entry(value: Any, indices: Sequence[int]) -> Any:
    """An entry, counted from 1 along the first axes."""
    position = tuple(index - 1 for index in indices)
    return value[position[0]] if len(position) == 1 else value[position]
