from itertools import product

import pytest
import torch
from helpers import randn
from oracles import MAX_Z, z_score
from torch import nn

from vae_teach.networks import ConvDecoder, ConvEncoder, Decoder, Encoder, dense


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


def test_a_centred_encoder_subtracts_its_mean():
    kinds = [
        lambda centred: Encoder(2, (5,), 12, centred=centred),
        lambda centred: ConvEncoder(2, (4,), (3, 6, 6), centred=centred),
    ]
    for make, pixels in zip(kinds, (12, 108), strict=True):
        encoder, centred, mean = make(False), make(True), torch.rand(pixels)
        assert encoder.mean is None and "mean" not in encoder.state_dict()
        centred.load_state_dict(encoder.state_dict() | {"mean": mean})
        x = torch.rand(7, pixels)
        torch.testing.assert_close(centred(x), encoder(x - mean))
        assert [name for name, _ in centred.named_parameters()] == [
            name for name, _ in encoder.named_parameters()
        ]


@pytest.mark.parametrize("encoder", [Encoder(2, (5,)), ConvEncoder(2, (4,))])
@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (4, 3072)])
def test_images_of_another_shape_are_refused(encoder, shape):
    with pytest.raises(ValueError) as error:
        encoder(torch.rand(shape))
    assert f"(..., 784), but got {shape}" in str(error.value)


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


def convolved(x, weight, bias, stride, padding):
    """A convolution, one output pixel after the other: (B, C, H, W), by its definition."""
    x = nn.functional.pad(x, [padding] * 4)
    height, width = ((size - 3) // stride + 1 for size in x.shape[-2:])
    out = x.new_empty(len(x), len(weight), height, width)
    for i, j in product(range(height), range(width)):
        window = x[:, :, stride * i : stride * i + 3, stride * j : stride * j + 3]
        out[:, :, i, j] = torch.einsum("bchw,ochw->bo", window, weight) + bias
    return out


def doubled(x, weight, bias):
    """A transposed convolution of step 2: each pixel lays its 3 x 3 stamp on the larger image."""
    batch, _, height, width = x.shape
    canvas = x.new_zeros(batch, weight.shape[1], 2 * height + 2, 2 * width + 2)
    for i, j in product(range(height), range(width)):
        stamp = torch.einsum("bc,cohw->bohw", x[:, :, i, j], weight)
        canvas[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += stamp
    return canvas[:, :, 1:-1, 1:-1] + bias[:, None, None]


def test_the_convolutional_encoder_is_its_definition():
    encoder = ConvEncoder(3, (2, 5), (3, 10, 12)).double()
    first, second = (layer for layer in encoder.layers if isinstance(layer, nn.Conv2d))
    x = randn(4, 3, 10, 12)
    hidden = convolved(x, first.weight, first.bias, stride=2, padding=0).clamp(min=0)
    hidden = convolved(hidden, second.weight, second.bias, stride=2, padding=0).clamp(min=0)
    last = encoder.layers[-1]
    expected = hidden.flatten(1) @ last.weight.T + last.bias
    torch.testing.assert_close(torch.cat(encoder(x.flatten(1)), -1), expected)


def test_the_convolutional_decoder_is_its_definition():
    decoder = ConvDecoder(3, (2, 5), (3, 8, 12)).double()
    linear, first, second, last = (layer for layer in decoder.layers if list(layer.parameters()))
    z = randn(4, 3)
    hidden = (z @ linear.weight.T + linear.bias).clamp(min=0).reshape(4, 2, 2, 3)
    hidden = doubled(hidden, first.weight, first.bias).clamp(min=0)
    hidden = doubled(hidden, second.weight, second.bias).clamp(min=0)
    expected = convolved(hidden, last.weight, last.bias, stride=1, padding=1)
    torch.testing.assert_close(decoder(z), expected.flatten(1))


def test_the_first_half_of_the_convolutional_encoder_is_mu():
    encoder = ConvEncoder(2, (3,), (1, 4, 4))
    with torch.no_grad():
        encoder.layers[-1].weight.zero_()
        encoder.layers[-1].bias.copy_(torch.tensor([1.0, 2.0, -3.0, -4.0]))
    mu, logvar = encoder(torch.rand(5, 16))
    assert mu.tolist() == [[1, 2]] * 5 and logvar.tolist() == [[-3, -4]] * 5


def shapes(layers, x):
    """What the layers with weights make of x, without the batch."""
    found = []
    for layer in layers:
        x = layer(x)
        if list(layer.parameters()):
            found.append(tuple(x.shape[1:]))
    return found


def test_the_digits_shapes_and_number_of_parameters_are_those_of_the_source():
    """Conv 32 and 64 without padding and 2 x 64 out; 32 x 7 x 7, then 64, 32 and 1 channels."""
    encoder, decoder = ConvEncoder(64), ConvDecoder(64)
    assert shapes(encoder.layers, torch.rand(2, 1, 28, 28)) == [(32, 13, 13), (64, 6, 6), (128,)]
    assert shapes(decoder.layers, torch.rand(2, 64)) == [
        (32 * 7 * 7,),
        (64, 14, 14),
        (32, 28, 28),
        (1, 28, 28),
    ]
    count = sum(p.numel() for net in (encoder, decoder) for p in net.parameters())
    weights = 9 * (1 * 32 + 32 * 64) + 64 * 36 * 128 + 64 * 1568 + 9 * (32 * 64 + 64 * 32 + 32)
    biases = 32 + 64 + 128 + 1568 + 64 + 32 + 1
    assert count == weights + biases


def test_colour_images_have_three_channels_and_flat_pixels():
    encoder = ConvEncoder(32, (16, 32, 64), (3, 32, 32))
    decoder = ConvDecoder(32, (16, 32, 64), (3, 32, 32))
    mu, logvar = encoder(torch.rand(2, 3072))
    assert mu.shape == logvar.shape == (2, 32)
    assert decoder(mu).shape == (2, 3072)


def test_flat_pixels_are_channel_after_channel_and_row_after_row():
    """With all other weights zero, the bias of a channel is all there is in it."""
    decoder = ConvDecoder(2, (4,), (3, 2, 4))
    with torch.no_grad():
        decoder.layers[-1].weight.zero_()
        decoder.layers[-1].bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    assert decoder(torch.rand(1, 2)).tolist() == [[1] * 8 + [2] * 8 + [3] * 8]


@pytest.mark.parametrize("lead", [(), (1,), (2, 4), (2, 1, 3), (0,)])
def test_any_axes_may_lead_a_convolution(lead):
    encoder = ConvEncoder(3, (2,), (3, 4, 6)).double()
    decoder = ConvDecoder(3, (2,), (3, 4, 6)).double()
    x, z = randn(*lead, 72), randn(*lead, 3, seed=1)
    mu, logvar = encoder(x)
    assert mu.shape == logvar.shape == z.shape and decoder(z).shape == x.shape
    for index in product(*map(range, lead)):
        torch.testing.assert_close(
            torch.stack(encoder(x[index])), torch.stack((mu, logvar))[:, *index]
        )
        torch.testing.assert_close(decoder(z[index]), decoder(z)[index])


def test_a_size_that_doubling_does_not_reach_is_refused():
    with pytest.raises(ValueError, match=r"3 layers.*that 8 divides.*28 x 28.*\(8, 8, 8\)"):
        ConvDecoder(2, (8, 8, 8))


@pytest.mark.parametrize("network", [Encoder, Decoder, ConvEncoder, ConvDecoder])
def test_the_activation_stands_after_every_layer_but_the_last(network):
    layers = network(2, (4, 4), activation=nn.Tanh).layers
    assert not any(isinstance(layer, nn.ReLU) for layer in layers)
    kinds = [
        isinstance(layer, nn.Tanh)
        for layer in layers
        if not isinstance(layer, nn.Flatten | nn.Unflatten)
    ]
    num_weighted = sum(bool(list(layer.parameters())) for layer in layers)
    assert kinds == [False, True] * (num_weighted - 1) + [False]
