from pinetune.jobs.queue_ages import QueueAges

SECOND = 1_000_000


def test_the_longest_wait_is_that_of_the_work_seen_first() -> None:
    ages = QueueAges()
    assert ages.oldest_seconds(["ftjob-1"], moment=10 * SECOND) == 0
    assert ages.oldest_seconds(["ftjob-1", "ftjob-2"], moment=40 * SECOND) == 30
    assert ages.oldest_seconds(["ftjob-2"], moment=50 * SECOND) == 10


def test_work_that_left_the_queue_begins_anew_and_an_empty_queue_has_no_age() -> None:
    ages = QueueAges()
    ages.oldest_seconds(["ftjob-1"], moment=10 * SECOND)
    assert ages.oldest_seconds([], moment=20 * SECOND) == 0
    assert ages.oldest_seconds(["ftjob-1"], moment=30 * SECOND) == 0
