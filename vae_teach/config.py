"""The settings of a training run: the command line's options are these fields."""

from dataclasses import asdict, dataclass
from math import inf, prod
from typing import Literal, get_args

import torch
from torch import nn

from vae_teach.data import Pixels
from vae_teach.drawings import IMAGE_SHAPE
from vae_teach.likelihoods import BernoulliLikelihood, GaussianLikelihood
from vae_teach.model import VAE
from vae_teach.networks import ConvDecoder, ConvEncoder, Decoder, Encoder

__all__ = ["DataName", "TrainConfig", "build_model"]

DataName = Literal["mnist", "sample", "openmoji"]
Network = Literal["dense", "conv"]
Activation = Literal["relu", "tanh"]
Likelihood = Literal["bernoulli", "gaussian"]
Schedule = Literal["linear", "one-cycle"]
Precision = Literal["float32", "bfloat16"]

# What runs did that were recorded before these were settings.
_BEFORE = {
    "network": "dense",
    "activation": "relu",
    "likelihood": "bernoulli",
    "num_importance_samples": 1,
    "beta": 1.0,
    "warm_up": 0.0,
    "schedule": "linear",
    "start_from_mean": False,
    "centre_pixels": False,
    "decoder_step_factor": 1.0,
}


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run: all that decides its result.

    ``progress`` decides nothing, and another ``device`` changes the last digits.
    """

    data: DataName = "mnist"
    """mnist: the full set, 50,000 images to train on. sample: the 5,000 embedded
    digits, no download. openmoji: small colour drawings, from the extra packages "colour".
    """
    train_on_all: bool = False
    """Train on all 60,000 training images, as some papers do; validation is then not
    held out.
    """
    pixels: Pixels = "grey"
    """What the model sees: grey values, bits drawn afresh (dynamic), one draw of ours
    (fixed), or threshold.
    """
    latent_dim: int = 20
    """Number of latent variables."""
    network: Network = "dense"
    """dense or conv, convolutions that halve height and width."""
    hidden: tuple[int, ...] = (256,)
    """Widths of the encoder's hidden layers, or channels of its convolutions; the decoder
    mirrors them.
    """
    activation: Activation = "relu"
    """Between the layers: relu or tanh."""
    likelihood: Likelihood = "bernoulli"
    """bernoulli: each pixel a coin. gaussian: each pixel a Gaussian, with one learned
    standard deviation for all.
    """
    num_importance_samples: int = 1
    """Samples of z for each image in a step. 1 raises the ELBO, K > 1 the bound IWAE_K."""
    beta: float = 1.0
    """Weight of the KL in what a step raises. Above 1 that is a looser bound than the ELBO,
    below 1 no bound on log p(x).
    """
    warm_up: float = 0.0
    """KL annealing: the share of the run in which the weight of the KL rises from 0 to beta."""
    epochs: int = 100
    """Passes over the training images."""
    batch_size: int = 256
    """Images in a minibatch."""
    learning_rate: float = 5e-3
    """Adam's largest step size, that of the encoder."""
    schedule: Schedule = "one-cycle"
    """How the step size goes: linear falls from the largest to zero, one-cycle first rises to it."""
    start_from_mean: bool = True
    """Let the decoder's output start at the mean training image, by its last bias."""
    centre_pixels: bool = True
    """Let the encoder see each image minus the mean training image."""
    decoder_step_factor: float = 3.0
    """How many times the encoder's step all other parameters take."""
    seed: int = 0
    """Seed of the run's own generator: initial weights, shuffling, noise."""
    precision: Precision = "float32"
    """float32, or bfloat16 autocast (log-probabilities stay in float32)."""
    device: str = "cpu"
    """cpu, cuda, another name PyTorch knows, or auto: a GPU where there is one."""
    progress: bool = True
    """Show a progress bar (on a terminal) and print a line for each epoch."""

    def __post_init__(self):
        for name, kind in (
            ("data", DataName),
            ("pixels", Pixels),
            ("network", Network),
            ("activation", Activation),
            ("likelihood", Likelihood),
            ("schedule", Schedule),
            ("precision", Precision),
        ):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(kind))}, but is {getattr(self, name)!r}."
                )
        for name in ("latent_dim", "num_importance_samples", "epochs", "batch_size"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value > 0):
                raise ValueError(f"{name} must be a whole number from 1 upwards, but is {value}.")
        if not 0 < self.learning_rate < inf:
            raise ValueError(
                f"learning_rate must be positive and finite, but is {self.learning_rate}."
            )
        if not 0 < self.decoder_step_factor < inf:
            raise ValueError(
                f"decoder_step_factor must be positive and finite, but is {self.decoder_step_factor}."
            )
        if not 0 <= self.beta < inf:
            raise ValueError(f"beta must be a finite number from 0 upwards, but is {self.beta}.")
        if not 0 <= self.warm_up <= 1:
            raise ValueError(f"warm_up must be a share from 0 to 1, but is {self.warm_up}.")
        if self.num_importance_samples > 1 and (self.beta, self.warm_up) != (1.0, 0.0):
            raise ValueError(
                "beta and warm_up weight the KL of the ELBO; the bound IWAE_K has no such term. "
                "Leave them alone, or train with num_importance_samples=1."
            )
        if not all(isinstance(width, int) and width > 0 for width in self.hidden):
            raise ValueError(
                f"hidden must list whole numbers from 1 upwards, but is {self.hidden}."
            )
        if self.network == "conv" and not self.hidden:
            raise ValueError(
                "hidden must list the channels of at least one convolution, but is empty."
            )
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be at least 0 and less than 2^63, but is {self.seed}.")
        if self.train_on_all and self.data != "mnist":
            raise ValueError(
                f"train_on_all is about the full MNIST; with data={self.data} there is nothing more to train on."
            )

    def as_dict(self) -> dict:
        """Return the settings as JSON can hold them."""
        return asdict(self) | {"hidden": list(self.hidden)}

    @classmethod
    def from_dict(cls, settings: dict) -> "TrainConfig":
        """Return the settings that ``as_dict`` wrote. Raises ``ValueError`` on an unknown one."""
        if unknown := settings.keys() - cls.__dataclass_fields__.keys():
            raise ValueError(
                f"Unknown settings: {', '.join(sorted(unknown))}. Another version of vae_teach wrote them."
            )
        return cls(**_BEFORE | settings | {"hidden": tuple(settings["hidden"])})

    def torch_device(self) -> torch.device:
        """Return the device to train on. Raises ``ValueError`` when it does not exist here."""
        name = self.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            torch.zeros(1, device=name).cpu()
            return torch.device(name)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise ValueError(
                f"PyTorch cannot use the device {name!r} on this machine: {error}"
            ) from error


def build_model(config: TrainConfig, generator: torch.Generator | None = None) -> VAE:
    """Build a VAE with fresh weights drawn from ``generator``, which advances.

    Without a generator they are drawn from the configured seed. PyTorch's layers draw their
    initial weights from the global generator. It is lent our state here and given its own
    back, so that building a model disturbs nobody else's randomness.
    """
    generator = generator or torch.Generator().manual_seed(config.seed)
    shape = IMAGE_SHAPE if config.data == "openmoji" else (1, 28, 28)
    options = (config.latent_dim, config.hidden)
    activation = {"relu": nn.ReLU, "tanh": nn.Tanh}[config.activation]
    gaussian = config.likelihood == "gaussian"
    likelihood = GaussianLikelihood(0.5, learned=True) if gaussian else BernoulliLikelihood()
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator.get_state())
        if config.network == "dense":
            encoder = Encoder(*options, prod(shape), activation, config.centre_pixels)
            decoder = Decoder(*options, prod(shape), activation)
        else:
            encoder = ConvEncoder(*options, shape, activation, config.centre_pixels)
            decoder = ConvDecoder(*options, shape, activation)
        generator.set_state(torch.get_rng_state())
    return VAE(encoder, decoder, likelihood)
