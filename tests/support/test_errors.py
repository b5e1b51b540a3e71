"""The message of an error is one line of printable characters."""

from nmbench.support.errors import NmbenchError, did_you_mean, printable


def test_messages_are_one_line_of_printable_text():
    assert str(NmbenchError("a\n  b\tc")) == "a b c"
    assert str(NmbenchError("runs/\x1b[31m\x9b\u202e\ud800é")) == "runs/\\x1b[31m\\x9b\\u202e\\ud800é"
    assert printable("N=5 é") == "N=5 é"


def test_suggestions_ignore_case():
    assert did_you_mean("NMRNN", ["nmrnn", "GRU"]).startswith("; did you mean 'nmrnn'?")
    assert did_you_mean("gru", ["nmrnn", "GRU"]) == "; did you mean 'GRU'? (known: GRU, nmrnn)"
