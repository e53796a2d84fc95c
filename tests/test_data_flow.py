"""The strip at the head of a chapter."""

import importlib.util
import xml.etree.ElementTree as ET
from pathlib import Path
from unittest.mock import Mock

import pytest
from docutils import nodes
from docutils.parsers.rst import DirectiveError

BOOK = Path(__file__).resolve().parent.parent / "book"
spec = importlib.util.spec_from_file_location("data_flow", BOOK / "_ext" / "data_flow.py")
data_flow = importlib.util.module_from_spec(spec)
spec.loader.exec_module(data_flow)

ORDER = ["x", "encoder", "cloud", "z", "decoder", "probabilities"]


def parse(*lit):
    return ET.fromstring(data_flow.data_flow_svg(list(lit)))


def parts(svg):
    return {g.get("data-part"): g for g in svg.iter("g") if g.get("data-part")}


def xs(element):
    """Horizontal places of what a part draws."""
    found = [float(e.get(k)) for e in element.iter() for k in ("x", "cx") if e.get(k)]
    points = [e.get("points") for e in element.iter("polygon")]
    return found + [float(p.split(",")[0]) for text in points for p in text.split()]


def test_the_parts_stand_in_the_order_of_the_flow():
    drawn = parts(parse())
    assert list(drawn) == ORDER == list(data_flow.PARTS)
    for one, next_one in zip(ORDER, ORDER[1:], strict=False):
        assert max(xs(drawn[one])) < min(xs(drawn[next_one]))


def test_exactly_the_named_parts_are_lit():
    classes = {name: g.get("class") for name, g in parts(parse("z", "encoder")).items()}
    assert classes == {name: "part lit" if name in ("z", "encoder") else "part" for name in ORDER}


def test_it_speaks_to_those_who_cannot_see_it():
    svg = parse("decoder", "cloud")
    assert svg.get("role") == "img" and svg.find("title").text
    description = svg.find("desc").text
    assert all(said in description for said in data_flow.PARTS.values())
    assert description.endswith("This chapter is about a cloud of codes and the decoder.")
    assert "This chapter" not in parse().find("desc").text


def test_it_has_no_colour_of_its_own_and_stays_in_its_box():
    text = data_flow.data_flow_svg(["x"])
    assert "#" not in text and "rgb" not in text and "style=" not in text
    left, top, width, height = map(float, parse().get("viewBox").split())
    assert (left, top) == (0, 0)
    for element in parts(parse()).values():
        assert min(xs(element)) > 0 and max(xs(element)) < width
    for label in parse().iter("text"):
        # No letter of the font is wider than 0.6 of its 12 units on average.
        half = len("".join(label.itertext())) * 12 * 0.6 / 2
        assert half <= float(label.get("x")) <= width - half and float(label.get("y")) < height


def test_an_unknown_part_is_named_with_those_that_exist():
    with pytest.raises(ValueError, match="no part 'decoders'.*encoder, cloud, z, decoder"):
        data_flow.data_flow_svg(["cloud", "decoders"])


def directive(*arguments):
    return data_flow.DataFlow(
        "data-flow", list(arguments), {}, ["a line"], 1, 0, "", Mock(), Mock()
    )


def test_the_directive_gives_html_alone():
    (node,) = directive("cloud").run()
    assert isinstance(node, nodes.raw) and node["format"] == "html"
    assert node.astext() == data_flow.data_flow_svg(["cloud"])


def test_the_directive_fails_on_an_unknown_part():
    with pytest.raises(DirectiveError) as failure:
        directive("clouds").run()
    assert failure.value.level == 3, "an error, by which a build with -W fails"
