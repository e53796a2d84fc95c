"""The training loop as most programs on the web write it, to measure ours against.

A data set that hands out one picture at a time, PyTorch's ``DataLoader``, a sigmoid at the
end of the decoder and ``binary_cross_entropy`` after it, Adam as it comes, and ``.item()`` in
every step: PyTorch's own example has all of it. The network is the one that ours is compared on.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class Pictures(Dataset):
    """Digits with their labels, one at a time, through the same steps as torchvision's.

    Shape: ``pixels`` uint8 ``(N, 28, 28)``. The bytes become a PIL image, and ``ToTensor``
    turns that into floats ``(1, 28, 28)`` in [0, 1].
    """

    def __init__(self, pixels: Tensor, labels: Tensor):
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.pixels[index].numpy())
        values = torch.from_numpy(np.array(picture, copy=True)).view(28, 28, 1)
        return values.permute(2, 0, 1).contiguous().float().div(255), int(self.labels[index])


class TextbookVAE(nn.Module):
    """784 pixels, 256 hidden units, 20 latents, and the same way back to 784 means."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 256)
        self.fc_mu = nn.Linear(256, 20)
        self.fc_logvar = nn.Linear(256, 20)
        self.fc3 = nn.Linear(20, 256)
        self.fc4 = nn.Linear(256, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.fc1(x))
        mu, logvar = self.fc_mu(h), self.fc_logvar(h)
        std = torch.exp(0.5 * logvar)
        z = mu + std * torch.randn_like(std)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar


def negative_elbo(x_hat: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Return the loss, summed over the batch, in nats."""
    reconstruction = F.binary_cross_entropy(x_hat, x, reduction="sum")
    return reconstruction - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


class Textbook:
    """The loop with its model, its optimiser and its loader."""

    def __init__(self, pixels: Tensor, labels: Tensor, seed: int = 0):
        torch.manual_seed(seed)
        self.model = TextbookVAE()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.loader = DataLoader(Pictures(pixels, labels), batch_size=128, shuffle=True)

    def train_epoch(self) -> float:
        """Train on all pictures once; return the mean loss on the way, nats per image."""
        self.model.train()
        total = 0.0
        for x, _ in self.loader:
            x = x.view(-1, 784)
            self.optimizer.zero_grad()
            loss = negative_elbo(*self._forward(x))
            loss.backward()
            total += loss.item()
            self.optimizer.step()
        return total / len(self.loader.dataset)

    @torch.no_grad()
    def evaluate(self, images: Tensor, draws: int) -> float:
        """Return the mean loss on images ``(N, 784)``, nats per image, over draws of noise."""
        self.model.eval()
        batches = images.split(1_000) * draws
        return sum(negative_elbo(*self._forward(x)).item() for x in batches) / (len(images) * draws)

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x_hat, mu, logvar = self.model(x)
        return x_hat, x, mu, logvar
