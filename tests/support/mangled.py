"""Hypothesis strategies for damaged or malicious input."""

import csv
import io
import json

from hypothesis import strategies as st

from nmbench.experiments.configuration import Configuration
from nmbench.results import csv_files, schema
from support.rows import diverged, make_row, whole_config

DEEP = (3, 25, 200, 390, 900, 3000, 100_000)
NUMBERS = [
    "nan", "inf", "-inf", "1e999", "-1e308", "1e300", "1e-320", "-0.0", "0", "-1", "1.5", "9" * 19, "9" * 400, "9" * 5000,
    "0x10", "1_000", "\u0661\u0662", "1e", "True", "\u2212" + "1",
]  # fmt: skip
TEXTS = [
    "", " ", "=1+1", "=HYPERLINK(\"http://x\")", "+cmd|' /C calc'!A0", "@SUM(A1)", "-2+3", "<script>alert(1)</script>",
    "a|b", "\x00", "\x1b[31mred", "\x7f\x9b31m", "\u202eabc", "\ud800", "a\nb", "a\r\nb", "\u2028", "../../etc/passwd",
    "/etc/passwd", "..", "%s%n", "{0.__class__}", "\\input{x}", "$x_1$", "`ls`", "~root", "\u00e9" * 300, "x" * 200_000,
    "external", "toy",
]  # fmt: skip
JSONS = [
    *('{"a":' * n + "1" + "}" * n for n in DEEP), *('{"a":' + "[" * n + "]" * n + "}" for n in DEEP),
    '{"a":NaN}', '{"seed":Infinity,"hparams":{"N":-Infinity}}', '{"seed":1,"seed":2}', '{"a":"\\ud800"}',
    '{"hparams":[1,2]}', '{"":{"":{}}}', "{}", "[]", "null", "1", '{"a":1e999}', '{"a":' + "9" * 4000 + "}",
    '{"a":"\\u0000\\u001b[31m"}',
    '{"hparams":{"a.b":1,"a":{"b":2}}}', '{"hparams":"x","seed":0,"model":null}', "{'a':1}", '{"a":1',
]  # fmt: skip

numbers = st.sampled_from(NUMBERS) | st.floats().map(repr) | st.integers(-(10**30), 10**30).map(str)
texts = st.sampled_from(TEXTS) | st.text(max_size=30)
cells = numbers | texts | st.sampled_from(JSONS)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats() | texts | st.sampled_from(JSONS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def base_rows():
    """Valid rows of two models, a seed that diverged and a model trained elsewhere."""
    elsewhere = dict.fromkeys((c.name for c in schema.COLUMNS if c.training), None)
    external = {"protocol": "external", "run_id": "theirs.made_up.external.s0.0", "model_origin": "external: a, b"}
    trained = [
        *(make_row(seed=seed, value=1.0 + seed / 8) for seed in range(3)),
        *(make_row("lstm", seed=seed, value=0.5 + seed / 4) for seed in range(2)),
        diverged(model="rnn", run_id="rnn.made_up.matched.s0.0"),
    ]
    whole = [Configuration.from_dict(whole_config(row)) for row in trained]
    trained = [row | {"config_json": c.to_json(), "run_id": c.run_id} for row, c in zip(trained, whole, strict=True)]
    return [*trained, make_row("theirs", **elsewhere | external)]


def _table():
    return list(csv.reader(io.StringIO(csv_files.to_csv(base_rows()))))


def _cell(draw, table):
    row = draw(st.integers(1, len(table) - 1)) if len(table) > 1 else 0
    column = draw(st.integers(0, max(0, len(table[row]) - 1)))
    name = table[0][column] if column < len(table[0]) else ""
    if draw(st.booleans()):  # choose a column that is parsed in detail
        column = draw(st.sampled_from([1, 8, 10, 11, 17]))
        name = table[0][column] if column < len(table[0]) else ""
    kind = schema.BY_NAME[name].kind if name in schema.BY_NAME else "float"
    fitting = {"json": st.sampled_from(JSONS), "str": texts, "float": numbers, "int": numbers}.get(kind, cells)
    value = draw(fitting if draw(st.integers(0, 3)) else cells)
    # Change one row or the whole column: a value that all rows share passes more checks.
    rows = draw(st.sampled_from([[row], range(1, len(table))]))
    for r in rows:
        if column < len(table[r]):
            table[r][column] = value


def _drop_column(draw, table):
    column = draw(st.integers(0, len(table[0]) - 1))
    for line in table:
        del line[column : column + 1]


def _repeat_column(draw, table):
    column = draw(st.integers(0, len(table[0]) - 1))
    for line in table:
        line += line[column : column + 1]


def _rename_column(draw, table):
    column = draw(st.integers(0, len(table[0]) - 1))
    table[0][column] = draw(texts | st.sampled_from(["metrics.", "metrics.\x1b", "metrics." + "x" * 999, "value", "VALUE"]))


def _repeat_row(draw, table):
    row = draw(st.integers(0, len(table) - 1))
    table.append(list(table[row]))
    if draw(st.booleans()):  # give the row another run id
        table[-1][1] += "x"


def _drop_row(draw, table):
    del table[draw(st.integers(1, len(table) - 1)) if len(table) > 1 else slice(0)]


_TABLE_CHANGES = (_cell, _cell, _cell, _cell, _drop_column, _repeat_column, _rename_column, _repeat_row, _drop_row)


@st.composite
def bytes_of(draw, good: bytes) -> bytes:
    """`good` with bytes flipped, removed, inserted or repeated."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        how = draw(st.sampled_from(["flip", "cut", "insert", "repeat", "drop", "zero"]))
        if how == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[at:]
        elif how == "insert":
            data[at:at] = draw(
                st.binary(min_size=1, max_size=8) | st.sampled_from([b"\x00", b'"', b"\n", b"\r", b"\xff\xfe", b","])
            )
        elif how == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 200))]
        elif how == "drop":
            del data[at : at + draw(st.integers(1, 200))]
        else:
            data[at : at + 4] = b"\x00" * len(data[at : at + 4])
    return bytes(data)


@st.composite
def csvs(draw) -> bytes:
    """A results CSV with one to three changed cells, rows or columns, with damaged bytes, or in another encoding."""
    table = _table()
    if draw(st.integers(0, 3)):
        for _ in range(draw(st.integers(1, 3))):
            draw(st.sampled_from(_TABLE_CHANGES))(draw, table)
    out = io.StringIO()
    csv.writer(out, lineterminator=draw(st.sampled_from(["\n", "\n", "\n", "\r\n", "\r"]))).writerows(table)
    encoding = draw(st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1", "utf-7"]))
    data = out.getvalue().encode(encoding, "surrogatepass" if "utf-8" in encoding or "16" in encoding else "replace")
    return data if draw(st.integers(0, 3)) else draw(bytes_of(data))


@st.composite
def row_files(draw) -> bytes:
    """A row.json with some values replaced by arbitrary ones, or with damaged bytes."""
    row = dict(draw(st.sampled_from(base_rows())))
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from([*row, "metrics.x", "metrics.", "unknown"]))
        if draw(st.integers(0, 4)):
            row[name] = draw(values)
        else:
            row.pop(name, None)
    whole = draw(st.integers(0, 5)) > 0
    text = json.dumps(row if whole else draw(values))
    text = text if draw(st.integers(0, 5)) else draw(st.sampled_from(JSONS))
    data = text.encode("utf-8", "surrogatepass")
    return data if draw(st.integers(0, 3)) else draw(bytes_of(data))
