import json
import re
from pathlib import Path

import pytest

from vae_teach import findings
from vae_teach.findings import Diagnosis, finding

BOOK = Path(__file__).parents[1] / "book"
PACKAGE = BOOK.parent / "vae_teach"
NOTE = finding("known-mistake", "left out", note=True)
MISTAKE = finding("kl-sign", "a sign < is lost")


@pytest.mark.parametrize("label", findings.SECTIONS)
def test_the_book_has_the_sections_that_findings_name(label):
    title, chapter = findings.SECTIONS[label]
    cells = json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf8"))["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells)
    assert re.search(rf"^\({label}\)=\n+#+ {re.escape(title)}$", text, re.MULTILINE)


def test_every_code_has_a_section_that_findings_know_and_no_section_is_idle():
    assert set(findings.CODES.values()) - {None} == set(findings.SECTIONS)


def named(module):
    text = (PACKAGE / f"{module}.py").read_text(encoding="utf8")
    return set(re.findall(r'"([a-z]+(?:-[a-z]+)+|beta|raised|unexplained)"', text))


def test_every_code_is_said_somewhere():
    body = (PACKAGE / "findings.py").read_text(encoding="utf8").split("SECTIONS = {")[1]
    said = set(re.findall(r'"([a-z-]+)"', body)) | named("diagnosis")
    said |= {"squared-error", "absolute-error"}  # made of parts
    said |= {f"no-gradient-to-{name}" for name in ("mu", "logvar", "params")}
    assert set(findings.CODES) <= said


def test_troubleshooting_has_a_line_for_every_code():
    page = (BOOK / "troubleshooting.md").read_text(encoding="utf8")
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)+|beta|raised|unexplained)`", page)) >= set(
        findings.CODES
    )


def test_notes_come_last_and_leave_it_ok():
    assert Diagnosis("kl", "the KL.", (NOTE,)).ok
    diagnosis = Diagnosis("kl", "the KL.", (NOTE, MISTAKE))
    assert not diagnosis.ok
    assert diagnosis.findings == (MISTAKE, NOTE)


def test_text_says_code_message_and_section():
    text = str(Diagnosis("kl(mu, logvar)", "not the KL.", (MISTAKE, NOTE)))
    assert text.splitlines() == [
        "✗ kl(mu, logvar): not the KL.",
        "  kl-sign: a sign < is lost",
        "    read: “Reconstruction minus KL” (elbo.html#sec-two-terms)",
        "  note: known-mistake: left out",
    ]
    assert str(Diagnosis("kl", "the KL.", ())) == "✓ kl: the KL."
    assert str(Diagnosis("step", "unknown.", (), examined=False)) == "? step: unknown."


def test_html_is_a_table_and_escapes_what_it_shows():
    html = Diagnosis("kl(mu, logvar)", "not the KL.", (MISTAKE,))._repr_html_()
    assert "<table>" in html and "a sign &lt; is lost" in html and "<code>kl-sign</code>" in html
    assert "<table>" not in Diagnosis("kl", "the KL.", ())._repr_html_()


def test_json_can_hold_a_diagnosis():
    read = json.loads(json.dumps(Diagnosis("kl", "not the KL.", (MISTAKE,)).as_dict()))
    assert (read["ok"], read["findings"][0]["code"]) == (False, "kl-sign")
