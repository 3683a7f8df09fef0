import pytest

from pinetune.jobs.wanted_replicas import WantedReplicas


def test_a_wish_is_its_attempts_own() -> None:
    wanted = WantedReplicas()
    assert wanted.of("ftjob-1", 1) == 0
    assert wanted.note("ftjob-1", 1, 2, moment=1.0)
    assert (wanted.of("ftjob-1", 1), wanted.of("ftjob-1", 2)) == (2, 0)


def test_only_another_wish_is_news() -> None:
    wanted = WantedReplicas()
    assert [wanted.note("ftjob-1", 1, count, moment=at) for at, count in enumerate((2, 2, 3, 2))] == [
        True,
        False,
        True,
        True,
    ]
    assert wanted.note("ftjob-1", 2, 2, moment=9.0), "another attempt's"


@pytest.mark.parametrize(("attempt", "moment"), [(2, 4.0), (1, 6.0)], ids=["an older wish", "an older attempt's"])
def test_what_was_overtaken_on_its_way_is_not_noted(attempt: int, moment: float) -> None:
    wanted = WantedReplicas()
    wanted.note("ftjob-1", 2, 3, moment=5.0)
    assert not wanted.note("ftjob-1", attempt, 2, moment=moment)
    assert wanted.of("ftjob-1", 2) == 3


def test_what_runs_no_more_is_forgotten() -> None:
    wanted = WantedReplicas()
    wanted.note("ftjob-1", 1, 2, moment=1.0)
    wanted.note("ftjob-2", 1, 3, moment=1.0)
    wanted.forget_all_but(["ftjob-2"])
    assert (wanted.of("ftjob-1", 1), wanted.of("ftjob-2", 1)) == (0, 3)
