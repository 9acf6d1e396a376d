"""The table of what is survived names tests that exist."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TABLE = (TESTS.parent / "docs" / "survival.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(test_\w+\.py)?(?:::(test_\w+?)(\.\.\.)?)?`")


def claims():
    """(file, beginning of a name or nothing, whether it is cut) of each; a bare ``::name`` is of the file before."""
    file = ""
    for found in NAMED.finditer(TABLE):
        file = found[1] or file
        if found[1] or found[2]:
            yield file, found[2] or "", bool(found[3])


@pytest.mark.parametrize(("file", "name", "begins"), sorted(set(claims())))
def test_every_proof_that_is_named_exists(file, name, begins):
    tests = re.findall(r"^def (test_\w+)\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert any(test.startswith(name) if begins or not name else test == name for test in tests)


def test_the_table_names_many_proofs():
    assert len(set(claims())) > 50
