"""The settings of a training run: the command line's options are these fields."""

from dataclasses import asdict, dataclass
from typing import Literal, get_args

import torch

from vae_teach.data import Pixels
from vae_teach.likelihoods import BernoulliLikelihood
from vae_teach.model import VAE
from vae_teach.networks import Decoder, Encoder

DataName = Literal["mnist", "sample"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run: all that decides its result.

    ``progress`` decides nothing, and another ``device`` changes the last digits.
    """

    data: DataName = "mnist"
    """mnist: the full set, 50,000 images to train on. sample: the 5,000 embedded
    digits, no download.
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
    hidden: tuple[int, ...] = (256,)
    """Widths of the encoder's hidden layers; the decoder mirrors them."""
    epochs: int = 100
    """Passes over the training images."""
    batch_size: int = 128
    """Images in a minibatch."""
    learning_rate: float = 1e-3
    """Adam's step size at the start; it falls linearly to zero over the run."""
    seed: int = 0
    """Seed of the run's own generator: initial weights, shuffling, noise."""
    precision: Precision = "float32"
    """float32, or bfloat16 autocast (log-probabilities stay in float32)."""
    device: str = "cpu"
    """cpu, cuda, or another name PyTorch knows."""
    progress: bool = True
    """Show a progress bar (on a terminal) and print a line for each epoch."""

    def __post_init__(self):
        for name, kind in (
            ("data", DataName),
            ("pixels", Pixels),
            ("precision", Precision),
        ):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(kind))}, but is {getattr(self, name)!r}."
                )
        for name in ("latent_dim", "epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, but is {getattr(self, name)}.")
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden must list positive widths, but is {self.hidden}.")
        if self.train_on_all and self.data == "sample":
            raise ValueError(
                "train_on_all is about the full MNIST; with data=sample there is nothing more to train on."
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
        return cls(**settings | {"hidden": tuple(settings["hidden"])})


def build_model(config: TrainConfig, generator: torch.Generator | None = None) -> VAE:
    """Build a VAE with fresh weights drawn from ``generator``, which advances.

    Without a generator they are drawn from the configured seed. PyTorch's layers draw their
    initial weights from the global generator. It is lent our state here and given its own
    back, so that building a model disturbs nobody else's randomness.
    """
    generator = generator or torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator.get_state())
        encoder = Encoder(config.latent_dim, config.hidden)
        decoder = Decoder(config.latent_dim, config.hidden)
        generator.set_state(torch.get_rng_state())
    return VAE(encoder, decoder, BernoulliLikelihood())
