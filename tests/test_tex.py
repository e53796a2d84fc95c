"""A display says what was checked, or it does not."""

import pytest

from equation_checks.tex import says


@pytest.mark.parametrize(
    ("tex", "form", "expected"),
    [
        (r"K = \frac{1}{2}\left(\mu^2 - 1\right)", "mu**2/2 - 1/2", True),
        (r"K = \frac{1}{3}\left(\mu^2 - 1\right)", "mu**2/2 - 1/2", False),
        (r"K = \sum_{j=1}^{D} \left(\mu_j^2\right)", "sum over j=1..D of mu_j**2", True),
        (r"K = \sum_{j=1}^{D} \left(\mu_j\right)", "sum over j=1..D of mu_j**2", False),
        (r"K = \sum_{j=1}^{D} \left(\mu_j^2\right)", "mu_j**2", False),
        (r"K = \mu_j^2", "sum over j=1..D of mu_j**2", False),
        (r"K = -\sum_{j=1}^{D} \left(\mu_j^2\right)", "sum over j=1..D of mu_j**2", False),
        (r"K = \sum_{j=1}^{D} \sum_{i=1}^{D} \mu_j^2", "sum over j=1..D of mu_j**2", False),
        (r"K = \frac{1}{", "x", False),
        (r"K = x + 1, \qquad y = 3", "x + 1", True),
        (r"K = \log\frac{\sigma_p}{\sigma_q},", "log(sigma_p/sigma_q)", True),
        (r"K = \log\frac{\sigma_q}{\sigma_p},", "log(sigma_p/sigma_q)", False),
        (r"K = x + w", "x", False),
    ],
)
def test_says_reads_the_right_hand_side(tex, form, expected):
    assert says(tex, form) is expected
