"""Derivatives of scalars by the chain rule, readable in one sitting. Standard library only.

A ``Value`` is a number that remembers what it was computed from: pairs of a parent and
the derivative by that parent. ``gradients`` walks the pairs backwards. It leaves nothing
on the nodes, so that asking twice gives the same answer.
"""

import math
from collections.abc import Sequence

__all__ = ["Value", "gradients", "topological_order"]


class Value:
    """A number ``data`` that knows its ``parents``, as pairs ``(parent, derivative)``.

    ``+ - * /`` take Values, ints, floats and bools on either side; the exponent
    of ``**`` is a number. Nodes are compared by identity: compare ``data``.
    Raises ``TypeError`` for other operands; outside a function's domain
    ``ValueError``, ``ZeroDivisionError`` or ``OverflowError``.

    Book: eq-scalar-chain-rule.
    """

    __slots__ = ("data", "parents")
    __array_ufunc__ = None  # tells numpy's numbers to leave the operators to this class

    def __init__(self, data: float, parents: Sequence[tuple["Value", float]] = ()):
        self.data, self.parents = as_float(data), parents

    def __repr__(self) -> str:
        return f"Value({self.data:.6g})"

    def __add__(self, other):
        if isinstance(other, Value):
            return Value(self.data + other.data, ((self, 1.0), (other, 1.0)))
        return Value(self.data + as_float(other), ((self, 1.0),))

    def __mul__(self, other):
        if isinstance(other, Value):
            return Value(self.data * other.data, ((self, other.data), (other, self.data)))
        factor = as_float(other)
        return Value(self.data * factor, ((self, factor),))

    def __pow__(self, exponent):
        if isinstance(exponent, Value):
            raise TypeError("The exponent must be a number. For a ** b write (b * a.log()).exp().")
        base, exponent = self.data, as_float(exponent)
        if base == 0 and exponent < 1 and exponent != 0:
            raise ZeroDivisionError(
                f"0 ** ({exponent:g}) has no finite value and derivative. Did you divide by a Value of 0?"
            )
        if base < 0 and not exponent.is_integer():
            raise ValueError(f"({base:g}) ** {exponent:g} is not real: the base must be positive.")
        derivative = exponent * base ** (exponent - 1) if exponent else 0.0
        return Value(base**exponent, ((self, derivative),))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def __truediv__(self, other):
        return self * (other if isinstance(other, Value) else Value(other)) ** -1

    def __rtruediv__(self, other):
        return self**-1 * other

    def __rpow__(self, base):
        raise TypeError(f"The exponent must be a number. Write (b * math.log({base!r})).exp().")

    def exp(self) -> "Value":
        """Return ``e^x``, with the derivative ``e^x``; x up to 709."""
        if self.data > 709.78:
            raise OverflowError(f"exp({self.data:g}) is too large for a float: x may be up to 709.")
        result = math.exp(self.data)
        return Value(result, ((self, result),))

    def log(self) -> "Value":
        """Return ``log x``, with the derivative ``1 / x``; x must be positive."""
        if self.data <= 0:
            raise ValueError(f"The logarithm needs a positive number, but got {self.data:g}.")
        return Value(math.log(self.data), ((self, 1 / self.data),))

    def relu(self) -> "Value":
        """Return ``max(x, 0)``, with the derivative 1 above 0, else 0."""
        return Value(max(self.data, 0.0), ((self, float(self.data > 0)),))

    def tanh(self) -> "Value":
        """Return ``tanh x``, with the derivative ``1 - tanh(x)^2``."""
        result = math.tanh(self.data)
        return Value(result, ((self, 1 - result**2),))

    def sigmoid(self) -> "Value":
        """Return ``s = 1 / (1 + e^-x)``, with the derivative ``s (1 - s)``.

        Neither end overflows.
        """
        small = math.exp(-abs(self.data))
        result = (1 if self.data >= 0 else small) / (1 + small)
        return Value(result, ((self, small / (1 + small) ** 2),))


def as_float(operand: float) -> float:
    """Return an int, float or bool as a float. Raises ``TypeError`` for anything else."""
    if not isinstance(operand, int | float):
        raise TypeError(f"A Value computes with Values, ints and floats, but got {operand!r}.")
    return float(operand)


def gradients(output: Value, inputs: Sequence[Value]) -> list[float]:
    """Return the derivatives of ``output`` by each of ``inputs``, in their order.

    ``d output / d node = sum over children (d output / d child * d child / d node)``

    They are 0 where ``output`` does not depend on an input.

    Book: eq-scalar-chain-rule.
    """
    total = dict.fromkeys(inputs, 0.0) | {output: 1.0}
    for node in reversed(topological_order(output)):
        for parent, derivative in node.parents:
            total[parent] = total.get(parent, 0.0) + total[node] * derivative
    return [total[node] for node in inputs]


def topological_order(output: Value) -> list[Value]:
    """Return the nodes that ``output`` was computed from, and itself, in topological order.

    Each stands after its parents. The stack is a list, not Python's own, so
    that depth is no limit.
    """
    order, seen, stack = [], set(), [(output, False)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((parent, False) for parent, _ in node.parents)
    return order
