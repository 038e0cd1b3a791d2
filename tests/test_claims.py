"""The table of claims is complete: each promise to users has a test in the first ring."""

from __future__ import annotations

import pytest

from tests.claims import NO_PROMISE, claims, sentences, table
from tests.paths import ROOT


@pytest.mark.claim("tests every claim")
def test_each_claim_has_a_test_in_the_first_ring() -> None:
    assert [claim for claim, tests in table().items() if not tests] == []


def test_documents_have_claims_of_each_kind() -> None:
    found = claims()
    assert len(found) == len(set(found))
    for words in ("closes the session, also after an error", "another process has the run", "Pings count"):
        assert sum(words in claim for claim in found) == 1


def test_a_sentence_that_promises_nothing_is_one_of_the_readme() -> None:
    readme = sentences((ROOT / "README.md").read_text("utf-8"))
    assert [start for start in NO_PROMISE if not any(each.startswith(start) for each in readme)] == []


def test_sentences_are_those_of_paragraphs_and_of_comments_beside_commands() -> None:
    page = "# Title\n\nIt **runs** on\n[it](it.md). `It` stops.\n\n    make it  # It makes.\n\n![It](it.svg)\n"
    page += "\n```\nNo.\n```\n"
    assert sentences(page) == ["It runs on it.", "`It` stops.", "It makes."]
