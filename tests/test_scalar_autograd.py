import math

import numpy as np
import pytest
import torch
from helpers import few_examples, tensor
from hypothesis import given
from hypothesis import strategies as st

from vae_teach.scalar_autograd import Value, gradients

# Each runs on Values and on tensors alike; the numbers are the domain of every input.
ANY, POSITIVE = (-5.0, 5.0), (0.05, 5.0)
PRIMITIVES = {
    "x + y": (lambda x, y: x + y, ANY),
    "x - y": (lambda x, y: x - y, ANY),
    "x * y": (lambda x, y: x * y, ANY),
    "x / y": (lambda x, y: x / y, POSITIVE),
    "x + 2.5": (lambda x: x + 2.5, ANY),
    "2 + x": (lambda x: 2 + x, ANY),
    "x - 3": (lambda x: x - 3, ANY),
    "0.5 - x": (lambda x: 0.5 - x, ANY),
    "x * 3": (lambda x: x * 3, ANY),
    "-1.5 * x": (lambda x: -1.5 * x, ANY),
    "x / 4": (lambda x: x / 4, ANY),
    "2 / x": (lambda x: 2 / x, POSITIVE),
    "-x": (lambda x: -x, ANY),
    "x ** 3": (lambda x: x**3, ANY),
    "x ** 2.0": (lambda x: x**2.0, ANY),
    "x ** 1": (lambda x: x**1, ANY),
    "x ** -2": (lambda x: x**-2, POSITIVE),
    "x ** 0.5": (lambda x: x**0.5, POSITIVE),
    "x ** -1.5": (lambda x: x**-1.5, POSITIVE),
    "exp": (lambda x: x.exp(), ANY),
    "log": (lambda x: x.log(), POSITIVE),
    "tanh": (lambda x: x.tanh(), ANY),
    "sigmoid": (lambda x: x.sigmoid(), (-30.0, 30.0)),
    "relu": (lambda x: x.relu(), POSITIVE),
    "relu below 0": (lambda x: (x - 6).relu(), ANY),
}


def by_torch(function, numbers):
    leaves = [tensor(x).requires_grad_() for x in numbers]
    result = function(*leaves)
    slopes = torch.autograd.grad(result, leaves, allow_unused=True)
    return result.item(), [0.0 if slope is None else slope.item() for slope in slopes]


def by_value(function, numbers):
    leaves = [Value(x) for x in numbers]
    result = function(*leaves)
    return result.data, gradients(result, leaves)


@pytest.mark.parametrize("name", PRIMITIVES)
@few_examples
@given(draw=st.data())
def test_primitive_agrees_with_torch_and_central_differences(name, draw):
    function, domain = PRIMITIVES[name]
    numbers = [draw.draw(st.floats(*domain)) for _ in range(function.__code__.co_argcount)]
    value, slopes = by_value(function, numbers)
    expected, expected_slopes = by_torch(function, numbers)
    assert value == pytest.approx(expected, rel=1e-13, abs=1e-15)
    assert slopes == pytest.approx(expected_slopes, rel=1e-12, abs=1e-15)
    for i, x in enumerate(numbers):
        step = 1e-5 * max(abs(x), 0.1)
        up, down = (
            function(*[Value(n + shift * (j == i)) for j, n in enumerate(numbers)]).data
            for shift in (step, -step)
        )
        assert slopes[i] == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-6)


STEPS = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x / (y**2 + 1),
    lambda x, y: x.tanh() + 2 * y,
    lambda x, y: (x - y).sigmoid(),
    lambda x, y: (x**2 + 0.5).log() - y,
    lambda x, y: x.tanh().exp() * y.tanh(),
]


@few_examples
@given(
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0), st.integers(0)), max_size=12),
)
def test_random_graphs_with_reused_nodes_agree_with_torch(numbers, steps):
    def program(*leaves):
        nodes = list(leaves)
        for step, i, j in steps:
            nodes.append(step(nodes[i % len(nodes)], nodes[j % len(nodes)]).tanh())
        return sum(nodes[3:]) + nodes[0] * 0

    value, slopes = by_value(program, numbers)
    expected, expected_slopes = by_torch(program, numbers)
    assert value == pytest.approx(expected, abs=1e-12)
    assert slopes == pytest.approx(expected_slopes, rel=1e-10, abs=1e-11)


def test_asking_twice_gives_the_same_answer():
    x, y = Value(0.3), Value(-1.2)
    z = (x * y).sigmoid() * x + y.exp()
    first = gradients(z, [x, y])
    _ = gradients(x * y + z, [x])
    assert gradients(z, [x, y]) == first
    assert gradients(z, [y, x]) == first[::-1]
    assert all(isinstance(slope, float) for slope in first)


def test_a_node_keeps_only_its_number_and_its_parents():
    assert Value.__slots__ == ("data", "parents")
    assert not hasattr(Value(1), "__dict__")


def test_every_use_of_a_node_counts():
    x = Value(3)
    assert gradients(x * x, [x]) == [6]
    assert gradients(x + x + x, [x]) == [3]
    y = x * 2
    assert gradients(y * y + y, [x, y]) == [26, 13]


@pytest.mark.parametrize(
    "combine",
    [
        lambda near, far: near * far,
        lambda near, far: far * near,
        lambda near, far: near + far * far,
        lambda near, far: far * far + near,
    ],
)
def test_a_node_waits_for_all_its_uses(combine):
    """``near`` is used by the last node and, much earlier, by ``far``."""

    def program(x):
        near = x * 2
        return combine(near, near.exp().tanh() + 1)

    assert by_value(program, [0.7])[1] == pytest.approx(by_torch(program, [0.7])[1])


def test_inputs_may_be_anything():
    x, y, elsewhere = Value(2), Value(5), Value(7)
    z = x * y
    assert gradients(z, [elsewhere, z, x, x]) == [0, 1, 5, 5]
    assert gradients(z, []) == []
    assert gradients(x, [x]) == [1]


def test_equal_numbers_are_different_nodes():
    x, y = Value(2), Value(2)
    assert gradients(x * 3 + y, [x, y]) == [3, 1]


def test_a_graph_100_000_deep_works():
    x = node = Value(0.5)
    for _ in range(100_000):
        node = node * 0.9999 + 1e-4
    assert gradients(node, [x]) == pytest.approx([0.9999**100_000], rel=1e-9)


def test_each_node_is_visited_once():
    """There are 2^300 paths through this graph."""
    x = node = Value(1)
    for _ in range(300):
        node = node + node
    assert gradients(node, [x]) == [2.0**300]


# What has no single answer in the mathematics, decided ----------------------------------------


@pytest.mark.parametrize(
    "x, function, value, slope",
    [
        (0, lambda x: x.relu(), 0, 0),
        (0, lambda x: x**0, 1, 0),
        (0, lambda x: x**1, 0, 1),
        (0, lambda x: x**1.5, 0, 0),
        (0, lambda x: x**2, 0, 0),
        (0, lambda x: 0 / (x + 1), 0, 0),
        (-2, lambda x: x**3.0, -8, 12),
        (-2, lambda x: x**-1, -0.5, -0.25),
        (-2, lambda x: x**0, 1, 0),
        (1000, lambda x: x.sigmoid(), 1, 0),
        (-1000, lambda x: x.sigmoid(), 0, 0),
        (0, lambda x: x.sigmoid(), 0.5, 0.25),
        (1000, lambda x: x.tanh(), 1, 0),
        (-1000, lambda x: x.exp(), 0, 0),
        (3, lambda x: x + True, 4, 1),
        (3, lambda x: False * x, 0, 0),
        (3, lambda x: x**True, 3, 1),
        (3, lambda x: np.float64(2) * x, 6, 2),
        (3, lambda x: np.float64(2) - x, -1, -1),
        (3, lambda x: np.float64(6) / x, 2, -2 / 3),
        (3, lambda x: x / np.float64(2), 1.5, 0.5),
    ],
)
def test_decided(x, function, value, slope):
    assert by_value(function, [x]) == (value, pytest.approx([slope]))


@pytest.mark.parametrize("x", [-700.0, -40.0, -5.0, 5.0, 40.0, 700.0])
def test_sigmoid_is_accurate_at_both_ends(x):
    value, (slope,) = by_value(lambda x: x.sigmoid(), [x])
    tail = math.exp(-abs(x)) / (1 + math.exp(-abs(x)))
    assert (value if x < 0 else 1 - value) == pytest.approx(tail, rel=1e-13, abs=1e-16)
    assert slope == pytest.approx(tail * (1 - tail), rel=1e-13, abs=0)


@pytest.mark.parametrize("number", [3, 2.5, True, np.float64(0.1)])
def test_data_is_a_float(number):
    assert type(Value(number).data) is float
    assert type((Value(2) * number).data) is float
    assert Value(number).data == number
    assert Value(number).parents == ()


def test_it_prints_its_number():
    assert repr(Value(1 / 3)) == "Value(0.333333)"


# Errors that teach ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act, error, message",
    [
        (lambda v: (-v).log(), ValueError, r"logarithm needs a positive number, but got -2"),
        (lambda v: (v - v).log(), ValueError, r"positive number, but got 0"),
        (lambda v: v / 0, ZeroDivisionError, r"Did you divide by a Value of 0"),
        (lambda v: 1 / (v - v), ZeroDivisionError, r"Did you divide by a Value of 0"),
        (lambda v: v / (v - 2), ZeroDivisionError, r"Did you divide by a Value of 0"),
        (lambda v: (v - v) ** 0.5, ZeroDivisionError, r"0 \*\* \(0.5\) has no finite value and"),
        (lambda v: (-v) ** 0.5, ValueError, r"\(-2\) \*\* 0.5 is not real"),
        (lambda v: (-v) ** math.inf, ValueError, r"not real"),
        (lambda v: v**v, TypeError, r"exponent must be a number.*\(b \* a.log\(\)\).exp\(\)"),
        (lambda v: 3**v, TypeError, r"exponent must be a number.*\(b \* math.log\(3\)\).exp\(\)"),
        (lambda v: (v * 355).exp(), OverflowError, r"exp\(710\) is too large"),
        (lambda v: v + "1", TypeError, r"Values, ints and floats, but got '1'"),
        (lambda v: [1] * v, TypeError, r"but got \[1\]"),
        (lambda v: v / None, TypeError, r"but got None"),
        (lambda v: v - 1j, TypeError, r"1j"),
        (lambda v: v**None, TypeError, r"but got None"),
        (lambda v: torch.tensor(2.0) * v, TypeError, r"but got tensor"),
        (lambda v: v + np.array([1.0]), TypeError, r"but got array"),
        (lambda v: np.array([1.0]) + v, TypeError, r"but got array"),
        (lambda v: Value(v), TypeError, r"but got Value\(2\)"),
        (lambda v: Value("2"), TypeError, r"but got '2'"),
    ],
)
def test_error_teaches(act, error, message):
    with pytest.raises(error, match=message):
        act(Value(2))


def test_the_largest_exponents_work():
    assert by_value(lambda x: x.exp(), [709])[0] == math.exp(709)
