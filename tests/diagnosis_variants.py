"""Programs for `vae_teach.diagnosis` to judge: VAE code as people write it, right and wrong.

A variant is a function or a module with the name of its entry (`"kl"` for `diagnose_kl`, ...) and
its label: `right` (with the notes expected), `wrong` (with the code that must come first, or two if
it has two mistakes) or `undecidable` (with the codes that would be wrong to name, and why).
`test_diagnosis_variants.py` proves the labels from `torch.distributions`, without the tool.

What a label is proved with is `equals`: the value that the program must have, from what it asks for
by name. Unless said otherwise these are float64 tensors with B images, P pixels, D latents:

    R (B, P)   -log p(x | z) of each pixel        K (B, D)   KL of each latent to N(0, 1)
    E (B, P)   squared error of the mean          mu, h (B, D)   the arguments, h = logvar
    params, x (B, P)   z, eps (B, D)   B, P, D   numbers

Without `equals` a wrong variant is proved by what its code says (gradient, noise, finiteness).
"""

import inspect
import math
from collections import namedtuple
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import distributions, nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

PIXELS = 784

# --------------------------------------------------------------------------- what labels rest on


def KL(mu, logvar):
    return kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0))


def nll_logits(params, x):
    return -Bernoulli(logits=params, validate_args=False).log_prob(x)


def nll_probabilities(params, x):
    return -Bernoulli(probs=params, validate_args=False).log_prob(x)


def nll_means(params, x, sigma=1.0):
    return -Normal(params, sigma).log_prob(x)


NLL = {"logits": nll_logits, "probabilities": nll_probabilities, "means": nll_means}


# --------------------------------------------------------------------------------- the registry


@dataclass(frozen=True)
class Variant:
    made_from: object
    entry: str
    codes: tuple = ()  # wrong: what must come first, of two mistakes either; right: notes expected
    also: tuple = ()  # other codes that are as good a name for the same mistake
    never: tuple = ()  # undecidable: what would be wrong to name
    why: str = ""
    decoder: str = "logits"
    equals: object = None
    z: object = None  # of a step: what takes the place of mu + sigma eps
    positive: bool = False  # proved where h > 0; elsewhere the program gives NaN
    sigma: float = 1.0  # of R with decoder="means"
    images: bool = False  # x is (B, 1, 28, 28), else (B, 784)

    @property
    def name(self):
        return self.made_from.__name__

    def build(self):
        """What to hand to the tool, new each time, and the network that it stands on, if any."""
        if self.entry not in ("step", "model"):
            return self.made_from, None
        with torch.random.fork_rng():
            torch.manual_seed(1)
            made = self.made_from()
        if isinstance(made, tuple):
            return made
        return (made if self.entry == "model" else made.program()), made

    def batch(self, size=24, seed=0):
        """Bits, with pixels that differ in how often they are on."""
        generator = torch.Generator().manual_seed(seed)
        often = torch.rand(PIXELS, generator=generator)
        x = (torch.rand(size, PIXELS, generator=generator) < often).to(torch.get_default_dtype())
        return x.reshape(-1, 1, 28, 28) if self.images else x

    def diagnose(self, diagnosis):
        """Ask the tool, the module `vae_teach.diagnosis`."""
        program, _ = self.build()
        if self.entry in ("step", "model"):
            return getattr(diagnosis, f"diagnose_{self.entry}")(program, self.batch())
        taken = self.entry in ("reconstruction", "loss")
        options = {"decoder": self.decoder} if taken else {}
        return getattr(diagnosis, f"diagnose_{self.entry}")(program, **options)

    def objection(self, found):
        """What is wrong with a diagnosis of this variant, or None. `found` has ok and findings."""
        named = [finding.code for finding in found.findings]
        blamed = [finding.code for finding in found.findings if not finding.note]
        if self in RIGHT and not found.ok:
            return f"false alarm: {blamed}"
        if self in RIGHT and not set(self.codes) <= set(named):
            return f"notes {self.codes} expected, got {named}"
        if self in WRONG + EXTRA and found.ok:
            return f"missed: {self.codes}"
        if self in WRONG and named[0] not in self.codes + self.also:
            return f"{self.codes} must come first, got {named}"
        if self in WRONG and not self.also and not set(self.codes) <= set(named):
            return f"{self.codes} are both there, got {named}"
        if self in UNDECIDABLE and set(named) & set(self.never):
            return f"named {sorted(set(named) & set(self.never))}: {self.why}"
        return None


RIGHT, WRONG, UNDECIDABLE, EXTRA = [], [], [], []


def entered(into, entry, codes=(), **fields):
    def enter(made_from):
        into.append(Variant(made_from, entry, codes, **fields))
        return made_from

    return enter


def right(entry, *notes, **fields):
    return entered(RIGHT, entry, notes, **fields)


def wrong(entry, *codes, **fields):
    return entered(WRONG, entry, codes, **fields)


def undecidable(entry, **fields):
    return entered(UNDECIDABLE, entry, **fields)


def extra(entry, proposed, **fields):
    """A mistake of another kind than the list of codes that these variants were written from."""
    return entered(EXTRA, entry, (proposed,), **fields)


# Every code that the tool may name: of the KL, the reconstruction, the loss, the sampler, the model,
# and of anything.
CODES = {
    "kl-sign",
    "kl-factor",
    "kl-mean-over-latents",
    "kl-mean-over-batch",
    "kl-std-as-logvar",
    "kl-var-as-logvar",
    "kl-log-std",
    "kl-missing-term",
    "kl-broadcast-over-batch",
    "kl-over-wrong-axis",
    "kl-of-the-sample",
    "kl-reversed",
    "mu-and-logvar-swapped",
    "exp-twice",
    "free-bits-or-clamp",
    "reconstruction-sign",
    "reconstruction-mean-over-pixels",
    "logits-as-probabilities",
    "sigmoid-twice",
    "squared-error",
    "absolute-error",
    "constant-missing",
    "constant-wrong",
    "arguments-swapped",
    "pixels-out-of-range",
    "not-finite",
    "loss-sign",
    "beta",
    "weight-of-minibatch",
    "no-noise",
    "stale-noise",
    "same-noise-for-all",
    "scale-is-variance",
    "scale-is-logvar",
    "scale-is-precision",
    "noise-scale",
    "noise-not-normal",
    "no-gradient-to-mu",
    "no-gradient-to-logvar",
    "no-gradient-to-encoder",
    "no-gradient-to-decoder",
    "noise-off-in-training",
    "same-output-for-all-images",
    "params-are-probabilities",
    "not-written-yet",
    "raised",
    "wrong-shape",
    "unexplained",
}

# ================================================================================== kl: right


@right("kl", equals=lambda K: K.sum())
def kl_pytorch_sum(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


@right("kl", equals=lambda K: K.sum(1))
def kl_per_image_method_style(mu, logvar):
    return mu.pow(2).add(logvar.exp()).sub(logvar).sub(1).mul(0.5).sum(dim=-1)


@right("kl", equals=lambda K: K)
def kl_per_latent(mean, log_var):
    return 0.5 * (mean**2 + torch.exp(log_var) - log_var - 1.0)


@right("kl", "kl-mean-over-batch", equals=lambda K: K.sum(1).mean())
def kl_lightning_mean_of_sums(mu, log_var):
    return torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0)


@right("kl", "kl-mean-over-batch", equals=lambda K: K.sum() / len(K))
def kl_divided_by_len(mu, logvar):
    total = -0.5 * (1 + logvar - mu * mu - logvar.exp()).sum()
    return total / len(mu)


@right("kl", equals=lambda K: K.sum(1))
def kl_torch_distributions(mu, logvar):
    posterior = Normal(mu, torch.exp(0.5 * logvar))
    prior = Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return kl_divergence(posterior, prior).sum(-1)


@right("kl", equals=lambda K: K.sum(1))
def kl_independent_normals(mu, logvar):
    q = Independent(Normal(mu, (logvar / 2).exp()), 1)
    p = Independent(Normal(torch.zeros_like(mu), 1.0), 1)
    return kl_divergence(q, p)


@right("kl", equals=lambda K: K.sum())
def kl_einsum_in_float64(mu, logvar):
    mu, logvar = mu.double(), logvar.double()
    squares = torch.einsum("bd,bd->", mu, mu)
    return 0.5 * (squares + torch.einsum("bd->", logvar.exp() - logvar) - mu.numel())


@right("kl", equals=lambda K: K.sum(1))
def kl_through_sigma(mu, logvar):
    sigma = torch.exp(logvar / 2)
    return ((sigma**2 + mu**2) / 2 - torch.log(sigma) - 0.5).sum(1)


@right("kl", equals=lambda K: K.sum())
def kl_in_place_on_its_own_tensor(mu, logvar):
    terms = mu.square()
    terms.add_(logvar.exp()).sub_(logvar).sub_(1)
    return terms.sum().mul(0.5)


@right("kl", "free-bits-or-clamp", equals=lambda K: K.clamp(min=0.25).sum(1))
def kl_free_bits_each_latent(mu, logvar):
    each = 0.5 * (mu.pow(2) + logvar.exp() - 1 - logvar)
    return torch.clamp(each, min=0.25).sum(dim=1)


@right("kl", "free-bits-or-clamp", equals=lambda mu, h: KL(mu, h.clamp(-1.5, 1.5)).sum(1))
def kl_of_a_clamped_logvar(mu, logvar):
    logvar = torch.clamp(logvar, -1.5, 1.5)
    return -0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar), dim=1)


@right("kl", equals=lambda K: K.sum(1).mean())
def kl_with_a_clamp_far_out(mu, logvar):
    # Nothing to say about it where log-variances are what they are in a network.
    logvar = logvar.clamp(-30.0, 20.0)
    return (0.5 * (mu**2 + logvar.exp() - 1 - logvar)).sum(1).mean()


# ================================================================================== kl: wrong


@wrong("kl", "kl-sign", equals=lambda K: -K.sum())
def kl_pytorch_without_the_minus(mu, logvar):
    return 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


@wrong("kl", "kl-sign", equals=lambda K: -K.sum(1))
def kl_minus_kl_divergence(mu, logvar):
    return -kl_divergence(Normal(mu, torch.exp(logvar / 2)), Normal(0.0, 1.0)).sum(1)


@wrong("kl", "kl-sign", equals=lambda K, mu: (K - mu**2).sum())
def kl_pytorch_plus_mu_squared(mu, logvar):
    return -0.5 * torch.sum(1 + logvar + mu.pow(2) - logvar.exp())


@wrong("kl", "kl-sign", equals=lambda K, h: (K + h).sum(1))
def kl_plus_logvar(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() + logvar - 1).sum(1)


@wrong("kl", "kl-sign", equals=lambda K, h: (K - h.exp()).sum())
def kl_plus_exp_inside_the_bracket(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu**2 + torch.exp(logvar))


@wrong("kl", "kl-factor", equals=lambda K: 2 * K.sum())
def kl_half_is_lost(mu, logvar):
    return -torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


@wrong("kl", "kl-factor", equals=lambda K: 2 * K.sum(1))
def kl_half_is_lost_per_image(mu, logvar):
    return (mu.square() + logvar.exp() - 1 - logvar).sum(dim=1)


@wrong("kl", "kl-factor", equals=lambda K: K.sum(1) / 2)
def kl_half_taken_twice(mu, logvar):
    kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1)
    return 0.5 * kl


@wrong("kl", "kl-factor", equals=lambda K, mu: (K + mu**2 / 2).sum())
def kl_half_does_not_reach_mu_squared(mu, logvar):
    return torch.sum(mu.pow(2) - 0.5 * (1 + logvar - logvar.exp()))


@wrong("kl", "kl-factor", equals=lambda K, h: (K - h / 2).sum(1))
def kl_log_sigma_and_logvar_mixed(mu, logvar):
    return -0.5 * (1 + 2 * logvar - mu**2 - torch.exp(logvar)).sum(1)


@wrong("kl", "kl-mean-over-latents", equals=lambda K: K.mean(1))
def kl_keras_mean_over_last_axis(mu, logvar):
    return -0.5 * torch.mean(1 + logvar - torch.square(mu) - torch.exp(logvar), dim=-1)


@wrong("kl", "kl-mean-over-latents", equals=lambda K: K.mean())
def kl_pytorch_mean_for_sum(mu, logvar):
    return -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())


@wrong("kl", "kl-mean-over-latents", equals=lambda K: K.mean(1))
def kl_divided_by_its_latents(mu, logvar):
    kl = kl_divergence(Normal(mu, logvar.mul(0.5).exp()), Normal(0.0, 1.0))
    return kl.sum(1) / mu.shape[1]


@wrong("kl", "kl-std-as-logvar", equals=lambda mu, h: KL(mu, h.square().log()).sum())
def kl_appendix_b_with_sigma(mu, sigma):
    return -0.5 * torch.sum(1 + torch.log(sigma**2) - mu**2 - sigma**2)


@wrong(
    "kl",
    "kl-std-as-logvar",
    positive=True,
    equals=lambda mu, h: KL(mu, 2 * h.log()).sum(1),
)
def kl_with_log_of_std(mu, std):
    return (-std.log() + (std**2 + mu**2) / 2 - 0.5).sum(1)


@wrong(
    "kl",
    "kl-std-as-logvar",
    also=("raised",),
    positive=True,
    equals=lambda mu, h: KL(mu, 2 * h.log()).sum(1),
)
def kl_normal_takes_it_as_its_scale(mu, std):
    return kl_divergence(Normal(mu, std), Normal(0.0, 1.0)).sum(1)


@wrong("kl", "kl-var-as-logvar", positive=True, equals=lambda mu, h: KL(mu, h.log()).sum())
def kl_with_log_of_var(mu, var):
    return -0.5 * torch.sum(1 + torch.log(var) - mu.pow(2) - var)


@wrong("kl", "kl-var-as-logvar", positive=True, equals=lambda mu, h: KL(mu, h.log()).sum(1))
def kl_with_log_of_var_plus_epsilon(mean, variance):
    return 0.5 * (mean**2 + variance - torch.log(variance + 1e-8) - 1).sum(dim=1)


@wrong("kl", "kl-log-std", equals=lambda mu, h: KL(mu, 2 * h).sum())
def kl_with_log_sigma(mu, log_sigma):
    return -0.5 * torch.sum(1 + 2 * log_sigma - mu**2 - torch.exp(2 * log_sigma))


@wrong("kl", "kl-log-std", equals=lambda mu, h: KL(mu, 2 * h).sum(1))
def kl_normal_with_exp_as_scale(mu, log_std):
    return kl_divergence(Normal(mu, log_std.exp()), Normal(0.0, 1.0)).sum(-1)


@wrong("kl", "kl-missing-term", equals=lambda K: (K + 0.5).sum())
def kl_without_one(mu, logvar):
    return -0.5 * torch.sum(logvar - mu.pow(2) - logvar.exp())


@wrong("kl", "kl-missing-term", equals=lambda K, mu: (K - mu**2 / 2).sum(1))
def kl_without_mu(mu, logvar):
    return -0.5 * (1 + logvar - logvar.exp()).sum(1)


@wrong("kl", "kl-missing-term", equals=lambda K, h: (K + h / 2).sum())
def kl_without_logvar(mu, logvar):
    return -0.5 * torch.sum(1 - mu.pow(2) - logvar.exp())


@wrong("kl", "kl-missing-term", equals=lambda K, h: (K - h.exp() / 2).sum(1))
def kl_without_the_variance(mu, logvar):
    return -0.5 * (1 + logvar - mu**2).sum(1)


@wrong("kl", "kl-over-wrong-axis", equals=lambda K: K.sum(0))
def kl_summed_over_dim_0(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=0)


@wrong("kl", "kl-over-wrong-axis", equals=lambda K: K.sum(0))
def kl_numpy_style_axis_0(mu, logvar):
    return kl_divergence(Normal(mu, torch.exp(0.5 * logvar)), Normal(0.0, 1.0)).sum(axis=0)


@wrong("kl", "exp-twice", equals=lambda K, h: (K + (h.exp().exp() - h.exp()) / 2).sum())
def kl_exp_of_the_variance(mu, logvar):
    var = torch.exp(logvar)
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - var.exp())


# Read in place, logvar and exp(logvar) cancel: from outside, as if both were missing.
@wrong(
    "kl",
    "exp-twice",
    also=("kl-missing-term",),
    equals=lambda mu: (mu**2 / 2 - 0.5).sum(1),
)
def kl_exp_in_place_first(mu, logvar):
    logvar = logvar * 1.0
    var = logvar.exp_()
    return -0.5 * (1 + logvar - mu.pow(2) - var).sum(1)


# A leaf that needs its gradient refuses to be changed in place.
@wrong(
    "kl",
    "exp-twice",
    also=("kl-missing-term", "raised"),
    equals=lambda mu: (mu**2 / 2 - 0.5).sum(),
)
def kl_exp_in_place_of_its_argument(mu, logvar):
    var = logvar.exp_()
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - var)


@wrong("kl", "not-finite")
def kl_log_of_a_product_of_variances(mu, logvar):
    var = logvar.exp()
    return 0.5 * (mu.pow(2).sum(1) + var.sum(1) - mu.size(1) - torch.log(var.prod(1)))


@wrong("kl", "not-finite")
def kl_log_of_a_determinant(mu, logvar):
    cov = torch.diag_embed(logvar.exp())
    trace = cov.diagonal(dim1=1, dim2=2).sum(1)
    return 0.5 * (trace + mu.pow(2).sum(1) - mu.shape[1] - torch.log(torch.linalg.det(cov)))


@wrong("kl", "not-written-yet")
def kl_to_do_with_an_error(mu, logvar):
    raise NotImplementedError("TODO: your KL")


@wrong("kl", "not-written-yet")
def kl_to_do_with_dots(mu, logvar):
    return ...


@wrong("kl", "raised")
def kl_with_a_misspelt_name(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - log_var.exp())  # noqa: F821 (that is the mistake)


@wrong("kl", "raised")
def kl_math_exp_of_a_tensor(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu**2 - math.exp(logvar))


@wrong("kl", "wrong-shape")
def kl_keepdim(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1, keepdim=True)


@wrong("kl", "unexplained", equals=lambda mu: mu.abs().sum())
def kl_is_an_l1_norm(mu, logvar):
    return mu.abs().sum()


@wrong("kl", "unexplained", equals=lambda mu, h: F.kl_div(mu, h, reduction="sum", log_target=True))
def kl_by_kl_div_of_torch(mu, logvar):
    return F.kl_div(mu, logvar, reduction="sum", log_target=True)


# ==================================================================== reconstruction: right


@right("reconstruction", equals=lambda R: R.sum())
def rec_with_logits_sum(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum")


@right("reconstruction", equals=lambda R: R.sum())
def rec_module_with_logits(recon_x, x):
    return nn.BCEWithLogitsLoss(reduction="sum")(recon_x, x.view(-1, 784))


@right("reconstruction", equals=lambda R: R.sum(1))
def rec_softplus_by_hand(logits, x):
    return (F.softplus(logits) - x * logits).sum(1)


@right("reconstruction", equals=lambda R: R.sum(1).mean())
def rec_batchmean(logits, x):
    loss = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return loss.flatten(1).sum(dim=1).mean()


@right("reconstruction", equals=lambda R: R.sum(1))
def rec_bernoulli_of_torch(logits, x):
    # Refuses an x that is not 0 or 1.
    return -Independent(Bernoulli(logits=logits), 1).log_prob(x)


@right("reconstruction", equals=lambda R: R.sum(1))
def rec_logsigmoid_einsum_in_float64(logits, x):
    logits, x = logits.double(), x.double()
    on = torch.einsum("bp,bp->b", x, F.logsigmoid(logits))
    return -on - torch.einsum("bp,bp->b", 1 - x, F.logsigmoid(-logits))


@right("reconstruction", equals=lambda R: R.mean() * 784)
def rec_keras_mean_times_784(logits, x):
    return 784 * F.binary_cross_entropy_with_logits(logits, x)


@right("reconstruction", decoder="probabilities", equals=lambda R: R.sum())
def rec_pytorch_bce_sum(recon_x, x):
    return F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum")


@right("reconstruction", decoder="probabilities", equals=lambda R: R.sum() / len(R))
def rec_bceloss_module_over_batch(recon_x, x):
    return nn.BCELoss(reduction="sum")(recon_x, x) / x.size(0)


@right("reconstruction", decoder="probabilities", equals=lambda R: R.sum(1))
def rec_log_by_hand_with_clamp(p, x):
    p = p.clamp(1e-7, 1 - 1e-7)
    return -(x * p.log() + (1 - x) * (1 - p).log()).sum(1)


@right("reconstruction", decoder="means", equals=lambda R: R.sum(1))
def rec_normal_with_unit_sigma(mean, x):
    return -Normal(mean, torch.ones_like(mean)).log_prob(x).sum(-1)


@right(
    "reconstruction",
    decoder="means",
    sigma=0.1,
    equals=lambda R: R.sum(),
)
def rec_gaussian_by_hand_sigma_a_tenth(mean, x):
    sigma = 0.1
    each = ((x - mean) / sigma) ** 2 / 2 + math.log(sigma * math.sqrt(2 * math.pi))
    return each.sum()


@right("reconstruction", "constant-missing", decoder="means", equals=lambda E: E.sum())
def rec_mse_sum(recon_x, x):
    return F.mse_loss(recon_x, x, reduction="sum")


@right("reconstruction", "constant-missing", decoder="means", equals=lambda E: E.sum(1) / 2)
def rec_half_squared_error(mean, x):
    return 0.5 * (mean - x).pow(2).sum(dim=1)


@right("reconstruction", decoder="means", equals=lambda R: R.sum())
def rec_gaussian_nll_full(mean, x):
    return F.gaussian_nll_loss(mean, x, torch.ones_like(x), full=True, reduction="sum")


# ==================================================================== reconstruction: wrong


@wrong("reconstruction", "reconstruction-sign", equals=lambda R: -R.sum(1))
def rec_log_prob_without_the_minus(logits, x):
    # As Bernoulli(logits).log_prob(x) for grey pixels as well.
    return distributions.Bernoulli(logits=logits, validate_args=False).log_prob(x).sum(-1)


@wrong("reconstruction", "reconstruction-sign", equals=lambda R: -R.sum(1).mean())
def rec_minus_bce(logits, x):
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return -bce.sum(1).mean()


@wrong("reconstruction", "reconstruction-sign", decoder="probabilities", equals=lambda R: -R.sum())
def rec_by_hand_without_the_minus(p, x):
    p = p.clamp(1e-6, 1 - 1e-6)
    return torch.sum(x * torch.log(p) + (1 - x) * torch.log(1 - p))


@wrong("reconstruction", "reconstruction-sign", decoder="means", equals=lambda R: -R.sum(1))
def rec_normal_log_prob(mean, x):
    return Normal(mean, 1.0).log_prob(x).sum(dim=1)


@wrong("reconstruction", "reconstruction-mean-over-pixels", equals=lambda R: R.mean())
def rec_with_logits_default_reduction(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x)


@wrong("reconstruction", "reconstruction-mean-over-pixels", equals=lambda R: R.mean(1))
def rec_keras_binary_crossentropy(logits, x):
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return torch.mean(bce, dim=-1)


@wrong(
    "reconstruction",
    "reconstruction-mean-over-pixels",
    decoder="probabilities",
    equals=lambda R: R.mean(),
)
def rec_bceloss_module_default(recon_x, x):
    criterion = nn.BCELoss()
    return criterion(recon_x, x)


@wrong(
    "reconstruction", "reconstruction-mean-over-pixels", decoder="means", equals=lambda E: E.mean()
)
def rec_mse_default(recon_x, x):
    return F.mse_loss(recon_x, x)


@wrong(
    "reconstruction",
    "reconstruction-mean-over-pixels",
    decoder="means",
    equals=lambda R: R.mean(1),
)
def rec_normal_mean_over_pixels(mean, x):
    return -Normal(mean, 1.0).log_prob(x).mean(dim=1)


@wrong(
    "reconstruction",
    "logits-as-probabilities",
    positive=True,
    equals=lambda params, x: -(x * params.log() + (1 - x) * (1 - params).log()).sum(1),
)
def rec_log_of_logits(out, x):
    return -(x * torch.log(out) + (1 - x) * torch.log(1 - out)).sum(1)


@wrong(
    "reconstruction",
    "logits-as-probabilities",
    equals=lambda params, x: nll_probabilities(params.clamp(1e-3, 1 - 1e-3), x).sum(),
)
def rec_bce_on_clamped_logits(out, x):
    out = torch.clamp(out, 1e-3, 1 - 1e-3)
    return F.binary_cross_entropy(out, x, reduction="sum")


@wrong(
    "reconstruction",
    "logits-as-probabilities",
    also=("raised",),
    positive=True,
    equals=lambda params, x: nll_probabilities(params, x).sum(),
)
def rec_bce_on_logits(out, x):
    return F.binary_cross_entropy(out, x, reduction="sum")


@wrong(
    "reconstruction",
    "sigmoid-twice",
    decoder="probabilities",
    equals=lambda params, x: nll_logits(params, x).sum(),
)
def rec_with_logits_on_probabilities(recon_x, x):
    return F.binary_cross_entropy_with_logits(recon_x, x, reduction="sum")


@wrong(
    "reconstruction",
    "sigmoid-twice",
    decoder="probabilities",
    equals=lambda params, x: nll_logits(params, x).sum(1),
)
def rec_sigmoid_of_probabilities(recon_x, x):
    return F.binary_cross_entropy(torch.sigmoid(recon_x), x, reduction="none").sum(1)


@wrong(
    "reconstruction",
    "sigmoid-twice",
    equals=lambda params, x: nll_logits(params.sigmoid(), x).sum(),
)
def rec_sigmoid_then_with_logits(logits, x):
    return nn.BCEWithLogitsLoss(reduction="sum")(torch.sigmoid(logits), x)


@wrong(
    "reconstruction",
    "squared-error",
    equals=lambda params, x: (params.sigmoid() - x).square().sum(),
)
def rec_mse_of_sigmoid(logits, x):
    return F.mse_loss(torch.sigmoid(logits), x, reduction="sum")


@wrong("reconstruction", "squared-error", equals=lambda params, x: (params - x).square().sum(1) / 2)
def rec_squares_of_logits(logits, x):
    return 0.5 * ((logits - x) ** 2).sum(dim=1)


@wrong("reconstruction", "squared-error", decoder="probabilities", equals=lambda E: E.sum())
def rec_mseloss_module_on_probabilities(recon_x, x):
    return nn.MSELoss(reduction="sum")(recon_x, x)


@wrong(
    "reconstruction",
    "absolute-error",
    decoder="probabilities",
    equals=lambda params, x: (params - x).abs().sum(),
)
def rec_l1_of_probabilities(recon_x, x):
    return F.l1_loss(recon_x, x, reduction="sum")


@wrong(
    "reconstruction",
    "absolute-error",
    equals=lambda params, x: (params.sigmoid() - x).abs().sum(1),
)
def rec_absolute_error_of_sigmoid(logits, x):
    return (x - logits.sigmoid()).abs().sum(1)


@wrong(
    "reconstruction",
    "constant-wrong",
    decoder="means",
    equals=lambda E: (E / 2 + math.log(2 * math.pi)).sum(1),
)
def rec_gaussian_half_missing_before_log_2_pi(mean, x):
    return (0.5 * (x - mean) ** 2 + math.log(2 * math.pi)).sum(1)


@wrong(
    "reconstruction",
    "constant-wrong",
    decoder="means",
    equals=lambda E: E.sum(1) / 2 + 0.5 * math.log(2 * math.pi),
)
def rec_gaussian_constant_once_per_image(mean, x):
    return 0.5 * (x - mean).pow(2).sum(1) + 0.5 * math.log(2 * math.pi)


@wrong(
    "reconstruction",
    "constant-wrong",
    decoder="means",
    equals=lambda R: (R - math.log(2 * math.pi)).sum(),
)
def rec_gaussian_constant_with_the_wrong_sign(mean, x):
    return torch.sum(0.5 * (x - mean) ** 2 - 0.5 * math.log(2 * math.pi))


@wrong("reconstruction", "arguments-swapped", equals=lambda params, x: nll_logits(x, params).sum())
def rec_with_logits_target_first(logits, x):
    return F.binary_cross_entropy_with_logits(x, logits, reduction="sum")


@wrong(
    "reconstruction",
    "arguments-swapped",
    decoder="probabilities",
    equals=lambda params, x: (
        -(
            params * x.clamp(1e-3, 1 - 1e-3).log()
            + (1 - params) * (1 - x).clamp(1e-3, 1 - 1e-3).log()
        ).sum(1)
    ),
)
def rec_by_hand_target_first(p, x):
    x = x.clamp(1e-3, 1 - 1e-3)
    return -(p * x.log() + (1 - p) * (1 - x).log()).sum(1)


@wrong("reconstruction", "not-finite")
def rec_log_of_sigmoid(logits, x):
    p = torch.sigmoid(logits)
    return -(x * torch.log(p) + (1 - x) * torch.log(1 - p)).sum()


@wrong("reconstruction", "not-finite")
def rec_log_one_plus_exp(logits, x):
    return (torch.log(1 + torch.exp(logits)) - x * logits).sum(1)


@wrong("reconstruction", "not-finite", decoder="probabilities")
def rec_log_by_hand_without_clamp(p, x):
    return -torch.sum(x * torch.log(p) + (1 - x) * torch.log(1 - p), dim=1)


@wrong("reconstruction", "not-written-yet")
def rec_forgets_to_return(logits, x):
    F.binary_cross_entropy_with_logits(logits, x, reduction="sum")


@wrong("reconstruction", "raised")
def rec_reduction_misspelt(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="summ")


@wrong("reconstruction", "wrong-shape")
def rec_summed_over_images_not_pixels(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(0)


@wrong(
    "reconstruction",
    "unexplained",
    decoder="probabilities",
    equals=lambda params, x: -(x * params.log()).sum(),
)
def rec_cross_entropy_of_the_ones_only(p, x):
    return -(x * torch.log(p + 1e-12)).sum()


# =========================================================================== sampler: right


@right("sampler")
def sample_pytorch_example(mu, logvar):
    std = torch.exp(0.5 * logvar)
    eps = torch.randn_like(std)
    return mu + eps * std


@right("sampler")
def sample_rsample(mu, logvar):
    return Normal(mu, logvar.mul(0.5).exp()).rsample()


@right("sampler")
def sample_old_style_in_place(mu, logvar):
    std = logvar.mul(0.5).exp_()
    eps = std.data.new(std.size()).normal_()
    return eps.mul(std).add_(mu)


@right("sampler")
def sample_square_root_of_exp(mu, logvar):
    noise = torch.randn(mu.shape, dtype=mu.dtype, device=mu.device)
    return mu + noise * torch.sqrt(torch.exp(logvar))


@right("sampler")
def sample_addcmul_in_float64(mu, logvar):
    mu, logvar = mu.double(), logvar.double()
    return torch.addcmul(mu, (logvar / 2).exp(), torch.randn_like(mu))


@right("sampler")
def sample_normal_zeros_ones(z_mean, z_log_var):
    epsilon = torch.normal(torch.zeros_like(z_mean), torch.ones_like(z_mean))
    return z_mean + torch.exp(0.5 * z_log_var) * epsilon


@right("sampler")
def sample_minus_the_noise(mu, logvar):
    # -eps is as normal as eps.
    return mu - torch.randn_like(mu) * torch.exp(logvar / 2)


# =========================================================================== sampler: wrong


@wrong("sampler", "no-noise", equals=lambda mu: mu)
def sample_returns_mu(mu, logvar):
    return mu


@wrong("sampler", "no-noise", equals=lambda mu: mu)
def sample_zeros_like(mu, logvar):
    std = torch.exp(0.5 * logvar)
    eps = torch.zeros_like(std)
    return mu + eps * std


@wrong("sampler", "no-noise", equals=lambda mu, h: mu + (h / 2).exp())
def sample_mu_plus_std(mu, logvar):
    return mu + torch.exp(0.5 * logvar)


FROZEN = {}


@wrong("sampler", "stale-noise")
def sample_noise_drawn_once(mu, logvar):
    if mu.shape not in FROZEN:
        FROZEN[mu.shape] = torch.randn(mu.shape)
    return mu + FROZEN[mu.shape].to(mu) * torch.exp(0.5 * logvar)


@wrong("sampler", "stale-noise")
def sample_with_a_new_generator(mu, logvar):
    generator = torch.Generator().manual_seed(42)
    eps = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
    return mu + eps * (logvar / 2).exp()


@wrong("sampler", "stale-noise")
def sample_seeds_at_every_call(mu, logvar):
    torch.manual_seed(0)
    return mu + torch.randn_like(mu) * torch.exp(logvar / 2)


@wrong("sampler", "same-noise-for-all")
def sample_one_vector_for_all_images(mu, logvar):
    eps = torch.randn(mu.size(1))
    return mu + eps.to(mu) * torch.exp(0.5 * logvar)


@wrong("sampler", "same-noise-for-all")
def sample_one_number_per_image(mu, logvar):
    eps = torch.randn(mu.size(0), 1)
    return mu + eps.to(mu) * torch.exp(0.5 * logvar)


@wrong("sampler", "same-noise-for-all")
def sample_one_number(mu, logvar):
    return mu + torch.randn(1).to(mu) * torch.exp(0.5 * logvar)


@wrong("sampler", "scale-is-variance", equals=lambda mu, h, eps: mu + h.exp() * eps)
def sample_exp_logvar(mu, logvar):
    return mu + torch.exp(logvar) * torch.randn_like(mu)


@wrong("sampler", "scale-is-variance", equals=lambda mu, h, eps: mu + h.exp() * eps)
def sample_normal_with_variance(mu, logvar):
    return Normal(mu, logvar.exp()).rsample()


@wrong("sampler", "scale-is-logvar", equals=lambda mu, h, eps: mu + h * eps)
def sample_logvar_times_noise(mu, logvar):
    eps = torch.randn_like(logvar)
    return eps * logvar + mu


@wrong("sampler", "noise-scale", equals=lambda mu, h, eps: mu + 0.1 * (h / 2).exp() * eps)
def sample_a_tenth_of_the_noise(mu, logvar):
    eps = 0.1 * torch.randn_like(mu)
    return mu + eps * torch.exp(logvar * 0.5)


@wrong("sampler", "noise-scale", equals=lambda mu, h, eps: mu + 0.01 * (h / 2).exp() * eps)
def sample_keras_epsilon_std(z_mean, z_log_var, epsilon_std=0.01):
    epsilon = torch.empty_like(z_mean).normal_(0.0, epsilon_std)
    return z_mean + torch.exp(z_log_var / 2) * epsilon


@wrong("sampler", "noise-scale", equals=lambda mu, h, eps: mu + (h / 2).exp() * eps / 2)
def sample_half_outside_of_exp(mu, logvar):
    return mu + 0.5 * torch.exp(0.5 * logvar) * torch.randn_like(mu)


@wrong("sampler", "noise-not-normal")
def sample_rand_like(mu, logvar):
    std = torch.exp(0.5 * logvar)
    return mu + torch.rand_like(std) * std


@wrong("sampler", "noise-not-normal")
def sample_uniform_between_minus_one_and_one(mu, logvar):
    eps = 2 * torch.rand(mu.shape, dtype=mu.dtype) - 1
    return mu + eps * torch.exp(logvar / 2)


@wrong("sampler", "exp-twice", equals=lambda mu, h, eps: mu + (h.exp() / 2).exp() * eps)
def sample_exp_of_half_the_variance(mu, logvar):
    var = logvar.exp()
    return mu + torch.exp(0.5 * var) * torch.randn_like(mu)


@wrong("sampler", "exp-twice", equals=lambda mu, h, eps: mu + (h / 2).exp().exp() * eps)
def sample_normal_of_exp_std(mu, logvar):
    std = torch.exp(0.5 * logvar)
    return Normal(mu, std.exp()).rsample()


@wrong("sampler", "no-gradient-to-mu")
def sample_detaches_mu(mu, logvar):
    return mu.detach() + torch.exp(0.5 * logvar) * torch.randn_like(logvar)


@wrong("sampler", "no-gradient-to-logvar")
def sample_noise_from_sample(mu, logvar):
    return mu + Normal(0.0, torch.exp(0.5 * logvar)).sample()


@wrong("sampler", "no-gradient-to-logvar")
def sample_std_under_no_grad(mu, logvar):
    with torch.no_grad():
        std = torch.exp(0.5 * logvar)
    return mu + std * torch.randn_like(std)


@wrong("sampler", "no-gradient-to-mu", "no-gradient-to-logvar")
def sample_by_sample(mu, logvar):
    return Normal(mu, torch.exp(logvar / 2)).sample()


@wrong("sampler", "no-gradient-to-mu", "no-gradient-to-logvar")
def sample_by_torch_normal(mu, logvar):
    # Has a gradient function, and the gradient is 0.
    return torch.normal(mu, torch.exp(0.5 * logvar))


@wrong("sampler", "not-written-yet")
def sample_pass(mu, logvar):
    pass


@wrong("sampler", "wrong-shape")
def sample_adds_an_axis(mu, logvar):
    return mu + torch.randn(5, *mu.shape).to(mu) * torch.exp(logvar / 2)


@wrong("sampler", "raised")
def sample_size_without_call(mu, logvar):
    return mu + torch.randn(mu.size) * torch.exp(logvar / 2)


@wrong("sampler", "unexplained", equals=lambda mu, h, eps: mu + (1 + h.exp()).log() * eps)
def sample_softplus_of_logvar(mu, logvar):
    return mu + F.softplus(logvar) * torch.randn_like(mu)


# ============================================================================== loss: right


def half(mu, logvar):
    """The KL with its sum left to the caller, for the losses below."""
    return -0.5 * (1 + logvar - mu.pow(2) - logvar.exp())


@right("loss", decoder="probabilities", equals=lambda R, K: R.sum() + K.sum())
def loss_pytorch_example(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


@right("loss", equals=lambda R, K: (R.sum() + K.sum()) / len(R))
def loss_with_logits_over_batch(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return (rec + half(mu, logvar).sum()) / x.size(0)


@right("loss", equals=lambda R, K: R.sum(1) + K.sum(1))
def loss_per_image(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    return rec + half(mu, logvar).sum(-1)


@right("loss", equals=lambda R, K: (R.sum(1) + K.sum(1)).mean())
def loss_tuple(logits, x, mu, logvar):
    rec = (F.softplus(logits) - x * logits).sum(1).mean()
    kl = half(mu, logvar).sum(1).mean()
    return rec + kl, rec.detach(), kl.detach()


@right("loss", equals=lambda R, K: (R.sum(1) + K.sum(1)).mean())
def loss_dictionary(logits, x, mu, log_var):
    rec = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    kld = torch.mean(half(mu, log_var).sum(1), 0)
    return {"loss": rec + kld, "reconstruction": rec.item(), "kld": -kld.item()}


Terms = namedtuple("Terms", "total reconstruction kl")


@right("loss", equals=lambda R, K: (R.sum(1) + K.sum(1)).mean())
def loss_named_tuple_elbo_negated(logits, x, mu, logvar):
    log_p = Independent(Bernoulli(logits=logits, validate_args=False), 1).log_prob(x)
    q = Independent(Normal(mu, torch.exp(0.5 * logvar)), 1)
    p = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    kl = kl_divergence(q, p)
    return Terms(-(log_p - kl).mean(), -log_p.mean(), kl.mean())


@right("loss", decoder="probabilities", equals=lambda R, K: R.mean() * 784 + K.sum(1).mean())
def loss_keras_times_784(outputs, inputs, z_mean, z_log_var):
    reconstruction_loss = F.binary_cross_entropy(outputs, inputs, reduction="none").mean(-1)
    reconstruction_loss = reconstruction_loss * 784
    kl_loss = 1 + z_log_var - torch.square(z_mean) - torch.exp(z_log_var)
    kl_loss = kl_loss.sum(-1) * -0.5
    return torch.mean(reconstruction_loss + kl_loss)


@right("loss", equals=lambda R, K: (R.sum(1) + K.sum(1)).mean())
def loss_column_plus_row_then_mean(logits, x, mu, logvar):
    # (B,) + (B, 1) is (B, B), and its mean is the right one all the same.
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    return (rec + half(mu, logvar).sum(1, keepdim=True)).mean()


@right("loss", equals=lambda R, K: R.mean() + K.sum() / R.numel())
def loss_all_divided_by_the_number_of_pixels(logits, x, mu, logvar):
    # The scale of the whole does not matter.
    bce = F.binary_cross_entropy_with_logits(logits, x)
    kld = half(mu, logvar).sum() / (x.shape[0] * x.shape[1])
    return bce + kld


@right("loss", equals=lambda R, K: (R.sum() + K.sum()) / 128)
def loss_divided_by_a_batch_size_that_is_written_down(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return (rec + half(mu, logvar).sum()) / 128


@right("loss", decoder="means", equals=lambda R, K: (R.sum(1) + K.sum(1)).mean())
def loss_gaussian_log_prob(mean, x, mu, logvar):
    log_likelihood = Normal(mean, 1.0).log_prob(x).sum(1)
    return -(log_likelihood - half(mu, logvar).sum(1)).mean()


@right("loss", "constant-missing", decoder="means", equals=lambda E, K: E.sum() + K.sum())
def loss_mse_sum(recon_x, x, mu, logvar):
    return F.mse_loss(recon_x, x, reduction="sum") + half(mu, logvar).sum()


@right("loss", "constant-missing", decoder="means", equals=lambda E, K: E.sum() / 2 + K.sum())
def loss_half_mse_in_float64(mean, x, mu, logvar):
    mean, x, mu, logvar = (t.double() for t in (mean, x, mu, logvar))
    return 0.5 * nn.MSELoss(reduction="sum")(mean, x) + half(mu, logvar).sum()


class Annealed:
    """A loss that is a method, with a weight that has reached 1."""

    beta = 1.0

    def loss_function(self, recon, x, mu, logvar, **kwargs):
        bce = F.binary_cross_entropy_with_logits(recon, x, reduction="none").sum(1).mean()
        return {"loss": bce + self.beta * half(mu, logvar).sum(1).mean(), "BCE": bce}


@right("loss", equals=lambda R, K: (R.sum(1) + K.sum(1)).mean())
def loss_of_a_method(logits, x, mu, logvar):
    return Annealed().loss_function(logits, x, mu, logvar)


@right(
    "loss",
    "free-bits-or-clamp",
    equals=lambda R, K: R.sum(1).mean() + K.mean(0).clamp(min=0.5).sum(),
)
def loss_free_bits(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / x.size(0)
    return rec + half(mu, logvar).mean(0).clamp(min=0.5).sum()


# ============================================================================== loss: wrong
# The mean of the reconstructions plus a sum over the batch is one function, however it came about:
# as the mean over images of one term only, or as a sum that was added to each image.


@wrong("loss", "loss-sign", equals=lambda R, K: -(R.sum(1) + K.sum(1)).mean())
def loss_is_the_elbo(logits, x, mu, logvar):
    log_p = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    return (log_p - half(mu, logvar).sum(1)).mean()


@wrong("loss", "loss-sign", decoder="means", equals=lambda R, K: -(R.sum() + K.sum()))
def loss_is_the_gaussian_elbo(mean, x, mu, logvar):
    elbo = Normal(mean, 1.0).log_prob(x).sum()
    elbo += 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return elbo


@wrong("loss", "kl-sign", decoder="probabilities", equals=lambda R, K: R.sum() - K.sum())
def loss_bce_minus_kl(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x, reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE - KLD


@wrong("loss", "kl-sign", equals=lambda R, K: (R.sum(1) - K.sum(1)).mean())
def loss_kl_without_its_minus(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    kl = 0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp(), dim=1)
    return torch.mean(rec + kl)


@wrong("loss", "kl-sign", equals=lambda R, K, mu: R.sum() + (K - mu**2).sum())
def loss_plus_mu_squared(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + logvar + mu.pow(2) - logvar.exp())


@wrong("loss", "reconstruction-sign", equals=lambda R, K: (K.sum(1) - R.sum(1)).mean())
def loss_log_prob_plus_kl(logits, x, mu, logvar):
    log_p = Bernoulli(logits=logits, validate_args=False).log_prob(x).sum(1)
    return (log_p + half(mu, logvar).sum(1)).mean()


@wrong(
    "loss", "reconstruction-sign", decoder="probabilities", equals=lambda R, K: K.sum() - R.sum()
)
def loss_kl_minus_bce(recon_x, x, mu, logvar):
    return half(mu, logvar).sum() - F.binary_cross_entropy(recon_x, x, reduction="sum")


@wrong("loss", "beta", equals=lambda R, K: R.sum() + 4 * K.sum())
def loss_beta_vae(logits, x, mu, logvar, beta=4):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return rec + beta * half(mu, logvar).sum()


@wrong("loss", "beta", equals=lambda R, K: (R.sum(1) + 0.00025 * K.sum(1)).mean())
def loss_kld_weight(recons, x, mu, log_var):
    kld_weight = 0.00025  # once a batch size over a number of images
    recons_loss = F.binary_cross_entropy_with_logits(recons, x, reduction="none").sum(1).mean()
    kld_loss = torch.mean(half(mu, log_var).sum(dim=1), dim=0)
    loss = recons_loss + kld_weight * kld_loss
    return {"loss": loss, "Reconstruction_Loss": recons_loss.detach(), "KLD": -kld_loss.detach()}


@wrong("loss", "beta", decoder="probabilities", equals=lambda R, K: R.sum() + 2 * K.sum())
def loss_kl_without_its_half(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x, reduction="sum")
    return BCE - torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


@wrong("loss", "beta", equals=lambda R, K: (2 * R.sum(1) + K.sum(1)).mean())
def loss_reconstruction_counted_twice(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    return torch.mean(rec + rec + half(mu, logvar).sum(1))


@wrong("loss", "beta", decoder="means", equals=lambda R, K: (R.sum(1) + K.sum(1) / 10).mean())
def loss_gaussian_with_a_tenth_of_the_kl(mean, x, mu, logvar):
    # With the constant there, the sigma is known to be 1, and the tenth is a beta.
    return (-Normal(mean, 1.0).log_prob(x).sum(1) + 0.1 * half(mu, logvar).sum(1)).mean()


@wrong("loss", "kl-factor", equals=lambda R, K, mu: R.sum() + (K + mu**2 / 2).sum())
def loss_half_does_not_reach_mu_squared(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return rec + mu.pow(2).sum() - 0.5 * torch.sum(1 + logvar - logvar.exp())


@wrong(
    "loss",
    "weight-of-minibatch",
    equals=lambda R, K, B: R.sum(1).mean() + B / 60000 * K.sum(1).mean(),
)
def loss_batch_over_data_set(logits, x, mu, logvar):
    weight = x.size(0) / 60000
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1).mean()
    return rec + weight * half(mu, logvar).sum(1).mean()


@wrong("loss", "weight-of-minibatch", equals=lambda R, K, B: R.sum() + 60000 / B * K.sum())
def loss_data_set_over_batch(logits, x, mu, logvar):
    num_batches = 60000 / len(x)
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return rec + num_batches * half(mu, logvar).sum()


@wrong(
    "loss",
    "kl-mean-over-batch",
    decoder="probabilities",
    equals=lambda R, K: R.sum() + K.sum(1).mean(),
)
def loss_bce_sum_kl_batchmean(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x, reduction="sum")
    KLD = torch.mean(-0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp(), dim=1))
    return BCE + KLD


@wrong("loss", "kl-mean-over-batch", equals=lambda R, K, B: R.sum() + K.sum() / B)
def loss_only_kl_divided_by_batch(logits, x, mu, logvar):
    rec = nn.BCEWithLogitsLoss(reduction="sum")(logits, x)
    kl = half(mu, logvar).sum()
    kl /= x.shape[0]
    return rec + kl


@wrong(
    "loss",
    "kl-broadcast-over-batch",
    equals=lambda R, K, B: R.sum() / B + K.sum(),
)
def loss_only_bce_divided_by_batch(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / x.size(0)
    return rec + half(mu, logvar).sum()


@wrong(
    "loss",
    "kl-broadcast-over-batch",
    decoder="means",
    equals=lambda R, K: R.sum(1).mean() + K.sum(),
)
def loss_gaussian_batchmean_kl_sum(mean, x, mu, logvar):
    nll = -Independent(Normal(mean, torch.ones_like(mean)), 1).log_prob(x)
    return nll.mean() - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


@wrong("loss", "reconstruction-mean-over-pixels", equals=lambda R, K: (R.mean(1) + K.sum(1)).mean())
def loss_bce_mean_kl_batchmean(logits, x, mu, logvar):
    return F.binary_cross_entropy_with_logits(logits, x) + half(mu, logvar).sum(1).mean()


@wrong(
    "loss",
    "reconstruction-mean-over-pixels",
    decoder="probabilities",
    equals=lambda R, K: R.mean(1) + K.sum(1),
)
def loss_keras_mean_of_crossentropy(outputs, inputs, z_mean, z_log_var):
    reconstruction = F.binary_cross_entropy(outputs, inputs, reduction="none").mean(dim=-1)
    kl = -0.5 * (1 + z_log_var - z_mean.square() - z_log_var.exp()).sum(dim=-1)
    return reconstruction + kl


@wrong(
    "loss",
    "reconstruction-mean-over-pixels",
    decoder="means",
    equals=lambda E, K: E.mean() + K.sum(1).mean(),
)
def loss_mse_mean_kl_batchmean(recons, x, mu, log_var):
    recons_loss = F.mse_loss(recons, x)
    return recons_loss + torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1))


@wrong("loss", "kl-mean-over-latents", equals=lambda R, K: (R.sum(1) + K.mean(1)).mean())
def loss_kl_mean_over_latents(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    kl = -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
    return (rec + kl).mean()


@wrong("loss", "kl-mean-over-latents", equals=lambda R, K: R.sum(1).mean() + K.mean())
def loss_batchmean_plus_kl_mean(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / logits.size(0)
    return rec - 0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())


@wrong(
    "loss",
    "reconstruction-mean-over-pixels",
    "kl-mean-over-latents",
    decoder="probabilities",
    equals=lambda R, K: R.mean() + K.mean(),
)
def loss_mean_of_everything(recon_x, x, mu, logvar):
    bce = nn.BCELoss()(recon_x, x)
    return bce - 0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())


@wrong(
    "loss",
    "reconstruction-mean-over-pixels",
    "kl-broadcast-over-batch",
    decoder="probabilities",
    equals=lambda R, K: R.mean() + K.sum(),
)
def loss_bce_default_kl_sum(recon_x, x, mu, logvar):
    return F.binary_cross_entropy(recon_x, x) + half(mu, logvar).sum()


@wrong(
    "loss",
    "kl-mean-over-latents",
    "kl-mean-over-batch",
    equals=lambda R, K: R.sum() + K.mean(),
)
def loss_bce_sum_kl_mean(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return rec - 0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())


@wrong(
    "loss",
    "kl-broadcast-over-batch",
    equals=lambda R, K: (R.sum(1) + K.sum()).mean(),
)
def loss_summed_kl_added_to_each_image(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return (rec + kl).mean()


@wrong("loss", "kl-broadcast-over-batch", equals=lambda R, K: R.sum(1) + K.sum())
def loss_per_image_with_a_summed_kl(logits, x, mu, logvar):
    rec = (F.softplus(logits) - x * logits).sum(1)
    return rec + kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0)).sum()


@wrong("loss", "kl-std-as-logvar", equals=lambda R, mu, h: R.sum() + KL(mu, h.square().log()).sum())
def loss_sigma_where_logvar_comes(logits, x, mu, sigma):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + torch.log(sigma**2) - mu**2 - sigma**2)


@wrong(
    "loss",
    "kl-var-as-logvar",
    positive=True,
    equals=lambda R, mu, h: R.sum() + KL(mu, h.log()).sum(),
)
def loss_variance_where_logvar_comes(logits, x, mu, var):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + torch.log(var) - mu**2 - var)


@wrong("loss", "kl-log-std", equals=lambda R, mu, h: R.sum(1).mean() + KL(mu, 2 * h).sum(1).mean())
def loss_log_sigma_where_logvar_comes(logits, x, mu, log_sigma):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    kl = (mu.square() + torch.exp(2 * log_sigma) - 1) / 2 - log_sigma
    return (rec + kl.sum(1)).mean()


@wrong("loss", "kl-missing-term", equals=lambda R, K, mu: R.sum() + (K - mu**2 / 2).sum())
def loss_kl_without_mu(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + logvar - logvar.exp())


@wrong("loss", "kl-missing-term", equals=lambda R, mu: (R.sum(1) + (mu**2).sum(1) / 2).mean())
def loss_l2_on_mu_for_the_kl(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    return (rec + 0.5 * mu.pow(2).sum(1)).mean()


@wrong("loss", "kl-missing-term", also=("beta",), equals=lambda R: R.sum())
def loss_without_kl(logits, x, mu, logvar):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum")


@wrong(
    "loss", "exp-twice", equals=lambda R, K, h: R.sum() + (K + (h.exp().exp() - h.exp()) / 2).sum()
)
def loss_exp_of_the_variance(logits, x, mu, logvar):
    var = logvar.exp()
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - var.exp())


@wrong(
    "loss",
    "sigmoid-twice",
    equals=lambda params, x, K: nll_logits(params.sigmoid(), x).sum() + K.sum(),
)
def loss_sigmoid_then_with_logits(out, x, mu, logvar):
    recon_x = torch.sigmoid(out)
    rec = F.binary_cross_entropy_with_logits(recon_x, x, reduction="sum")
    return rec + half(mu, logvar).sum()


@wrong(
    "loss",
    "sigmoid-twice",
    decoder="probabilities",
    equals=lambda params, x, K: nll_logits(params, x).sum(1).mean() + K.sum(1).mean(),
)
def loss_with_logits_on_probabilities(recon_x, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(recon_x, x, reduction="none").sum(1).mean()
    return rec + half(mu, logvar).sum(1).mean()


@wrong(
    "loss",
    "logits-as-probabilities",
    also=("raised",),
    positive=True,
    equals=lambda params, x, K: nll_probabilities(params, x).sum() + K.sum(),
)
def loss_bce_on_logits(out, x, mu, logvar):
    return F.binary_cross_entropy(out, x, reduction="sum") + half(mu, logvar).sum()


@wrong(
    "loss",
    "squared-error",
    decoder="probabilities",
    equals=lambda E, K: E.sum() + K.sum(),
)
def loss_mse_on_probabilities(recon_x, x, mu, logvar):
    return F.mse_loss(recon_x, x, reduction="sum") + half(mu, logvar).sum()


@wrong(
    "loss",
    "squared-error",
    equals=lambda params, x, K: ((params - x).square().sum(1) + K.sum(1)).mean(),
)
def loss_mse_on_logits(logits, x, mu, logvar):
    rec = F.mse_loss(logits, x, reduction="none").sum(1)
    return torch.mean(rec + half(mu, logvar).sum(1))


@wrong(
    "loss",
    "squared-error",
    "reconstruction-mean-over-pixels",
    decoder="probabilities",
    equals=lambda E, K: E.mean() + K.sum(1).mean(),
)
def loss_mse_mean_on_probabilities(recon_x, x, mu, logvar):
    return nn.MSELoss()(recon_x, x) + half(mu, logvar).sum(1).mean()


@wrong(
    "loss",
    "kl-sign",
    "reconstruction-mean-over-pixels",
    equals=lambda R, K: R.mean() - K.sum(1).mean(),
)
def loss_mean_and_minus_kl(logits, x, mu, logvar):
    bce = F.binary_cross_entropy_with_logits(logits, x)
    kl = 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
    return bce + kl.mean()


@wrong(
    "loss",
    "absolute-error",
    decoder="probabilities",
    equals=lambda params, x, K: (params - x).abs().sum() + K.sum(),
)
def loss_l1(recon_x, x, mu, logvar):
    return nn.L1Loss(reduction="sum")(recon_x, x) + half(mu, logvar).sum()


@wrong(
    "loss",
    "constant-wrong",
    decoder="means",
    equals=lambda E, K: (E / 2 + math.log(2 * math.pi)).sum() + K.sum(),
)
def loss_gaussian_with_log_2_pi_unhalved(mean, x, mu, logvar):
    nll = 0.5 * (x - mean) ** 2 + math.log(2 * math.pi)
    return nll.sum() + half(mu, logvar).sum()


@wrong(
    "loss",
    "arguments-swapped",
    equals=lambda params, x, K: nll_logits(x, params).sum() + K.sum(),
)
def loss_target_first(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(x, logits, reduction="sum")
    return rec + half(mu, logvar).sum()


@wrong(
    "loss",
    "unexplained",
    equals=lambda params, x, K: -(x * params.log_softmax(1)).sum() + K.sum(),
)
def loss_softmax_over_the_pixels(logits, x, mu, logvar):
    return F.cross_entropy(logits, x, reduction="sum") + half(mu, logvar).sum()


@wrong("loss", "not-finite")
def loss_log_of_sigmoid(logits, x, mu, logvar):
    p = torch.sigmoid(logits)
    log_p = (x * p.log() + (1 - x) * (1 - p).log()).sum(1)
    return (half(mu, logvar).sum(1) - log_p).mean()


@wrong("loss", "not-written-yet")
def loss_to_do(logits, x, mu, logvar):
    raise NotImplementedError


@wrong("loss", "raised")
def loss_reshapes_to_colour(logits, x, mu, logvar):
    x = x.reshape(len(x), 3, 32, 32)
    return F.mse_loss(logits, x, reduction="sum") + half(mu, logvar).sum()


@wrong("loss", "kl-over-wrong-axis", also=("wrong-shape",), equals=lambda R, K: R.sum() + K.sum(0))
def loss_bce_plus_kl_of_dim_0(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=0)


@wrong("loss", "wrong-shape")
def loss_without_any_sum(logits, x, mu, logvar):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return rec + half(mu, logvar).sum(1, keepdim=True)


# ============================================================ networks for steps and models


def kl_sum(mu, logvar):
    return half(mu, logvar).sum()


class Net(nn.Module):
    """A dense VAE with logits. A variant changes what it needs, `step` above all.

    For the proof it tells what it means: `posterior` gives mu and the true log-variance, and `nll`
    -log p(x | z) of each pixel (both as programs would have them if they were right).
    """

    def __init__(self, latent_dim=6, hidden=24):
        super().__init__()
        self.hidden = nn.Linear(784, hidden)
        self.to_mu = nn.Linear(hidden, latent_dim)
        self.to_logvar = nn.Linear(hidden, latent_dim)
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden), nn.ReLU(), nn.Linear(hidden, 784)
        )

    def encode(self, x):
        h = torch.tanh(self.hidden(x.flatten(1)))
        return self.to_mu(h), self.to_logvar(h)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        return mu + torch.randn_like(std) * std

    def decode(self, z):
        return self.decoder(z)

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar

    def program(self):
        return self.step

    def posterior(self, x):
        return self.encode(x)

    def nll(self, z, x):
        return nll_logits(self.decode(z), x)


class SigmoidNet(Net):
    """The decoder gives probabilities."""

    def decode(self, z):
        return torch.sigmoid(self.decoder(z))

    def nll(self, z, x):
        return nll_probabilities(self.decode(z), x)


class MeansNet(Net):
    """The decoder gives means of normal pixels with sigma = 1."""

    def nll(self, z, x):
        return nll_means(self.decode(z), x)


class StdNet(Net):
    """The second head gives a standard deviation."""

    def encode(self, x):
        mu, raw = super().encode(x)
        return mu, F.softplus(raw)

    def reparameterize(self, mu, std):
        return mu + torch.randn_like(std) * std

    def posterior(self, x):
        mu, std = self.encode(x)
        return mu, 2 * std.log()


class LogStdNet(Net):
    """The second head gives log sigma."""

    def reparameterize(self, mu, log_std):
        return mu + torch.randn_like(log_std) * log_std.exp()

    def posterior(self, x):
        mu, log_std = self.encode(x)
        return mu, 2 * log_std


def with_logits(logits, x):
    """The right reconstruction of each image, for steps whose mistake is elsewhere."""
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)


# ============================================================================== step: right


@right("step", equals=lambda R, K: (R.sum() + K.sum()) / len(R))
def step_training_loop_with_optimizer():
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def train_step(batch):
        optimizer.zero_grad()
        recon, mu, logvar = net(batch)
        rec = F.binary_cross_entropy_with_logits(recon, batch, reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        loss = (rec + kld) / len(batch)
        loss.backward()
        optimizer.step()
        return loss

    return train_step, net


@right("step", equals=lambda R, K: R.sum() + K.sum())
class StepPytorchExample(SigmoidNet):
    def step(self, x):
        recon_x, mu, logvar = self(x)
        bce = F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum")
        return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


@right("step", equals=lambda R, K: (R.sum(1) + K.sum(1)).mean())
class StepLightning(Net):
    def training_step(self, batch, batch_idx):
        x, _ = batch
        x_hat, mu, log_var = self(x)
        kl = -0.5 * (1 + log_var - mu.pow(2) - log_var.exp()).sum(dim=1)
        return {"loss": (with_logits(x_hat, x) + kl).mean(), "kl": kl.mean().detach()}

    def program(self):
        return lambda x: self.training_step((x, None), 0)


@right("step", equals=lambda R, K: (R.sum(1) + K.sum(1)).mean())
class StepOfDistributions(StdNet):
    def step(self, x):
        q = Independent(Normal(*self.encode(x)), 1)
        p = Independent(Normal(torch.zeros(6), torch.ones(6)), 1)
        z = q.rsample()
        log_p = Independent(Bernoulli(logits=self.decode(z)), 1).log_prob(x)
        return -(log_p - kl_divergence(q, p)).mean()


@right("step", equals=lambda R, K: (R.sum(1) + K.sum(1)).mean())
class StepLogStdEverywhere(LogStdNet):
    def step(self, x):
        logits, mu, log_std = self(x)
        kl = 0.5 * (mu**2 + torch.exp(2 * log_std) - 1) - log_std
        return torch.mean(with_logits(logits, x) + kl.sum(1))


def log_ratio(mu, h, z, eps):
    """log q(z) - log p(z) of each latent: its mean over the noise is the KL."""
    return 0.5 * (z**2 - eps**2 - h)


@right("step", equals=lambda R, mu, h, z, eps: (R.sum(1) + log_ratio(mu, h, z, eps).sum(1)).mean())
class StepKlByMonteCarlo(Net):
    def step(self, x):
        mu, logvar = self.encode(x)
        q = Normal(mu, torch.exp(logvar / 2))
        z = q.rsample()
        log_q = q.log_prob(z).sum(1)
        log_p = Normal(0.0, 1.0).log_prob(z).sum(1)
        return (with_logits(self.decode(z), x) + log_q - log_p).mean()


@right("step", equals=lambda R, K: (R.sum(1) + K.sum(1)).mean())
class StepLearnedSigma(Net):
    def __init__(self):
        super().__init__()
        self.log_sigma = nn.Parameter(torch.tensor(-0.7))

    def nll(self, z, x):
        return -Normal(self.decode(z), self.log_sigma.exp()).log_prob(x)

    def step(self, x):
        mean, mu, logvar = self(x)
        rec = 0.5 * ((x - mean) / self.log_sigma.exp()) ** 2 + self.log_sigma
        rec = rec + 0.5 * math.log(2 * math.pi)
        return (rec.sum(1) + half(mu, logvar).sum(1)).mean()


@right("step", equals=lambda R, K: R.mean() + K.sum() / R.numel())
class StepKerasNames(Net):
    def step(self, data):
        z_mean, z_log_var = self.encode(data)
        epsilon = torch.randn(z_mean.shape[0], z_mean.shape[1])
        z = z_mean + torch.exp(0.5 * z_log_var) * epsilon
        reconstruction_loss = F.binary_cross_entropy_with_logits(self.decode(z), data)
        kl_loss = kl_sum(z_mean, z_log_var) / data.numel()
        return reconstruction_loss + kl_loss


@right("step", images=True, equals=lambda R, K: (R.sum() + K.sum()) / len(R))
class StepConvolutional(Net):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 4, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 49, 12)
        )
        self.deconv = nn.Sequential(
            nn.Linear(6, 4 * 49), nn.Unflatten(1, (4, 7, 7)), nn.ConvTranspose2d(4, 1, 4, stride=4)
        )

    def encode(self, x):
        return self.conv(x).chunk(2, dim=1)

    def decode(self, z):
        return self.deconv(z)

    def step(self, x):
        recon, mu, logvar = self(x)
        loss = nn.BCEWithLogitsLoss(reduction="sum")(recon, x) + kl_sum(mu, logvar)
        return loss.div(x.shape[0])


@right("step", equals=lambda R, K: (R.sum(1) + K.sum(1)).mean())
def step_loop_that_returns_a_float():
    net = SigmoidNet()
    optimizer = torch.optim.RMSprop(net.parameters())

    def train_on_batch(images):
        recon, mu, logvar = net(images)
        bce = F.binary_cross_entropy(recon, images, reduction="none").sum(1)
        loss = (bce + half(mu, logvar).sum(1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return train_on_batch, net


@right("step")
class StepBinarizesItsBatch(Net):
    """Grey pixels are drawn as bits inside; of bits they are the bits."""

    def step(self, x):
        x = torch.bernoulli(x)
        logits, mu, logvar = self(x)
        return (with_logits(logits, x) + half(mu, logvar).sum(1)).mean()


@right("step")
class StepAveragesFiveDraws(Net):
    def step(self, x):
        mu, logvar = self.encode(x)
        rec = 0
        for _ in range(5):
            rec = rec + with_logits(self.decode(self.reparameterize(mu, logvar)), x) / 5
        return (rec + half(mu, logvar).sum(1)).mean()


# ============================================================================== step: wrong


@wrong("step", "beta", equals=lambda R, K: (R.sum(1) + 3 * K.sum(1)).mean())
class StepBetaOfThree(Net):
    beta = 3.0

    def step(self, x):
        logits, mu, logvar = self(x)
        return (with_logits(logits, x) + self.beta * half(mu, logvar).sum(1)).mean()


@wrong("step", "beta", equals=lambda R, K: R.sum() + 2 * K.sum())
class StepHalfIsLost(SigmoidNet):
    def step(self, x):
        recon_x, mu, logvar = self(x)
        bce = nn.BCELoss(reduction="sum")(recon_x, x)
        return bce - torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


@wrong("step", "loss-sign", equals=lambda R, K: -(R.sum(1) + K.sum(1)).mean())
class StepReturnsTheElbo(Net):
    def step(self, x):
        logits, mu, logvar = self(x)
        return (-with_logits(logits, x) - half(mu, logvar).sum(1)).mean()


@wrong("step", "kl-sign", equals=lambda R, K: (R.sum(1) - K.sum(1)).mean())
class StepMinusKl(Net):
    def training_step(self, batch, batch_idx):
        x, _ = batch
        x_hat, mu, log_var = self(x)
        kl = 0.5 * (1 + log_var - mu**2 - torch.exp(log_var)).sum(dim=1)
        return (with_logits(x_hat, x) + kl).mean()

    def program(self):
        return lambda x: self.training_step((x, None), 0)


@wrong("step", "reconstruction-sign", equals=lambda R, K: K.sum() - R.sum())
class StepLogProbPlusKl(Net):
    def step(self, x):
        logits, mu, logvar = self(x)
        return Bernoulli(logits=logits).log_prob(x).sum() + kl_sum(mu, logvar)


@wrong("step", "reconstruction-mean-over-pixels", equals=lambda R, K: R.mean() + K.sum(1).mean())
class StepBceDefault(SigmoidNet):
    def step(self, x):
        recon, mu, logvar = self(x)
        return F.binary_cross_entropy(recon, x) + half(mu, logvar).sum(1).mean()


@wrong("step", "reconstruction-mean-over-pixels", equals=lambda R, K: R.mean() + K.sum(1).mean())
def step_loop_with_mean_of_pixels():
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-2)
    criterion = nn.BCEWithLogitsLoss()

    def train_step(x):
        logits, mu, logvar = net(x)
        loss = criterion(logits, x) + half(mu, logvar).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return train_step, net


@wrong("step", "kl-mean-over-latents", equals=lambda R, K: R.sum(1).mean() + K.mean())
class StepKlMean(Net):
    def step(self, x):
        logits, mu, logvar = self(x)
        kl = -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())
        return with_logits(logits, x).mean() + kl


@wrong("step", "kl-mean-over-batch", equals=lambda R, K: R.sum() + K.sum(1).mean())
class StepBceSumKlBatchmean(SigmoidNet):
    def step(self, x):
        recon, mu, logvar = self(x)
        bce = F.binary_cross_entropy(recon, x, reduction="sum")
        return bce + half(mu, logvar).sum(1).mean()


@wrong(
    "step",
    "kl-broadcast-over-batch",
    equals=lambda R, K: R.sum(1).mean() + K.sum(),
)
class StepBceBatchmeanKlSum(Net):
    def step(self, x):
        logits, mu, logvar = self(x)
        return with_logits(logits, x).mean() + kl_sum(mu, logvar)


@wrong(
    "step", "weight-of-minibatch", equals=lambda R, K, B: (R.sum(1) + B / 60000 * K.sum(1)).mean()
)
class StepKldWeightOfTheBatch(Net):
    def step(self, x):
        logits, mu, logvar = self(x)
        kld_weight = x.size(0) / 60000
        return (with_logits(logits, x) + kld_weight * half(mu, logvar).sum(1)).mean()


@wrong(
    "step",
    "kl-broadcast-over-batch",
    equals=lambda R, K: (R.sum(1) + K.sum()).mean(),
)
class StepKlAddedToEachImage(Net):
    def step(self, x):
        logits, mu, logvar = self(x)
        return (with_logits(logits, x) + kl_sum(mu, logvar)).mean()


@wrong("step", "kl-std-as-logvar", equals=lambda R, mu, h: R.sum() + KL(mu, (h / 2).exp()).sum())
class StepStdGoesIntoKl(StdNet):
    def step(self, x):
        logits, mu, std = self(x)
        rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return rec - 0.5 * torch.sum(1 + std - mu.pow(2) - std.exp())


@wrong(
    "step",
    "kl-std-as-logvar",
    equals=lambda R, mu, h: (R.sum(1) + KL(mu, (h / 2).exp()).sum(1)).mean(),
)
class StepSigmaInPlaceOfLogvar(Net):
    def step(self, x):
        mu, logvar = self.encode(x)
        sigma = torch.exp(logvar / 2)
        z = mu + sigma * torch.randn_like(sigma)
        kl = half(mu, sigma).sum(1)
        return (with_logits(self.decode(z), x) + kl).mean()


@wrong(
    "step", "kl-var-as-logvar", equals=lambda R, mu, h: (R.sum(1) + KL(mu, h.exp()).sum(1)).mean()
)
class StepVarianceGoesIntoKl(Net):
    def step(self, x):
        mu, logvar = self.encode(x)
        var = logvar.exp()
        z = mu + var.sqrt() * torch.randn_like(var)
        return (with_logits(self.decode(z), x) + half(mu, var).sum(1)).mean()


@wrong("step", "kl-log-std", equals=lambda R, mu, h: R.sum() + KL(mu, 2 * h).sum())
class StepKlForLogStd(Net):
    def step(self, x):
        logits, mu, h = self(x)
        rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return rec + torch.sum(0.5 * (mu**2 + torch.exp(2 * h) - 1) - h)


@wrong(
    "step", "kl-missing-term", equals=lambda R, K, mu: (R.sum(1) + (K - mu**2 / 2).sum(1)).mean()
)
class StepKlWithoutMu(Net):
    def step(self, x):
        logits, mu, logvar = self(x)
        kl = -0.5 * torch.sum(1 + logvar - logvar.exp(), dim=1)
        return (with_logits(logits, x) + kl).mean()


@wrong(
    "step",
    "scale-is-variance",
    z=lambda mu, h, eps: mu + h.exp() * eps,
    equals=lambda R, K: (R.sum(1) + K.sum(1)).mean(),
)
class StepSamplesWithVariance(Net):
    def reparameterize(self, mu, logvar):
        return mu + logvar.exp() * torch.randn_like(mu)

    def step(self, x):
        logits, mu, logvar = self(x)
        return (with_logits(logits, x) + half(mu, logvar).sum(1)).mean()


@wrong(
    "step",
    "no-noise",
    z=lambda mu: mu,
    equals=lambda R, K: (R.sum(1) + K.sum(1)).mean(),
)
class StepDecodesMu(Net):
    def step(self, x):
        mu, logvar = self.encode(x)
        return (with_logits(self.decode(mu), x) + half(mu, logvar).sum(1)).mean()


@wrong(
    "step",
    "noise-scale",
    z=lambda mu, h, eps: mu + 0.1 * (h / 2).exp() * eps,
    equals=lambda R, K: (R.sum(1) + K.sum(1)).mean(),
)
class StepNoiseTimesATenth(Net):
    def step(self, x):
        mu, logvar = self.encode(x)
        z = mu + 0.1 * torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return (with_logits(self.decode(z), x) + half(mu, logvar).sum(1)).mean()


def drawn_after_seeding(mu, h):
    torch.manual_seed(42)
    return mu + torch.randn(mu.shape) * (h / 2).exp()


@wrong(
    "step",
    "stale-noise",
    z=drawn_after_seeding,
    equals=lambda R, K: (R.sum(1) + K.sum(1)).mean(),
)
class StepSeedsItself(Net):
    def step(self, x):
        torch.manual_seed(42)
        logits, mu, logvar = self(x)
        return (with_logits(logits, x) + half(mu, logvar).sum(1)).mean()


@wrong(
    "step",
    "same-noise-for-all",
    z=lambda mu, h, D: mu + torch.randn(D) * (h / 2).exp(),
    equals=lambda R, K: (R.sum(1) + K.sum(1)).mean(),
)
class StepOneNoiseForTheBatch(Net):
    def step(self, x):
        mu, logvar = self.encode(x)
        z = mu + torch.randn(mu.shape[1]) * torch.exp(logvar / 2)
        return (with_logits(self.decode(z), x) + half(mu, logvar).sum(1)).mean()


@wrong(
    "step",
    "noise-not-normal",
    z=lambda mu, h: mu + torch.rand(mu.shape) * (h / 2).exp(),
    equals=lambda R, K: (R.sum(1) + K.sum(1)).mean(),
)
class StepUniformNoise(Net):
    def reparameterize(self, mu, logvar):
        return mu + torch.rand_like(mu) * torch.exp(0.5 * logvar)

    def step(self, x):
        logits, mu, logvar = self(x)
        return (with_logits(logits, x) + half(mu, logvar).sum(1)).mean()


@wrong(
    "step",
    "sigmoid-twice",
    equals=lambda params, x, K: nll_logits(params, x).sum() + K.sum(),
)
class StepSigmoidInDecoderAndLoss(SigmoidNet):
    def step(self, x):
        recon, mu, logvar = self(x)
        rec = F.binary_cross_entropy_with_logits(recon, x, reduction="sum")
        return rec + kl_sum(mu, logvar)


@wrong(
    "step",
    "no-gradient-to-mu",
    "no-gradient-to-logvar",
    also=("no-gradient-to-encoder",),
    equals=lambda R, K: (R.sum(1) + K.sum(1)).mean(),
)
class StepSampleWithoutR(Net):
    """The gradient of the KL still arrives; that of the reconstruction does not."""

    def step(self, x):
        mu, logvar = self.encode(x)
        z = Normal(mu, torch.exp(logvar / 2)).sample()
        return (with_logits(self.decode(z), x) + half(mu, logvar).sum(1)).mean()


@wrong(
    "step",
    "reconstruction-mean-over-pixels",
    "kl-mean-over-latents",
    equals=lambda R, K: R.mean() + K.mean(),
)
class StepMeansEverywhere(Net):
    def step(self, x):
        logits, mu, logvar = self(x)
        return F.binary_cross_entropy_with_logits(logits, x) + half(mu, logvar).mean()


@wrong("step", "raised", also=("logits-as-probabilities",))
class StepBceOfLogits(Net):
    """As `F.binary_cross_entropy` refuses what is not between 0 and 1."""

    def step(self, x):
        out, mu, logvar = self(x)
        return F.binary_cross_entropy(out, x, reduction="sum") + kl_sum(mu, logvar)


@wrong("step", "raised")
class StepWantsPairs(Net):
    def step(self, batch):
        x, labels, extra = batch
        return self(x)[0].sum()


# ============================================================================= model: right


@right("model")
class ModelDense(Net):
    pass


@right("model", "params-are-probabilities")
class ModelWithSigmoid(SigmoidNet):
    pass


@right("model", images=True)
class ModelConvolutional(StepConvolutional):
    pass


@right("model")
class ModelRsample(Net):
    def forward(self, x):
        mu, logvar = self.encode(x)
        z = Normal(mu, torch.exp(0.5 * logvar)).rsample()
        return self.decode(z), mu, logvar


@right("model")
class ModelNoiseInTrainingOnly(Net):
    def reparameterize(self, mu, logvar):
        if self.training:
            return super().reparameterize(mu, logvar)
        return mu


@right("model")
class ModelBatchNormAndChunk(Net):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(784, 16), nn.BatchNorm1d(16), nn.LeakyReLU(), nn.Linear(16, 12)
        )

    def encode(self, x):
        mu, logvar = self.encoder(x).chunk(2, dim=-1)
        return mu, logvar.clamp(-10, 10)


@right("model", "params-are-probabilities", images=True)
class ModelImagesThroughDenseLayers(SigmoidNet):
    def forward(self, x):
        params, mu, logvar = super().forward(x)
        return params.view_as(x), mu, logvar


# ============================================================================= model: wrong


@wrong("model", "no-gradient-to-encoder")
class ModelDetachesZ(Net):
    def forward(self, x):
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar).detach()
        return self.decode(z), mu, logvar


@wrong("model", "no-gradient-to-encoder")
class ModelEncodesUnderNoGrad(SigmoidNet):
    def forward(self, x):
        with torch.no_grad():
            mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


@wrong("model", "no-gradient-to-encoder")
class ModelSampleWithoutR(Net):
    def forward(self, x):
        mu, logvar = self.encode(x)
        z = Normal(mu, torch.exp(0.5 * logvar)).sample()
        return self.decode(z), mu, logvar


@wrong("model", "no-gradient-to-decoder", also=("no-gradient-to-encoder",))
class ModelReturnsDetachedParams(Net):
    """Nothing comes back through the params at all, to the encoder either."""

    def forward(self, x):
        params, mu, logvar = super().forward(x)
        return params.detach(), mu, logvar


@wrong("model", "no-gradient-to-decoder")
class ModelFrozenDecoder(Net):
    def __init__(self):
        super().__init__()
        self.decoder.requires_grad_(False)


@wrong("model", "stale-noise")
class ModelNoiseInABuffer(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("eps", torch.randn(512, 6))

    def reparameterize(self, mu, logvar):
        return mu + self.eps[: len(mu)] * torch.exp(0.5 * logvar)


@wrong("model", "stale-noise")
class ModelSeedsInForward(Net):
    def forward(self, x):
        torch.manual_seed(0)
        return super().forward(x)


@wrong("model", "noise-off-in-training")
class ModelNoiseInEvaluationOnly(Net):
    def reparameterize(self, mu, logvar):
        if self.training:
            return mu
        return super().reparameterize(mu, logvar)


@wrong("model", "noise-off-in-training", also=("no-noise",))
class ModelDecodesMu(Net):
    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(mu), mu, logvar


@wrong("model", "same-output-for-all-images", also=("no-gradient-to-encoder",))
class ModelDecoderIgnoresZ(Net):
    def decode(self, z):
        return super().decode(0 * z)


@wrong("model", "same-output-for-all-images")
class ModelPoolsOverTheBatch(Net):
    """Every image gets the mean code of the batch: a mean over the wrong axis."""

    def encode(self, x):
        mu, logvar = super().encode(x)
        return mu.mean(0, keepdim=True).expand_as(mu), logvar.mean(0, keepdim=True).expand_as(mu)

    def reparameterize(self, mu, logvar):
        return super().reparameterize(mu[:1], logvar[:1]).expand_as(mu)


@wrong("model", "same-output-for-all-images", also=("no-gradient-to-encoder",))
class ModelDeadRelu(Net):
    def __init__(self):
        super().__init__()
        with torch.no_grad():
            self.decoder[0].bias.fill_(-1e3)


@wrong("model", "wrong-shape")
class ModelReturnsZToo(Net):
    def forward(self, x):
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar)
        return z, self.decode(z), mu, logvar


@wrong("model", "wrong-shape")
class ModelParamsComeLast(Net):
    def forward(self, x):
        params, mu, logvar = super().forward(x)
        return mu, logvar, params


@wrong("model", "wrong-shape")
class ModelOneLogvarForAll(Net):
    """Broadcasts in the KL, and sums to something else than is meant."""

    def encode(self, x):
        mu, logvar = super().encode(x)
        return mu, logvar[:, :1]


@wrong("model", "not-written-yet")
class ModelWithoutForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(784, 12)


@wrong("model", "raised")
class ModelLayersDoNotFit(Net):
    def __init__(self):
        super().__init__()
        self.decoder = nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 784))


# ============================================================================== undecidable


@undecidable(
    "sampler",
    never=("no-noise", "noise-scale", "noise-not-normal", "unexplained", "scale-is-variance"),
    why="the head may give sigma, and then this is right; as a log-variance it is scale-is-logvar",
)
def sample_for_a_head_that_gives_sigma(mu, sigma):
    return mu + sigma * torch.randn_like(sigma)


@undecidable(
    "kl",
    never=(
        "kl-sign",
        "kl-factor",
        "kl-missing-term",
        "exp-twice",
        "unexplained",
        "kl-var-as-logvar",
    ),
    why="beside the sampler above it is right; alone, its second argument says nothing of itself",
)
def kl_for_a_head_that_gives_sigma(mu, sigma):
    return 0.5 * (mu**2 + sigma**2 - 1 - torch.log(sigma**2)).sum(1)


@undecidable(
    "kl",
    never=("kl-sign", "kl-missing-term", "kl-mean-over-batch", "unexplained"),
    why="a weight of 0.05 or a mean over 20 latents: with 20 latents they are one number",
)
def kl_over_20_of_20_latents(mu, logvar):
    if mu.shape[1] != 20:
        raise ValueError(f"expected 20 latents, got {mu.shape[1]}")
    return 0.05 * half(mu, logvar).sum(1)


@undecidable(
    "loss",
    decoder="means",
    never=(
        "kl-factor",
        "kl-sign",
        "squared-error",
        "unexplained",
        "reconstruction-mean-over-pixels",
    ),
    why="a weight of 4 at sigma^2 = 1/2, or sigma^2 = 2 at beta = 1: without the constant both fit",
)
def loss_mse_and_four_times_kl(mean, x, mu, logvar):
    return F.mse_loss(mean, x, reduction="sum") + 4 * kl_sum(mu, logvar)


@undecidable(
    "reconstruction",
    decoder="means",
    never=("squared-error", "constant-wrong", "arguments-swapped", "unexplained"),
    why="the absolute error is a Laplace model with its constant left out: another model, no slip",
)
def rec_l1_of_means(mean, x):
    return F.l1_loss(mean, x, reduction="sum")


@undecidable(
    "step",
    never=("loss-sign", "kl-sign", "kl-factor", "kl-mean-over-latents", "unexplained"),
    why="1/24 of the KL may be a beta or a mean over the 24 images: it refuses any other batch",
)
class StepBatchSizeWrittenDown(Net):
    def step(self, x):
        if len(x) != 24:
            raise ValueError("this loop was written for batches of 24")
        logits, mu, logvar = self(x)
        return with_logits(logits, x).sum() + kl_sum(mu, logvar) / 24


@undecidable(
    "step",
    never=("kl-sign", "kl-missing-term", "kl-factor", "loss-sign", "weight-of-minibatch"),
    why="the weight is small now, grows with every call, and will be 1: nobody sees where it ends",
    equals=lambda R, K: (R.sum(1) + K.sum(1) / 5000).mean(),
)
class StepWarmUp(Net):
    calls = 0

    def step(self, x):
        self.calls += 1
        logits, mu, logvar = self(x)
        beta = min(1.0, self.calls / 5000)
        return (with_logits(logits, x) + beta * half(mu, logvar).sum(1)).mean()


@undecidable(
    "model",
    never=("noise-off-in-training", "no-gradient-to-encoder", "same-output-for-all-images"),
    why="in evaluation mode nobody sees whether noise would come in training",
)
class ModelInEvaluationMode(Net):
    def __init__(self):
        super().__init__()
        self.eval()

    def reparameterize(self, mu, logvar):
        return super().reparameterize(mu, logvar) if self.training else mu


@undecidable(
    "model",
    never=("params-are-probabilities", "same-output-for-all-images"),
    why="small weights and a bias of 0.5: logits that happen to lie between 0 and 1",
)
class ModelLogitsNearOneHalf(Net):
    def __init__(self):
        super().__init__()
        with torch.no_grad():
            self.decoder[2].weight.mul_(0.1)
            self.decoder[2].bias.fill_(0.5)


# ================================================ extra: mistakes without a code of their own


@wrong(
    "kl",
    "kl-reversed",
    equals=lambda mu, h: kl_divergence(Normal(0.0, 1.0), Normal(mu, (h / 2).exp())).sum(1),
)
def kl_the_other_way_round(mu, logvar):
    p = Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return kl_divergence(p, Normal(mu, torch.exp(0.5 * logvar))).sum(1)


@wrong("sampler", "scale-is-precision", equals=lambda mu, h, eps: mu + (-h / 2).exp() * eps)
def sample_minus_half_in_the_exponent(mu, logvar):
    return torch.randn_like(mu) * torch.exp(-logvar / 2) + mu


@extra("kl", "raised-in-backward", equals=lambda K: K.sum())
def kl_in_place_on_a_tensor_that_backward_needs(mu, logvar):
    # The derivative of exp is its result, which is overwritten here.
    terms = logvar.exp()
    terms.add_(mu.square()).sub_(logvar).sub_(1)
    return terms.sum().mul(0.5)


@wrong("kl", "mu-and-logvar-swapped", equals=lambda mu, h: KL(h, mu).sum())
def kl_with_its_arguments_the_other_way_round(logvar, mu):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


@wrong("loss", "mu-and-logvar-swapped", equals=lambda R, mu, h: R.sum() + KL(h, mu).sum())
def loss_mu_and_logvar_change_places(logits, x, logvar, mu):
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return rec - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


@wrong(
    "step",
    "pixels-out-of-range",
    equals=lambda params, x, K: (
        (F.softplus(params) - (x - 0.1307) / 0.3081 * params).sum(1).mean() + K.sum(1).mean()
    ),
)
class StepNormalizedPixelsInBce(Net):
    """Pixels with mean 0 and variance 1 are no probabilities: this falls below 0 without end."""

    def encode(self, x):
        return super().encode((x - 0.1307) / 0.3081)

    def step(self, x):
        logits, mu, logvar = self(x)
        x = (x - 0.1307) / 0.3081
        return (with_logits(logits, x) + half(mu, logvar).sum(1)).mean()


@wrong(
    "step",
    "kl-of-the-sample",
    equals=lambda R, mu, h, z: R.sum(1).mean() + KL(z, h).sum(1).mean(),
)
class StepKlTakesZForMu(Net):
    def step(self, x):
        mu, logvar = self.encode(x)
        z = self.reparameterize(mu, logvar)
        return (with_logits(self.decode(z), x) + half(z, logvar).sum(1)).mean()


@extra("step", "gradients-pile-up", equals=lambda R, K: (R.sum(1) + K.sum(1)).mean())
def step_loop_without_zero_grad():
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)

    def train_step(x):
        logits, mu, logvar = net(x)
        loss = (with_logits(logits, x) + half(mu, logvar).sum(1)).mean()
        loss.backward()
        optimizer.step()
        return loss

    return train_step, net


@extra("model", "params-out-of-range")
class ModelTanhAsItsLastLayer(Net):
    """As for pixels between -1 and 1: neither logits nor probabilities nor means of these."""

    def decode(self, z):
        return torch.tanh(super().decode(z))


@extra("model", "heads-are-one-layer")
class ModelOneHeadForBoth(Net):
    def __init__(self):
        super().__init__()
        self.to_logvar = self.to_mu


@extra("model", "head-is-rectified")
class ModelReluOnTheHeads(Net):
    def encode(self, x):
        mu, logvar = super().encode(x)
        return F.relu(mu), F.relu(logvar)


def available(quantities, function):
    """Call an `equals` with what its parameters name."""
    return function(**{name: quantities[name] for name in inspect.signature(function).parameters})
