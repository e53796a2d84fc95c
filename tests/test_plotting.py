import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from vae_teach.plotting import image_grid, save_image_grid, show_history, show_images


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


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
