import json
import sys
from pathlib import Path

import pytest

from vae_teach import cli
from vae_teach.inspection import diagnose_file

HEAD = """
import torch
from torch import nn
from torch.nn import functional as F
"""
KL = """
def kl_divergence(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
"""
MEANS = """
def loss_function(recon_x, x, mu, logvar):
    return F.binary_cross_entropy(recon_x, x) + kl_divergence(mu, logvar).mean()
"""
MODEL = """
class VAE(nn.Module):
    def __init__(self, latent_dim=4):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(784, 2 * latent_dim), nn.Linear(latent_dim, 784)

    def reparameterize(self, mu, logvar):
        return mu + torch.exp(logvar) * torch.randn_like(mu)

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)
        return self.decoder(self.reparameterize(mu, logvar)), mu, logvar
"""


@pytest.fixture
def program(tmp_path):
    def write(*parts):
        path = tmp_path / "my_vae.py"
        path.write_text("\n".join([HEAD, *parts]))
        return path

    return write


def codes(report):
    return {name: [f.code for f in found.findings] for name, found in report.diagnoses.items()}


def test_functions_and_classes_are_found_by_their_names(program):
    others = "def train(model, x): ..." + "\n" + "def sample(model, n): ..."
    report = diagnose_file(program(KL, MEANS, MODEL, others))
    assert codes(report) == {
        "kl_divergence": [],
        "loss_function": ["reconstruction-mean-over-pixels"],
        "VAE": [],
        "VAE.reparameterize": ["scale-is-variance"],
    }
    assert report.unchecked == {}


def test_the_decoder_that_fits_best_is_taken_unless_one_is_named(program):
    path = program(KL, MEANS)
    (_, found) = diagnose_file(path).diagnoses.values()
    assert 'decoder="probabilities"' in found.subject
    assert (
        codes(diagnose_file(path, decoder="logits"))["loss_function"][0]
        == "logits-as-probabilities"
    )


def test_arguments_go_by_their_names_where_these_tell_the_order(program):
    swapped = "def vae_loss(x, x_hat, logvar, mu): return loss_function(x_hat, x, mu, logvar)"
    found = codes(diagnose_file(program(KL, MEANS, swapped)))
    assert found["vae_loss"] == found["loss_function"]


def test_a_bound_to_be_raised_is_no_lost_sign(program):
    elbo = """
def elbo(logits, x, mu, logvar):
    log_p = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    return (log_p - kl_divergence(mu, logvar)).mean()
"""
    assert codes(diagnose_file(program(KL, elbo)))["elbo"] == []


def test_what_cannot_be_made_is_said_with_the_reason(program):
    needs = MODEL.replace("latent_dim=4", "latent_dim")
    report = diagnose_file(program(KL, needs))
    assert list(report.unchecked) == ["VAE"]
    assert "latent_dim" in report.unchecked["VAE"]


def test_a_method_that_needs_nothing_of_its_object_is_run_without_one(program):
    needs = (
        MODEL.replace("latent_dim=4", "latent_dim")
        + """
    def kl_loss(self, mu, logvar):
        return kl_divergence(mu, logvar)

    def vae_loss(self, recon, x, mu, logvar):
        return self.weight * loss_function(recon, x, mu, logvar)
"""
    )
    report = diagnose_file(program(KL, MEANS, needs))
    assert codes(report)["VAE.kl_loss"] == []
    assert codes(report)["VAE.reparameterize"] == ["scale-is-variance"]
    assert list(report.unchecked) == ["VAE", "VAE.vae_loss"]


def test_a_model_with_other_outputs_is_not_blamed(program):
    other = MODEL.replace("return self.decoder(self.rep", "return mu, self.decoder(self.rep")
    report = diagnose_file(program(KL, other))
    assert "returns shapes (16, 4), (16, 784)" in report.unchecked["VAE"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1", "nothing that can be checked"),
        ("raise KeyError('lost')", "KeyError: 'lost'"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_checked_is_an_error(program, text, expected):
    with pytest.raises(ValueError, match=expected):
        diagnose_file(program(text))


def test_the_command_exits_with_0_1_and_2(program, capsys):
    cli.main(["diagnose", str(program(KL))])
    assert "✓ kl_divergence" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        cli.main(["diagnose", str(program(KL, MEANS)), "--json"])
    found = json.loads(capsys.readouterr().out)["diagnoses"]["loss_function"]
    assert stopped.value.code == 1
    assert found["findings"][0]["code"] == "reconstruction-mean-over-pixels"
    for wrong in (["nowhere.py"], [str(program(KL)), "--function", "elbo"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["diagnose", *wrong])
        assert stopped.value.code == 2
    assert "has no function or class 'elbo'" in capsys.readouterr().err


def test_one_function_may_be_named(program):
    report = diagnose_file(program(KL, MEANS, MODEL), name="VAE")
    assert list(report.diagnoses) == ["VAE", "VAE.reparameterize"]


def test_the_readme_shows_what_the_command_prints(program, capsys):
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf8")
    shown = text.split("$ vae-teach diagnose my_vae.py\n")[1].split("```")[0]
    right = MODEL.replace("torch.exp(logvar)", "torch.exp(logvar / 2)")
    with pytest.raises(SystemExit):
        cli.main(["diagnose", str(program(KL, MEANS, right))])
    assert set(shown.splitlines()) <= set(capsys.readouterr().out.splitlines())


def test_a_file_with_data_classes_and_a_command_line_can_be_imported(program):
    more = """
import argparse, sys
from dataclasses import dataclass
sys.path.insert(0, "somewhere")
options = argparse.ArgumentParser().parse_args()

@dataclass
class Config:
    width: "int" = 3
"""
    path = program(more, KL)
    path.write_text("from __future__ import annotations\n" + path.read_text())
    search, arguments = list(sys.path), sys.argv
    assert codes(diagnose_file(path)) == {"kl_divergence": []}
    assert sys.path == search and sys.argv is arguments
    assert path.stem not in sys.modules


def test_a_class_that_cannot_be_made_here_leaves_the_rest_to_be_checked(program):
    broken = MODEL.replace("super().__init__()", "raise RuntimeError('no weights here')")
    report = diagnose_file(program(KL, broken))
    assert codes(report)["kl_divergence"] == []
    assert "RuntimeError: no weights here" in report.unchecked["VAE"]


def test_a_named_function_without_arguments_is_told(program):
    with pytest.raises(ValueError, match="its name and arguments do not say what it is"):
        diagnose_file(program("def main():\n    pass"), "main")


def test_what_a_file_prints_is_no_part_of_the_json(program, capsys):
    cli.main(["diagnose", str(program("print('on the CPU')", KL)), "--json"])
    out, err = capsys.readouterr()
    assert json.loads(out)["diagnoses"]["kl_divergence"]["findings"] == []
    assert "on the CPU" in err
