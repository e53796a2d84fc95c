"""Numbers in prose are found where they stand, and missed where they do not."""

import json

import pytest

from equation_checks.prose_numbers import numbers_of, recorded_numbers, unsupported

NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "source": "steps = 4_000\nrate = 2e-3",
            "outputs": [{"output_type": "stream", "text": "loss ≈ 112.68 nats, share 0.4317\n"}],
        }
    ]
}
KNOWN = numbers_of(NOTEBOOK)


@pytest.mark.parametrize(
    "text",
    [
        "The loss is 112.7 nats.",
        "The loss is about 113.",
        "About 43 % of them.",
        "After 4,000 steps at a rate of 0.002.",
        "Two of the 12 networks.",
        "The formula $x = 99$ and `99` and\n\n```python\n99\n```",
        "Others report 99 {cite}`somebody`.",
        "Others report 99 [here](https://example.org).",
        "| a | b |\n|:--|:--|\n| {cite}`somebody` | 99.9 |",
        "Python 3.11/3.13 and ELBO-20.",
        "About 15 minutes.",
    ],
)
def test_a_number_that_stands_somewhere_is_accepted(text):
    assert unsupported([text], KNOWN) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The loss is 112.6 nats.", "112.6"),
        ("The loss is 112.681 nats.", "112.681"),
        ("About 44 % of them.", "44"),
        ("It fell by 43 nats.", "43"),
        ("After 4,001 steps.", "4,001"),
        ("A share of 0.4, or 0.5.", "0.5"),
        ("```{admonition} Predict\n:class: tip\n\nIs it 99?\n```", "99"),
        ("| a | b |\n|:--|:--|\n| {cite}`somebody` | 1 |\n| x | 99.9 |", "99.9"),
    ],
)
def test_a_number_that_stands_nowhere_is_found(text, number):
    (problem,) = unsupported([text], KNOWN)
    assert problem.startswith(f"{number} stands nowhere else")


def test_a_number_of_another_page_stands_beside_a_link_to_it():
    elsewhere = {"colour": {99.0}, "sec-a": {98.0}}
    assert (
        unsupported(["It is 99 ({doc}`colour`).\n\nOr 98 ({ref}`sec-a`)."], set(), elsewhere) == []
    )
    assert unsupported(["| {doc}`colour` | 99 |\n|:--|:--|"], set(), elsewhere) == []
    for text in ("It is 99.\n\n{doc}`colour`", "It is 98 ({doc}`colour`)."):
        assert len(unsupported([text], set(), elsewhere)) == 1


def test_recorded_files_count(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"x": [{"y": -102.42}], "ok": True, "t": "99 s"}))
    (tmp_path / "b.csv").write_text("epoch,loss\n1,117.5\n")
    assert recorded_numbers(sorted(tmp_path.iterdir())) == {102.42, 99.0, 1.0, 117.5}
