"""The tool judges programs whose labels `test_diagnosis_variants.py` proves without it."""

import diagnosis_variants as variants
import pytest

from vae_teach import diagnosis

JUDGED = variants.RIGHT + variants.WRONG + variants.UNDECIDABLE


@pytest.mark.parametrize("variant", JUDGED, ids=lambda variant: variant.name)
def test_the_tool_says_what_is_wrong_and_nothing_else(variant):
    found = variant.diagnose(diagnosis)
    assert not variant.objection(found), str(found)


@pytest.mark.parametrize("variant", variants.EXTRA, ids=lambda variant: variant.name)
def test_a_further_mistake_is_named(variant):
    found = variant.diagnose(diagnosis)
    assert [one.code for one in found.findings if variant.codes[0].startswith(one.code)], str(found)
