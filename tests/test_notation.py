"""TeX becomes tokens with one normal text, and commands that nobody gave a meaning are refused."""

import pytest

from equation_checks.notation import text_of, tokens
from equation_checks.world import Unreadable


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (r"p(x \mid z)", "p(x|z)"),
        (r"p\left( x \,\mid\, z \right)", "p(x|z)"),
        (r"\sigma_q^2", "sigma_q^2"),
        (r"\sigma_{q}^{2}", "sigma_q^2"),
        (r"\ell_{p,j}", "ell_p,j"),
        (r"e^{\ell_j}", "e^(ell_j)"),
        (r"\mathrm{KL}\big(q \,\|\, p\big)", "KL(q||p)"),
        (r"\mathcal{N}(x;\; \mu, \sigma^2)", "N(x;mu,sigma^2)"),
        (r"\hat\theta_{\mathrm{ML}}", "hat theta_ML"),
        (r"\frac12 \beta z", "(1)/(2)beta z"),
        (r"a \le b", "a <= b"),
        (r"a \overset{?}{=} b", "a ?= b"),
        (r"2 a b", "2ab"),
        (r"a \mu", "a mu"),
        (r"\mu a", "mu a"),
        (r"\bigl( a \! b \bigr)\ \Bigl[ \widehat\theta\, \Bigr]", "(ab)[hat theta]"),
        (r"\max_q \cos x - \tanh y", "max_q cos x-tanh y"),
    ],
)
def test_one_text_whatever_the_spacing(tex, text):
    assert text_of(tokens(tex)) == text


@pytest.mark.parametrize(
    "tex",
    [r"\oint x", r"\begin{matrix} 1 \end{matrix}", r"\frac{1}{2", r"\unknown{x}", "a % b", "a $b$"],
)
def test_a_command_without_a_meaning_is_refused(tex):
    with pytest.raises(Unreadable):
        tokens(tex)


def test_text_in_words_is_no_name():
    kinds = {token.text: token.kind for token in tokens(r"\text{with equality} \text{charged}")}
    assert kinds == {"withequality": "words", "charged": "letter"}
