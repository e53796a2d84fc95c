import json
import os
import re
import shutil
import subprocess
import sys

import matplotlib.image
import pytest
import torch

from vae_teach import cli, data, evaluation, runs, training
from vae_teach.config import TrainConfig, build_model

SETTINGS = [name.replace("_", "-") for name in TrainConfig.__dataclass_fields__]
OPTIONS = {
    "data": ["root"],
    "train": ["out", "root", *SETTINGS],
    "resume": ["root", "progress"],
    "evaluate": ["pixels", "on", "num-importance-samples", "seed", "json", "root"],
    "sample": ["out", "count", "draw", "seed"],
    "diagnose": ["function", "decoder", "json"],
    "export-explorer": ["runs", "out"],
}
TINY = ["--data", "sample", "--latent-dim", "2", "--hidden", "8", "--batch-size", "20"]


def run(capsys, *arguments):
    """Exit code, stdout and stderr of one command, in this process."""
    capsys.readouterr()
    code = 0
    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def fails(capsys):
    """The command fails as promised: code 2, one message on stderr, no traceback; the message."""

    def check(*arguments):
        code, out, err = run(capsys, *arguments)
        assert code == 2
        assert out == ""
        assert "Traceback" not in err
        assert err.strip()
        return err

    return check


@pytest.fixture
def fails_plainly(fails):
    """The same, for our own messages: they start with the program's name."""

    def check(*arguments):
        message = fails(*arguments)
        assert message.startswith("vae_teach: ") and message.count("vae_teach: ") == 1
        return message

    return check


# Help -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", OPTIONS)
def test_help_of_each_command_names_every_option(capsys, command):
    code, out, err = run(capsys, command, "--help")
    assert code == 0 and err == ""
    for option in OPTIONS[command]:
        assert re.search(rf"--{option}\b", out), option
    found = {o for o in re.findall(r"--([a-z][a-z-]*)", out) if not o.startswith("no-")}
    named = re.findall(r"--([a-z][a-z-]*)", cli.COMMANDS[command].__doc__)
    assert found - {"help", *named} <= set(OPTIONS[command]), "this list is complete"


def test_help_names_every_command_with_a_sentence(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert list(cli.COMMANDS) == list(OPTIONS)
    for command in OPTIONS:
        assert re.search(rf"\b{command}\s+[A-Z]", out), command


def test_python_m_vae_teach_is_this_program():
    found = subprocess.run(
        [sys.executable, "-m", "vae_teach", "evaluate", "no/such/run"],
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert found.returncode == 2 and found.stdout == ""
    assert found.stderr.startswith(
        "vae_teach: There is no checkpoint no/such/run/model.safetensors"
    )
    assert len(found.stderr.splitlines()) == 1


# Errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting, value, said",
    [
        ("--epochs", "0", "epochs must be a whole number from 1 upwards, but is 0."),
        ("--latent-dim", "-1", "latent_dim must be a whole number from 1 upwards, but is -1."),
        ("--learning-rate", "nan", "learning_rate must be positive and finite, but is nan."),
        ("--hidden", "0", "hidden must list whole numbers from 1 upwards"),
        ("--device", "nonsense", "cannot use the device 'nonsense' on this machine"),
        ("--device", "meta", "cannot use the device 'meta' on this machine"),
        ("--seed", "99999999999999999999", "seed must be at least 0 and less than 2^63"),
    ],
)
def test_a_setting_that_cannot_be_is_one_message(fails_plainly, tmp_path, setting, value, said):
    message = fails_plainly("train", "--out", tmp_path / "run", "--data", "sample", setting, value)
    assert said in message
    assert not (tmp_path / "run").exists()


def test_training_on_all_of_the_sample_is_refused(fails_plainly, tmp_path):
    arguments = ["--out", tmp_path / "run", "--data", "sample", "--train-on-all"]
    assert "train_on_all" in fails_plainly("train", *arguments)


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "evaluate"),
        (["trian"], "trian"),
        (["train"], "--out"),
        (["train", "--out", "x", "--epochs", "many"], "many"),
        (["train", "--out", "x", "--data", "cifar"], "cifar"),
        (["train", "--out", "x", "--speed", "3"], "--speed"),
        (["evaluate", "x", "--pixels", "blue"], "blue"),
    ],
)
def test_a_command_line_that_cannot_be_read_names_the_part(
    fails, tmp_path, monkeypatch, arguments, said
):
    monkeypatch.chdir(tmp_path)
    assert said in fails(*arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["evaluate", "sample", "resume"])
def test_a_missing_run_is_named_with_the_command_that_makes_one(fails_plainly, tmp_path, command):
    message = fails_plainly(command, tmp_path / "nowhere")
    assert "nowhere" in message and "python -m vae_teach train --out" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("command", ["evaluate", "sample", "resume"])
def test_a_damaged_run_is_named(fails_plainly, tiny_run, tmp_path, command):
    folder = shutil.copytree(tiny_run, tmp_path / "run")
    for name in ("model.safetensors", "checkpoint.safetensors"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-10])
    message = fails_plainly(command, folder)
    assert "is not a checkpoint of vae_teach, or is damaged" in message


@pytest.mark.parametrize("command", ["evaluate", "sample", "resume"])
def test_a_run_of_another_version_is_named(fails_plainly, tiny_run, tmp_path, command):
    for name in ("model.safetensors", "checkpoint.safetensors"):
        tensors, metadata = runs.load_tensors(tiny_run / name)
        metadata["config"]["gamma"] = 4
        runs.save_tensors(tmp_path / name, tensors, metadata)
    assert "Unknown settings: gamma" in fails_plainly(command, tmp_path)


@pytest.mark.parametrize("command", [["data"], ["train", "--out", "run"]])
def test_a_folder_without_mnist_is_named(fails_plainly, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    message = fails_plainly(*command, "--root", tmp_path / "empty")
    assert str(tmp_path / "empty") in message and "the folder given" in message
    monkeypatch.setenv("VAE_TEACH_DATA", str(tmp_path / "unset"))
    assert "(VAE_TEACH_DATA)" in fails_plainly(*command)
    assert list(tmp_path.iterdir()) == []


def test_without_files_and_network_there_are_three_ways_on(fails_plainly, monkeypatch):
    monkeypatch.delenv("VAE_TEACH_DATA", raising=False)
    message = fails_plainly("data")
    assert "Three ways on" in message and "--data sample" in message


def test_an_existing_run_is_not_trained_over(fails_plainly, tiny_run):
    before = {path: path.read_bytes() for path in tiny_run.iterdir()}
    message = fails_plainly("train", "--out", tiny_run, *TINY)
    assert "already holds a run" in message and "resume" in message
    assert {path: path.read_bytes() for path in tiny_run.iterdir()} == before


@pytest.mark.parametrize("count", [0, -1])
def test_sampling_no_images_is_refused(fails_plainly, tiny_run, tmp_path, count):
    message = fails_plainly("sample", tiny_run, "--count", count, "--out", tmp_path / "a.png")
    assert f"--count must be at least 1, but is {count}" in message


def test_a_picture_that_cannot_be_written_is_one_message(fails_plainly, tiny_run, tmp_path):
    assert "gone" in fails_plainly("sample", tiny_run, "--out", tmp_path / "gone" / "a.png")


def test_no_importance_samples_are_refused(fails_plainly, tiny_sample, tiny_run):
    arguments = ["--pixels", "dynamic", "--num-importance-samples", "0"]
    assert "must be at least 1" in fails_plainly("evaluate", tiny_run, *arguments)


# Training ---------------------------------------------------------------------------------------


def test_train_says_an_epoch_a_line_and_where_the_run_is(capsys, tiny_sample, tmp_path):
    out = tmp_path / "run"
    code, said, _ = run(capsys, "train", "--out", out, *TINY, "--epochs", "2", "--pixels", "fixed")
    assert code == 0
    lines = said.splitlines()
    assert [line.split("|")[0].strip() for line in lines[:2]] == ["epoch 1/2", "epoch 2/2"]
    assert lines[-1] == f"Done. The run is in {out}"
    _, config = runs.load_model(out)
    assert config == TrainConfig(
        data="sample", latent_dim=2, hidden=(8,), batch_size=20, epochs=2, pixels="fixed"
    )


@pytest.mark.parametrize("finished", [0, 2])
def test_ctrl_c_exits_with_130_and_says_what_is_kept(
    capsys, tiny_sample, tmp_path, monkeypatch, finished
):
    original, calls = training.train_epoch, []

    def stops(*arguments):
        calls.append(1)
        if len(calls) == finished + 1:
            raise KeyboardInterrupt
        return original(*arguments)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(training, "train_epoch", stops)
        code, _, err = run(capsys, "train", "--out", out, *TINY, "--epochs", "3")
    assert code == 130 and "Traceback" not in err
    if finished == 0:
        assert "nothing is kept" in err
        code, _, _ = run(capsys, "train", "--out", out, *TINY, "--epochs", "3")
        assert code == 0, "the same command may be given again"
    else:
        assert f"python -m vae_teach resume {out}" in err
        code, said, _ = run(capsys, "resume", out)
        assert code == 0
        _, again, _ = run(capsys, "resume", out)
        assert again.startswith("All 3 epochs are done: nothing was left to train.")
        assert said.splitlines()[0].startswith("epoch 3/3") and "Done" in said
    assert len((out / "history.csv").read_text().splitlines()) == 4


def test_ctrl_c_in_any_command_exits_with_130(capsys, tiny_run, monkeypatch):
    def stop(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load_model", stop)
    code, _, err = run(capsys, "evaluate", tiny_run)
    assert code == 130 and err.strip() == "Stopped."


# Evaluation -------------------------------------------------------------------------------------


def test_evaluate_as_json_is_one_object_with_a_null_for_grey(capsys, tiny_sample, tiny_run):
    code, out, err = run(capsys, "evaluate", tiny_run, "--json")
    assert code == 0 and err == ""
    found = json.loads(out)
    assert found["data"] == "embedded test digits"
    assert (found["pixels"], found["num_images"]) == ("grey", 16)
    assert found["log_likelihood"] is None and found["num_importance_samples"] is None
    for name in ("elbo", "log_p_x_given_z", "kl"):
        assert found[name].keys() == {"value", "standard_error"}


def test_evaluate_measures_the_model_on_its_test_digits(capsys, tiny_sample, tiny_run):
    arguments = ["--pixels", "dynamic", "--num-importance-samples", "7", "--seed", "5", "--json"]
    _, out, _ = run(capsys, "evaluate", tiny_run, *arguments)
    found = json.loads(out)
    model, _ = runs.load_model(tiny_run)
    generator = torch.Generator().manual_seed(5)
    pixels = data.load_mnist_sample("test").pixels
    images = data.prepare_pixels(pixels, "dynamic", generator)
    expected = evaluation.evaluate(model, images, 7, generator, pixels="dynamic").as_dict()
    assert found == {"data": "embedded test digits"} | expected


def test_evaluate_as_a_table_says_pixels_units_and_errors(capsys, tiny_sample, tiny_run):
    code, out, _ = run(
        capsys, "evaluate", tiny_run, "--pixels", "fixed", "--num-importance-samples", 5
    )
    assert code == 0
    assert out.startswith("16 embedded test digits, fixed pixels, nats per image")
    assert re.search(r"ELBO +-\d+\.\d\d  \+- \d+\.\d\d", out)
    assert "log p(x), K = 5" in out and "active latents" in out
    _, out, _ = run(capsys, "evaluate", tiny_run)
    assert "grey pixels" in out and "none: coins have none for grey pixels" in out


def save_model(folder, config):
    metadata = {"config": config.as_dict(), "epoch": 1}
    runs.save_tensors(folder / runs.MODEL_FILE, build_model(config).state_dict(), metadata)
    return folder


def test_a_run_that_has_seen_the_sample_is_not_evaluated_on_it(fails_plainly, tmp_path):
    folder = save_model(tmp_path, TrainConfig(train_on_all=True, hidden=(8,)))
    message = fails_plainly("evaluate", folder, "--on", "sample")
    assert "all 60,000" in message and "--on mnist" in message


def test_a_run_on_the_train_split_is_evaluated_on_all_embedded_digits(
    capsys, tiny_sample, tmp_path
):
    folder = save_model(tmp_path, TrainConfig(hidden=(8,)))
    code, out, _ = run(capsys, "evaluate", folder, "--on", "sample", "--json")
    assert code == 0
    assert json.loads(out)["num_images"] == 64 + 16
    assert json.loads(out)["data"] == "embedded digits (all in the validation split)"


def test_pixels_and_data_are_those_of_training_unless_named(capsys, tiny_sample, tmp_path):
    settings = TrainConfig(data="sample", pixels="threshold", hidden=(8,), latent_dim=2)
    folder = save_model(tmp_path, settings)
    few = ["--num-importance-samples", "2", "--json"]
    _, out, _ = run(capsys, "evaluate", folder, *few)
    assert json.loads(out)["pixels"] == "threshold"
    assert json.loads(out)["data"] == "embedded test digits"
    _, out, _ = run(capsys, "evaluate", folder, "--pixels", "grey", *few)
    assert json.loads(out)["pixels"] == "grey"


def test_a_run_on_the_sample_never_counts_its_own_training_digits(tiny_sample, tiny_config):
    images, _ = cli.test_images(tiny_config(), "sample", None)
    assert torch.equal(images, data.load_mnist_sample("test").pixels)


def test_mnist_means_the_official_test_images(monkeypatch):
    monkeypatch.setattr(data, "load_mnist", lambda split, root: data.Digits((split, root), None))
    for config in (TrainConfig(), TrainConfig(train_on_all=True), TrainConfig(data="sample")):
        images, name = cli.test_images(config, "mnist", "folder")
        assert images == ("test", "folder") and "MNIST test images" in name


@pytest.mark.parametrize("trained_on, on", [("sample", "openmoji"), ("openmoji", "mnist")])
def test_digits_and_drawings_are_not_mixed_up(tiny_config, trained_on, on):
    with pytest.raises(ValueError, match=f"trained on {trained_on}, whose .* of those of {on}"):
        cli.test_images(tiny_config(data=trained_on), on, None)


# Samples and data -------------------------------------------------------------------------------


@pytest.mark.parametrize("count, size", [(64, 8 * 30 + 2), (9, 3 * 30 + 2)])
def test_sample_writes_a_png_of_the_right_size(capsys, tiny_run, tmp_path, count, size):
    path = tmp_path / "a.png"
    code, out, _ = run(capsys, "sample", tiny_run, "--out", path, "--count", count)
    assert code == 0 and f"Wrote {count} decoder means" in out and str(path) in out
    assert matplotlib.image.imread(path).shape[:2] == (3 * size, 3 * size)


def test_draws_are_bits_and_means_are_greys_and_both_follow_the_seed(capsys, tiny_run, tmp_path):
    pictures = {}
    for name, options in {
        "means": [],
        "again": [],
        "other": ["--seed", "1"],
        "draws": ["--draw"],
    }.items():
        path = tmp_path / f"{name}.png"
        run(capsys, "sample", tiny_run, "--out", path, "--count", "4", *options)
        pictures[name] = matplotlib.image.imread(path)[..., 0]
    assert (pictures["means"] == pictures["again"]).all()
    assert (pictures["means"] != pictures["other"]).any()
    assert len(set(pictures["draws"].ravel())) == 2 < len(set(pictures["means"].ravel()))


@pytest.mark.full_mnist
def test_data_says_where_and_how_many(capsys, full_mnist):
    code, out, _ = run(capsys, "data", "--root", full_mnist)
    assert code == 0
    assert out.splitlines()[0] == f"MNIST in {full_mnist}"
    for split, count in (("train", "50,000"), ("validation", "10,000"), ("test", "10,000")):
        assert re.search(rf"{split} +{count} digits", out)
    assert "4,000 train and 1,000 test digits" in out
