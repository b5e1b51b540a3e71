"""Fixtures for tests of claims."""

import shlex

import pytest

from nmbench import run
from nmbench.contracts.catalog import TASKS
from nmbench.paper.ledger import publication
from nmbench.paper.ledger.evidence import Evidence
from support.claimed import read, write_csv

CLAIMS = {claim.name: claim for claim in publication.CLAIMS}


@pytest.fixture
def parse_command():
    """Parse a command with the flags of `run`; its model, task and protocol must exist."""

    def parse(line):
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "nmbench.run"]
        run.FLAGS.unparse_flags()
        for name in run.FLAGS:
            run.FLAGS[name].unparse()
        assert run.FLAGS(["run", *words[3:]])[1:] == []
        protocols = [p.name for p in TASKS.get(run.FLAGS.task).protocols]
        assert run.FLAGS.protocol in (None, *protocols)
        return run.request(run.FLAGS)

    return parse


@pytest.fixture
def judge(tmp_path, parse_command):
    """The finding on a claim under a protocol, from rows."""

    def finding(name, protocol, *groups):
        evidence = read(write_csv(tmp_path / "rows.csv", *groups)) if groups else Evidence()
        found = CLAIMS[name].measure(evidence, protocol)
        for line in found.commands:
            parse_command(line)
        return found

    return finding
