"""Price books in files: the same as in code, and the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

import penstock as ps

GOOD = """\
version = "2026-11"
unknown = "unpriced"
package = ""

[models."gpt-4.1"]
input = 2.0
cached = 0.5
output = 8.0
tiers = [{above = 128000, input = 4.0}]
modes = {batch = 0.5}

[retrieval]
default = 0.0002

[humans.reviewer]
hour = 45

[[tools.search]]
usd = 0.005

[[tools.search]]
usd = 0.006
from = 2026-12-01
"""


def write(path: Path, text: str) -> Path:
    file = path / "prices.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_is_the_same_as_the_rates_in_code(tmp_path: Path) -> None:
    assert ps.PriceBook.load(write(tmp_path, GOOD)) == ps.PriceBook(
        rates={
            "models": {
                "gpt-4.1": {
                    "input": 2,
                    "cached": 0.5,
                    "output": 8,
                    "tiers": [{"above": 128_000, "input": 4}],
                    "modes": {"batch": 0.5},
                }
            },
            "retrieval": {"default": 0.0002},
            "humans": {"reviewer": {"hour": 45}},
            "tools": {"search": [0.005, {"usd": 0.006, "from": "2026-12-01"}]},
        },
        version="2026-11",
        unknown="unpriced",
        package=None,
    )
    assert ps.PriceBook.load(str(write(tmp_path, ""))) == ps.PriceBook()


def test_a_price_in_a_file_is_what_is_written_there(tmp_path: Path) -> None:
    """No float comes in between: 0.1234567890123456789 has more places than one can hold."""
    text = "[models.m]\ninput = 0.1234567890123456789\n"
    book = ps.PriceBook.load(write(tmp_path, text))
    assert (
        book.rate("model", "m", 0.0).tiers[0].amount("input", 10**16) == 1_234_567_890_123_456_789
    )


CASES = {
    "[models.m]\ninput = -1\n": "line 2: models.m.input is",
    "[models.m]\n\n# hi\noutput = 1\ninput = 'x'\n": "line 5: models.m.input is 'x'",
    "models.m.input = 1\nmodels.m.wrong = 2\n": "line 2: models.m.wrong is no key",
    "[models]\nm = {input = -1}\n": "line 2: models.m.input is",
    "[[tools.t]]\nusd = 1\n[[tools.t]]\nusd = -2\n": "line 4: tools.t[1].usd is",
    "[[tools.t]]\nusd = 1\n\n[[tools.t]]\nusd = 2\n": "line 4: tools.t[1] begins when another",
    '[models."gpt-4.1"]\ninput = 1\n[[models."gpt-4.1".tiers]]\nabove = 5\ninput = nan\n': (
        'line 5: models."gpt-4.1".tiers[0].input is'
    ),
    "[tools]\na = 1\n[gadgets]\nb = 1\n": "line 3: gadgets is no section of rates",
    "[humans]\nreviewer = {day = 1}\n": "line 2: humans.reviewer.day is no key",
    "[tools]\nt = {usd = 1, from = 10:00:00}\n": "line 2: tools.t.from is",
}


@pytest.mark.parametrize("text", CASES)
def test_a_wrong_rate_is_told_with_its_line(tmp_path: Path, text: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ps.DefinitionError) as caught:
        ps.PriceBook.load(file)
    assert caught.value.what.startswith(f"{file}, {CASES[text]}")
    assert caught.value.remedy


def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path) -> None:
    file = write(tmp_path, "version = '1'\n[models\n")
    with pytest.raises(ps.DefinitionError, match=r"prices.toml: .*line 2"):
        ps.PriceBook.load(file)
    file.write_bytes(b"version = '\xff'\n")
    with pytest.raises(ps.DefinitionError, match=r"prices\.toml"):
        ps.PriceBook.load(file)


def test_a_wrong_field_is_told_with_its_file(tmp_path: Path) -> None:
    for text, said in (
        ("version = 5\n", "PriceBook.version"),
        ("unknown = 'ignore'\n", "PriceBook.unknown"),
        ("package = 'other'\n", "PriceBook.package"),
    ):
        with pytest.raises(ps.DefinitionError, match=rf"prices.toml: {said}"):
            ps.PriceBook.load(write(tmp_path, text))


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ps.PriceBook.load(tmp_path / "none.toml")
