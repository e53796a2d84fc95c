"""The glossary has what readers look up, two sentences for each, and a place to go to."""

import re
from pathlib import Path

import pytest
import yaml

from equation_checks.book import Book

BOOK = Book(Path(__file__).resolve().parents[2])
PAGE = (BOOK.folder / "glossary.md").read_text(encoding="utf8")
CONFIG = yaml.safe_load((BOOK.root / "_config.yml").read_text(encoding="utf8"))
# What people type into a search engine when something is wrong, or when they have read a title.
SEARCHED = """
    posterior collapse, aggregated posterior, hole problem, KL annealing, free bits, disentanglement,
    VQ-VAE, hierarchical VAE, conditional VAE, Gumbel-softmax, straight-through estimator, beta-VAE,
    bits per dimension, dequantisation, rate-distortion, mutual information, diffusion model,
    amortisation, amortisation gap, approximation gap, ELBO, evidence, marginal likelihood,
    posterior, prior, latent variable, encoder, recognition network, decoder, variational inference,
    reparameterisation trick, score-function estimator, REINFORCE, control variate, baseline,
    importance sampling, IWAE, Jensen's inequality, KL divergence, mode-covering, mode-seeking,
    log-variance, Bernoulli likelihood, BCE, continuous Bernoulli, Gaussian likelihood, MSE,
    learned variance, active unit, nat, Monte Carlo, standard error, minibatch, mean field, EM,
    wake-sleep, free energy, normalising flow, lamp strip, FID, logit, logsumexp, binarisation,
    autoencoder, prior sample, reconstruction, interpolation
"""


def entries_of(page):
    """From the names of each entry, as a tuple, to its text."""
    inside = re.search(r"```\{glossary\}\n:sorted:\n\n(.*)\n```", page, re.DOTALL)[1]
    entries = {}
    for block in inside.split("\n\n"):
        lines = block.splitlines()
        names = tuple(line.split(" : ")[0] for line in lines if not line.startswith("  "))
        entries[names] = " ".join(line.strip() for line in lines[len(names) :])
    return entries


ENTRIES = entries_of(PAGE)
NAMES = [name for names in ENTRIES for name in names]


def test_what_readers_search_for_is_there_once():
    assert {" ".join(name.split()) for name in SEARCHED.split(",")} <= set(NAMES)
    assert len(NAMES) == len({name.lower() for name in NAMES})


@pytest.mark.parametrize("names", ENTRIES, ids=lambda names: names[0])
def test_an_entry_is_two_sentences_and_a_place(names):
    said, arrow, places = ENTRIES[names].partition(" → ")
    assert len(re.findall(r"[.?!](?= |$)", said)) == 2 and said[-1] in ".?"
    assert re.fullmatch(r"\{(ref|doc|eq)\}`[\w-]+`(, \{(ref|doc|eq)\}`[\w-]+`)*", places)


def test_names_that_are_not_linked_are_names_of_the_glossary():
    everyday = CONFIG["sphinx"]["config"]["glossary_everyday"]
    assert set(everyday) <= set(NAMES)
