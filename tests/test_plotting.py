import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import to_rgb

from vae_teach.plotting import (
    PALETTE,
    STYLE,
    image_grid,
    panels,
    save_image_grid,
    show_clouds,
    show_history,
    show_images,
    use_style,
)


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


@pytest.fixture
def style():
    """The book's style, for one test."""
    with plt.rc_context():
        use_style()
        yield
        plt.close("all")


def images(n, height=3, width=2):
    """Image i has the value i/10 in every pixel."""
    return np.arange(n)[:, None, None] / 10 * np.ones((1, height, width))


def test_images_are_tiled_row_by_row_with_white_between():
    grid = image_grid(images(5), columns=3, pad=1)
    assert grid.shape == (2 * (3 + 1) + 1, 3 * (2 + 1) + 1)
    for index in range(5):
        row, column = divmod(index, 3)
        tile = grid[1 + 4 * row : 4 + 4 * row, 1 + 3 * column : 3 + 3 * column]
        assert (tile == index / 10).all()
    assert (grid[[0, 4, 8]] == 1).all() and (grid[:, [0, 3, 6, 9]] == 1).all()
    assert (grid[5:8, 7:9] == 1).all(), "the place of the sixth image is empty"


@pytest.mark.parametrize("n, tiles", [(1, (1, 1)), (4, (2, 2)), (5, (2, 3)), (64, (8, 8))])
def test_without_a_number_of_columns_the_grid_is_about_square(n, tiles):
    assert image_grid(images(n), pad=0).shape == (3 * tiles[0], 2 * tiles[1])


def test_the_png_has_three_screen_pixels_a_pixel_and_the_greys(tmp_path):
    path = tmp_path / "grid.png"
    pictures = np.linspace(0, 1, 4 * 28 * 28).reshape(4, 28, 28)
    save_image_grid(pictures, path)
    pixels = plt.imread(path)
    assert pixels.shape[:2] == (3 * 62, 3 * 62)
    expected = image_grid(pictures).repeat(3, 0).repeat(3, 1)
    assert np.abs(pixels[..., 0] - expected).max() < 0.01
    assert (pixels[..., 0] == pixels[..., 1]).all(), "grey"


def test_the_file_is_a_png_whatever_its_name(tmp_path):
    save_image_grid(images(2), tmp_path / "grid.xyz")
    assert (tmp_path / "grid.xyz").read_bytes().startswith(b"\x89PNG")


def test_dim_images_are_not_brightened(tmp_path, axes):
    """Black is 0 and white is 1 whatever the images hold."""
    save_image_grid(np.full((1, 28, 28), 0.25), tmp_path / "dim.png")
    assert plt.imread(tmp_path / "dim.png")[40, 40, 0] == pytest.approx(0.25, abs=0.01)
    show_images(axes, np.full((1, 28, 28), 0.25), "dim")
    (picture,) = axes.get_images()
    assert picture.get_clim() == (0, 1) and axes.get_title() == "dim"
    assert not axes.axison


def test_the_curves_show_minus_the_elbo_of_each_split(axes):
    """Rows come from training (numbers) or from history.csv (text)."""
    history = [
        {"epoch": 1, "train_elbo": -200.0, "validation_elbo": -190.0},
        {"epoch": "2", "train_elbo": "-150.5", "validation_elbo": "-149.0"},
    ]
    show_history(axes, history)
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["train"].get_xdata()) == [1, 2]
    assert list(lines["train"].get_ydata()) == [200, 150.5]
    assert list(lines["validation"].get_ydata()) == [190, 149]
    assert axes.get_ylabel() == "-ELBO (nats per image)" and axes.get_xlabel() == "epoch"
    assert axes.get_legend() is not None


def test_the_curves_of_a_run_with_many_draws_show_its_bound(axes):
    show_history(axes, [{"epoch": 1, "train_iwae": -100.0, "validation_iwae": -99.0}])
    assert [line.get_ydata().item() for line in axes.get_lines()] == [100, 99]
    assert axes.get_ylabel() == "-IWAE (nats per image)"


def test_flat_images_and_tensors_are_drawn_as_they_are(axes):
    flat = torch.arange(3 * 16).reshape(3, 16) / 48
    expected = image_grid(flat.reshape(3, 4, 4).numpy())
    assert (image_grid(flat) == expected).all()
    assert (image_grid(flat.numpy()) == expected).all()
    show_images(axes, flat.clone().requires_grad_())
    assert (axes.get_images()[0].get_array() == expected).all()


def red_then_blue():
    """Two images (3, 4, 4): the first is all red, the second blue in its top row."""
    pictures = np.zeros((2, 3, 4, 4))
    pictures[0, 0] = 1
    pictures[1, 2, 0] = 1
    return pictures


def test_colour_is_the_last_axis_of_the_grid():
    grid = image_grid(red_then_blue(), columns=2, pad=1)
    assert grid.shape == (6, 11, 3)
    assert (grid[1:5, 1:5] == (1, 0, 0)).all()
    assert (grid[1, 6:10] == (0, 0, 1)).all() and (grid[2:5, 6:10] == 0).all()
    assert (grid[[0, 5]] == 1).all() and (grid[:, [0, 5, 10]] == 1).all()


def test_flat_colour_images_are_drawn_as_they_are(axes):
    flat = torch.from_numpy(red_then_blue()).flatten(1)
    assert (image_grid(flat) == image_grid(red_then_blue())).all()
    show_images(axes, flat)
    assert (axes.get_images()[0].get_array() == image_grid(flat)).all()


def test_a_colour_png_keeps_its_colours(tmp_path):
    save_image_grid(red_then_blue(), tmp_path / "colour.png")
    pixels = plt.imread(tmp_path / "colour.png")[..., :3]
    assert (pixels == image_grid(red_then_blue()).repeat(3, 0).repeat(3, 1)).all()


def test_means_below_black_and_above_white_are_cut_off():
    """Those of a Gaussian decoder, which nothing holds to [0, 1]."""
    assert image_grid(np.array([[[-0.5, 0.25], [0.75, 1.5]]]), pad=0).tolist() == [
        [0, 0.25],
        [0.75, 1],
    ]


@pytest.mark.parametrize("shape", [(28, 26), (784,), (2, 4, 28, 28), (2, 3, 28, 28, 1)])
def test_what_is_no_list_of_images_is_refused(shape):
    with pytest.raises(ValueError, match=r"\(N, H, W\), or as \(N, H \* H\)"):
        image_grid(np.zeros(shape))


def test_the_style_has_no_frames_and_its_text_is_legible_on_a_telephone(style):
    left, right = panels(2)
    left.plot([0, 1], [0, 1], label="a line")
    left.set(xlabel="epoch", title="left")
    left.legend()
    figure = left.figure
    figure.canvas.draw()
    assert figure.get_constrained_layout() and not left.get_legend().get_frame_on()
    assert not left.spines["top"].get_visible() and not right.spines["right"].get_visible()
    pixels_per_point = 358 / figure.get_figwidth() / 72
    texts = [left.title, left.xaxis.label, *left.get_xticklabels(), *left.get_legend().get_texts()]
    assert min(text.get_size() for text in texts) * pixels_per_point > 8.5
    assert set(STYLE) <= set(plt.rcParams)


def test_panels_have_the_width_of_the_page(style):
    top, bottom = panels(rows=2, height=3, sharex=True)
    assert tuple(top.figure.get_size_inches()) == (5, 3)
    assert top.get_shared_x_axes().joined(top, bottom)


# Machado, Oliveira and Fernandes (2009), severity 1: linear RGB as protanopes and deuteranopes see it.
SEEN_BY = {
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "all": np.eye(3),
}


def lightest_difference(colors, seen_by):
    linear = np.array([to_rgb(color) for color in colors]) ** 2.2
    seen = (linear @ np.array(SEEN_BY[seen_by]).T).clip(0, 1) ** (1 / 2.2)
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    return apart[np.triu_indices(len(colors), 1)].min()


@pytest.mark.parametrize("seen_by", SEEN_BY)
def test_colour_blind_readers_can_tell_the_palette_apart(seen_by):
    assert len(set(PALETTE)) == 10
    assert lightest_difference(PALETTE[:6], seen_by) > 0.15
    assert lightest_difference(["red", "#904000"], "protan") < 0.15, "the measure sees the fault"


def test_a_cloud_is_an_ellipse_at_two_deviations_in_its_labels_colour(axes):
    mu = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    logvar = 2 * torch.log(torch.tensor([[0.5, 1.0], [0.1, 0.2]]))
    show_clouds(axes, mu, logvar, torch.tensor([7, 2], dtype=torch.uint8), names=True)
    (clouds,) = axes.collections
    assert clouds.get_offsets().tolist() == mu.tolist()
    assert np.allclose(clouds.get_widths(), [2, 0.4]) and np.allclose(
        clouds.get_heights(), [4, 0.8]
    )
    for index, label in enumerate((7, 2)):
        assert tuple(clouds.get_facecolor()[index, :3]) == to_rgb(PALETTE[label])
    (prior,) = axes.patches
    assert prior.get_radius() == 2 and prior.center == (0, 0)
    assert {text.get_text(): text.get_position() for text in axes.texts} == {
        "2": (0, 3),
        "7": (1, -2),
    }
    # The lowest ellipse ends at -2 - 2, and the window is a square around 0.
    assert axes.get_xlim() == axes.get_ylim() == pytest.approx((-4.2, 4.2))


def test_the_window_on_the_clouds_can_be_chosen(axes):
    show_clouds(axes, np.zeros((1, 2)), np.zeros((1, 2)), np.array([0]), reach=3)
    assert axes.get_xlim() == (-3, 3) and axes.get_aspect() == 1 and not axes.texts


def test_a_cloud_too_small_to_see_is_drawn_as_a_dot(axes):
    """One dot of the window's fiftieth for the first; the second keeps its own height."""
    logvar = 2 * np.log([[0.001, 0.001], [0.001, 1]])
    show_clouds(axes, np.zeros((2, 2)), logvar, np.array([0, 1]), reach=5)
    (clouds,) = axes.collections
    assert np.allclose(clouds.get_widths(), [0.2, 0.2])
    assert np.allclose(clouds.get_heights(), [0.2, 4])


def test_names_stand_apart_and_the_others_stay_where_they_are(axes):
    mu = np.array([[0.0, 0.0], [0.1, 0.0], [1.0, 2.0], [1.0, 2.0], [-3.0, 1.0]])
    show_clouds(axes, mu, np.zeros((5, 2)), np.arange(5), reach=7, names=True)
    places = np.array([text.get_position() for text in axes.texts])
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert apart[np.triu_indices(5, 1)].min() > 0.99
    assert np.abs(places - mu).max() < 0.6, "no further than needed"
    assert np.allclose(places[4], mu[4], atol=1e-4)
