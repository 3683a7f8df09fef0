"""The trace: set in a block, carried in metadata."""

from pinetune.pod import trace
from pinetune.pod.trace import Trace


def test_a_block_has_the_trace_and_what_follows_it_has_not() -> None:
    with trace.within(job="job-1"):
        with trace.within(step=0):
            assert trace.current() == Trace(job="job-1", step="0")
        assert trace.current() == Trace(job="job-1")
    assert trace.current() == Trace()


def test_a_trace_goes_through_metadata_unchanged() -> None:
    sent = Trace(job="job-1", step="12", call="abc")
    assert trace.from_metadata(sent.to_metadata()) == sent


def test_a_call_without_an_id_gets_one_of_its_own() -> None:
    first, second = trace.from_metadata([]), trace.from_metadata([])
    assert first.call != second.call
    assert (first.job, first.step) == ("", "")


def test_what_comes_from_outside_is_cut_to_a_sane_length() -> None:
    read = trace.from_metadata([("x-pinetune-job", "j" * 10_000), ("x-pinetune-step", b"\x00")])
    assert (len(read.job), read.step) == (trace.VALUE_CHARACTERS_MAX, "")
