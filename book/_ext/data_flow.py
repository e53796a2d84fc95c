"""The strip at the head of each chapter: what flows through a VAE, the chapter's own part lit.

In Markdown, with the lit parts as arguments and a line for those who read the notebook in Jupyter,
where an unknown directive is shown as a block of code:

    ```{data-flow} encoder cloud
    image x → encoder → cloud → code z → decoder → probabilities
    ```

HTML gets one inline SVG in the theme's colours (see custom.css); other builders get nothing.
"""

from html import escape

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

WIDTH, HEIGHT, MIDDLE = 384, 100, 42
PIXEL = 6
BITS = ("0011100", "0100010", "0000010", "0011100", "0000010", "0100010", "0011100")
# Tenths: how sure the decoder is that a pixel is lit.
CHANCES = ("0268820", "0310291", "0000273", "0159930", "0000273", "0310291", "0268820")
DOTS = ((-15, 5), (-9, -1), (-6, 8), (-2, -7), (1, 2), (5, 9), (7, -4), (12, -9), (15, 0))

# In the order of the flow; what is said of a part to those who cannot see it.
PARTS = {
    "x": "an image x",
    "encoder": "the encoder",
    "cloud": "a cloud of codes",
    "z": "one code z drawn from the cloud",
    "decoder": "the decoder",
    "probabilities": "a probability for each pixel",
}


def grid(left: int, rows: tuple[str, ...], full: int) -> str:
    """A framed picture of 7 x 7 pixels; ``full`` is the digit that means fully lit."""
    top, side = MIDDLE - 7 * PIXEL // 2, 7 * PIXEL
    pixels = "".join(
        f'<rect x="{left + PIXEL * column}" y="{top + PIXEL * row}" width="{PIXEL}" '
        f'height="{PIXEL}" fill="currentColor" fill-opacity="{int(digit) / full:.1f}" '
        'shape-rendering="crispEdges"/>'
        for row, digits in enumerate(rows)
        for column, digit in enumerate(digits)
        if digit != "0"
    )
    return f'{pixels}<rect class="shape" x="{left}" y="{top}" width="{side}" height="{side}"/>'


def network(left: int, name: str, heights: tuple[int, int]) -> str:
    """A trapezium with its name in it, ``heights`` at its left and right end."""
    first, last = heights[0] // 2, heights[1] // 2
    corners = [(left, -first), (left + 62, -last), (left + 62, last), (left, first)]
    points = " ".join(f"{x},{MIDDLE + y}" for x, y in corners)
    label = f'<text x="{left + 31}" y="{MIDDLE + 4}">{name}</text>'
    return f'<polygon class="shape" points="{points}"/>{label}'


def below(x: int, label: str) -> str:
    return f'<text x="{x}" y="{HEIGHT - 6}">{label}</text>'


def drawings() -> dict[str, str]:
    """The SVG of each part."""
    dots = "".join(f'<circle cx="{163 + x}" cy="{MIDDLE + y}" r="1.7"/>' for x, y in DOTS)
    cloud = f'<ellipse class="shape" cx="163" cy="{MIDDLE}" rx="26" ry="18"'
    return {
        "x": grid(8, BITS, 1) + below(29, "image <tspan>x</tspan>"),
        "encoder": network(63, "encoder", (76, 40)),
        "cloud": f'{cloud} transform="rotate(-22 163 {MIDDLE})"/>{dots}' + below(163, "cloud"),
        "z": f'<circle cx="210" cy="{MIDDLE}" r="4.5"/>' + below(210, "code <tspan>z</tspan>"),
        "decoder": network(231, "decoder", (40, 76)),
        "probabilities": grid(314, CHANCES, 10) + below(335, "probabilities"),
    }


def data_flow_svg(lit: list[str]) -> str:
    """The strip as inline SVG, with the parts named in ``lit`` in the theme's first colour.

    Raises ``ValueError`` when a part does not exist.
    """
    if unknown := [name for name in lit if name not in PARTS]:
        raise ValueError(
            f"the strip has no part {', '.join(map(repr, unknown))}; its parts are {', '.join(PARTS)}"
        )
    description = "From left to right: " + ", ".join(PARTS.values()) + "."
    if lit:
        here = " and ".join(PARTS[name] for name in PARTS if name in lit)
        description += f" This chapter is about {here}."
    arrows = "".join(
        f'<path d="M{x} {MIDDLE}h8m-3 -3l3 3l-3 3"/>' for x in (52, 127, 192, 219, 298)
    )
    parts = "".join(
        f'<g class="part{" lit" if name in lit else ""}" data-part="{name}">{drawing}</g>'
        for name, drawing in drawings().items()
    )
    return (
        f'<svg class="data-flow" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        "<title>The way through a variational autoencoder</title>"
        f"<desc>{escape(description)}</desc>"
        f'<g class="arrows">{arrows}</g>{parts}</svg>'
    )


class DataFlow(SphinxDirective):
    optional_arguments = len(PARTS)
    has_content = True  # read in Jupyter only

    def run(self):
        try:
            return [nodes.raw("", data_flow_svg(self.arguments), format="html")]
        except ValueError as error:
            raise self.error(f"data-flow: {error}.") from error


def setup(app):
    app.add_directive("data-flow", DataFlow)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
