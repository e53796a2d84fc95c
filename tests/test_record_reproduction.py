"""What tools/record_reproduction.py trains and writes down, on a few digits, and what it recorded."""

import json
import shlex
from pathlib import Path

import pytest
import record_reproduction as tool
import tyro

from vae_teach import cli, data
from vae_teach.config import TrainConfig
from vae_teach.runs import load_model

RUNS = Path(__file__).resolve().parents[1] / "book" / "runs"
RECORD = json.loads((RUNS / "reproduction.json").read_text())


@pytest.fixture
def small(monkeypatch, tmp_path, tiny_sample, capsys):
    """Two rows that train on a few embedded digits, in this process."""
    monkeypatch.setattr(tool, "WORK", tmp_path / "work")
    monkeypatch.setattr(tool, "BOOK", tmp_path / "book")
    monkeypatch.setattr(tool, "RECORD", tmp_path / "book" / "reproduction.json")
    monkeypatch.setattr(data, "load_mnist", lambda split, root: data.load_mnist_sample("test"))
    options = "--data sample --hidden 8 --latent-dim 2 --epochs 2 --no-progress"

    def row(name, pixels, seeds):
        train = f"{options} --pixels {pixels}"
        return tool.Row(name, "784-8-2", pixels, -100.0, "nobody", train, seeds, 7)

    rows = {"greys": row("Greys", "grey", (0, 1)), "coins": row("Coins", "dynamic", (3,))}
    monkeypatch.setattr(tool, "ROWS", rows)

    def vae_teach(*arguments):
        capsys.readouterr()
        cli.main(list(arguments))
        return capsys.readouterr().out

    monkeypatch.setattr(tool, "vae_teach", vae_teach)
    return tmp_path


def test_each_row_is_trained_evaluated_and_written_beside_the_published_number(small):
    tool.main(["coins"])
    tool.main(["greys"])
    greys, coins = json.loads((small / "book" / "reproduction.json").read_text())["rows"]
    assert (greys["run"], greys["K"], greys["log_likelihood"]) == ("greys", None, None)
    assert (coins["run"], coins["K"], coins["epochs"]) == ("coins", 7, 2)
    assert coins["range_over_seeds"] == [coins["log_likelihood"]["value"]] * 2
    low, high = greys["range_over_seeds"]
    assert low < high and greys["elbo"] in (low, high)
    assert load_model(small / "book" / "coins")[1].seed == 3
    train, evaluate = (small / "book" / "coins" / "command.txt").read_text().splitlines()
    assert train.startswith("python -m vae_teach train --data sample") and "--seed 3" in train
    assert "--num-importance-samples 7" in evaluate


def test_what_is_done_is_not_done_again(small, monkeypatch):
    tool.main(["coins"])
    original, asked = tool.vae_teach, []
    monkeypatch.setattr(tool, "vae_teach", lambda *a: asked.append(a[0]) or original(*a))
    tool.main(["coins"])
    assert asked == ["resume"], "and that has nothing left to train"


@pytest.mark.parametrize("row", RECORD["rows"], ids=lambda row: row["run"])
def test_the_recorded_runs_are_those_of_the_table(row):
    model, config = load_model(RUNS / row["run"])
    arguments = tool.train_arguments(row["run"], 0, f"RUN-{row['run']}")
    written = shlex.split((RUNS / row["run"] / "command.txt").read_text().splitlines()[0])
    assert written == ["python", "-m", "vae_teach", *arguments]
    assert tyro.cli(TrainConfig, args=arguments[1:-2]) == config
    assert (config.epochs, config.pixels, config.train_on_all) == (
        row["epochs"],
        row["pixels"],
        True,
    )
    assert row["num_images"] == 10_000
    if row["pixels"] == "dynamic":
        assert row["K"] == 5000 and row["log_likelihood"]["value"] > row["elbo"]
        assert (config.hidden, config.latent_dim, config.activation) == ((200, 200), 50, "tanh")
