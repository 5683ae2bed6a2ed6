"""Runs of equal bodies in a row of labels."""

import pytest

from explorer.report.folding import fold


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("", ""),
        ("A", "A"),
        ("▨", "▨"),
        ("AB", "A B"),
        ("AAAA", "A×4"),
        ("A▨B▨C", "A ▨ B ▨ C"),
        ("A▨B▨B▨B▨C", "A ▨ (B ▨)×3 C"),
        ("▨A▨A▨A", "(▨ A)×3"),
        ("A▨B▨C▨B▨C▨B▨C▨D", "A ▨ (B ▨ C ▨)×3 D"),
        ("A▨B▨B▨C▨C▨C▨D", "A ▨ (B ▨)×2 (C ▨)×3 D"),
        ("A▨" + "B▨" * 79 + "C", "A ▨ (B ▨)×79 C"),
    ],
)
def test_repeated_bodies_are_folded(labels: str, expected: str) -> None:
    assert " ".join(map(str, fold(list(labels)))) == expected


@pytest.mark.parametrize("labels", ["A▨B▨B▨B▨C", "AAAA", "▨A▨A▨A", "ABCABCAB", ""])
def test_runs_cover_every_label_in_order(labels: str) -> None:
    runs = fold(list(labels))
    assert "".join("".join(run.body) * run.count for run in runs) == labels
    assert [run.start for run in runs] == [
        sum(r.length for r in runs[:i]) for i in range(len(runs))
    ]
