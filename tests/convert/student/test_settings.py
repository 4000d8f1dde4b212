"""How often questions are read follows from how many there are."""

from __future__ import annotations

import pytest

from spikewatch.convert.student.settings import StudentSettings


@pytest.mark.parametrize(
    ("questions", "passes", "spiking", "versions"),
    [(100, 120, 60, 16), (1_350, 92, 46, 16), (5_000, 48, 24, 16), (100_000, 11, 6, 11)],
)
def test_few_questions_are_read_often_and_many_less_often(
    questions: int, passes: int, spiking: int, versions: int
) -> None:
    scaled = StudentSettings().for_questions(questions)
    assert (scaled.passes, scaled.spiking_passes, scaled.versions) == (passes, spiking, versions)


def test_even_a_million_questions_are_read_eight_times() -> None:
    assert StudentSettings().for_questions(1_000_000).passes == 8
