"""The claims in short: one bullet each, with verdicts and reasons, which can be read back."""

from nmbench.paper.ledger import page, publication, summary
from nmbench.paper.ledger.evidence import Evidence
from nmbench.paper.ledger.publication import Claim, LedgerEntry
from nmbench.paper.ledger.verdicts import ClaimFinding, Verdict


def entry(**findings):
    return LedgerEntry(
        Claim("some_name", "It is *so*.", "source", "rule", lambda *_: ClaimFinding(Verdict.HOLDS, "")), findings
    )


def test_sentences_of_a_claim():
    found = entry(
        paper=ClaimFinding(Verdict.UNDECIDED, "No seed of 3 does", qualifier="after 5 of 9 steps"),
        matched=ClaimFinding(Verdict.HOLDS, "nmrnn_linear does in 9 of 10 seeds"),
    )
    text = (
        "*It is \\*so\\*.* As published: **cannot tell** (after 5 of 9 steps). No seed of 3 does. "
        "Under equal conditions: **holds**. nmrnn\\_linear does in 9 of 10 seeds."
    )
    assert summary.sentences(found) == text
    assert summary.bullets([found, found]) == f"- **some_name**: {text}\n- **some_name**: {text}"
    documented = entry(paper=ClaimFinding(Verdict.DOCUMENTED, "The code differs"))
    assert summary.sentences(documented) == "*It is \\*so\\*.* The code differs."


def test_the_ledger_contains_them_and_they_can_be_read():
    claims = publication.choose("power_law,proposition_printed,rivals_data")
    entries = publication.ledger(Evidence(), claims)
    found = summary.read(page.markdown(entries, "command"))
    assert found == {e.claim.name: summary.sentences(e) for e in entries}
    assert "**holds in part**" in found["power_law"] and "10 random networks" in found["proposition_printed"]
    assert summary.read("# No bullets") == {}
