import pytest
import torch
from helpers import randn
from oracles import MAX_Z, z_score
from torch import nn

from vae_teach.networks import Decoder, Encoder, dense


def by_hand(layers, x):
    """Affine maps with max(0, .) between them, from the weights alone."""
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for index, layer in enumerate(linear):
        x = x @ layer.weight.T + layer.bias
        if index < len(linear) - 1:
            x = x.clamp(min=0)
    return x


@pytest.mark.parametrize("hidden", [(), (5,), (7, 4)])
def test_networks_are_affine_maps_with_relu_between(hidden):
    encoder, decoder = Encoder(3, hidden, 6).double(), Decoder(3, hidden, 6).double()
    x, z = randn(10, 6), randn(10, 3, seed=1)
    mu, logvar = encoder(x)
    torch.testing.assert_close(torch.cat([mu, logvar], -1), by_hand(encoder.layers, x))
    torch.testing.assert_close(decoder(z), by_hand(decoder.layers, z))


def test_the_first_half_of_the_encoder_is_mu_and_the_second_logvar():
    encoder = Encoder(2, (), 4)
    with torch.no_grad():
        encoder.layers[-1].weight.zero_()
        encoder.layers[-1].bias.copy_(torch.tensor([1.0, 2.0, -3.0, -4.0]))
    mu, logvar = encoder(torch.rand(5, 4))
    assert mu.tolist() == [[1, 2]] * 5 and logvar.tolist() == [[-3, -4]] * 5


def test_outputs_are_not_squashed():
    decoder = Decoder(1, (), 1)
    with torch.no_grad():
        decoder.layers[-1].weight.fill_(100.0)
        decoder.layers[-1].bias.zero_()
    assert decoder(torch.tensor([[-1.0], [1.0]])).tolist() == [[-100], [100]]


def test_the_decoder_mirrors_the_encoder():
    widths = [
        [
            (layer.in_features, layer.out_features)
            for layer in net.layers
            if isinstance(layer, nn.Linear)
        ]
        for net in (Encoder(20, (256, 64)), Decoder(20, (256, 64)))
    ]
    assert widths == [[(784, 256), (256, 64), (64, 40)], [(20, 64), (64, 256), (256, 784)]]


def test_the_books_network_has_its_number_of_parameters():
    count = sum(p.numel() for net in (Encoder(20), Decoder(20)) for p in net.parameters())
    assert count == (784 + 1) * 256 + (256 + 1) * 40 + (20 + 1) * 256 + (256 + 1) * 784


def test_any_axes_may_lead():
    encoder, decoder = Encoder(3, (5,), 6), Decoder(3, (5,), 6)
    mu, logvar = encoder(torch.rand(2, 4, 6))
    assert mu.shape == logvar.shape == (2, 4, 3)
    assert decoder(mu).shape == (2, 4, 6)
    torch.testing.assert_close(decoder(mu)[1, 2], decoder(mu[1, 2]))


def test_fresh_weights_have_torchs_default_spread():
    """Uniform on plus or minus 1/sqrt(inputs), so the mean square is 1/(3 inputs)."""
    torch.manual_seed(0)
    weights = dense([100, 300])[0].weight.detach().flatten()
    assert z_score(weights, 0.0) < MAX_Z
    assert z_score(weights**2, 1 / 300) < MAX_Z
