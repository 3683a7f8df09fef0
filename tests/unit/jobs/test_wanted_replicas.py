from pinetune.jobs.wanted_replicas import WantedReplicas


def test_a_wish_is_its_attempts_own() -> None:
    wanted = WantedReplicas()
    assert wanted.of("ftjob-1", 1) == 0
    assert wanted.note("ftjob-1", 1, 2)
    assert (wanted.of("ftjob-1", 1), wanted.of("ftjob-1", 2)) == (2, 0)


def test_only_another_wish_is_news() -> None:
    wanted = WantedReplicas()
    assert [wanted.note("ftjob-1", 1, count) for count in (2, 2, 3, 2)] == [True, False, True, True]
    assert wanted.note("ftjob-1", 2, 2), "another attempt's"


def test_what_runs_no_more_is_forgotten() -> None:
    wanted = WantedReplicas()
    wanted.note("ftjob-1", 1, 2)
    wanted.note("ftjob-2", 1, 3)
    wanted.forget_all_but(["ftjob-2"])
    assert (wanted.of("ftjob-1", 1), wanted.of("ftjob-2", 1)) == (0, 3)
