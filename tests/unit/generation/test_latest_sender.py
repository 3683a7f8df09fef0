"""Two senders bring a policy to one sampler: the latest gets its way, at once, and nothing of the other is left."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.unit.generation.test_receiving import BYTES_MAX, chunks_of
from tests.unit.generation.test_weights import tensors_of, write_policy

from pinetune.generation.receiving import Chunk, Receiver
from pinetune.generation.weight_files import WeightFile, tensor_sha256
from pinetune.pod.errors import Cancelled, Conflict
from pinetune.pod.manifest import read_manifest

PATIENCE_SECONDS = 30.0


@pytest.fixture
def policies(tmp_path: Path) -> list[Path]:
    folders = [tmp_path / f"sent-{number}" for number in (1, 2, 3)]
    for number, folder in enumerate(folders, 1):
        write_policy(folder, tensors_of("llama", seed=number), version=number)
    return folders


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


class Sender:
    """Sends a policy and may freeze under way; loads it with `loading` in between."""

    def __init__(self, receiver: Receiver, policy: Path, freezes_at: int | None = None) -> None:
        self.receiver, self.policy, self.freezes_at = receiver, policy, freezes_at
        self.frozen, self.thaw = threading.Event(), threading.Event()
        self.loads, self.loaded = threading.Event(), threading.Event()
        self.held_asked, self.waiting = threading.Event(), threading.Event()
        self.leaves = False
        self.replaced = False

    def chunks(self) -> Iterator[Chunk]:
        for place, chunk in enumerate(chunks_of(self.policy)):
            if place == self.freezes_at:
                self.frozen.set()
                assert self.thaw.wait(PATIENCE_SECONDS)
            yield chunk

    def waits(self) -> bool:
        """Asked while another policy is being loaded."""
        self.waiting.set()
        return not self.leaves

    def held(self) -> dict[str, str]:
        self.held_asked.set()
        return {}

    def run(self) -> str:
        """Return the content hash of what arrived, by the bytes in its folder."""
        manifest = read_manifest(str(self.policy))
        with self.receiver.receive(
            manifest, self.held, self.chunks(), bytes_max=BYTES_MAX, waits=self.waits
        ) as arrived:
            self.loads.set()
            assert self.loaded.wait(PATIENCE_SECONDS)
            self.replaced = arrived.replaced()
            for entry in read_manifest(str(arrived.folder)).tensors:
                assert tensor_sha256(WeightFile(str(arrived.folder), entry.file).read(entry.name)) == entry.sha256
            return read_manifest(str(arrived.folder)).content_hash


def hash_of(policy: Path) -> str:
    return read_manifest(str(policy)).content_hash


def refused(sender: "Future[str] | Future[None]") -> None:
    with pytest.raises(Conflict, match="a later call brings a policy to this sampler") as caught:
        sender.result(PATIENCE_SECONDS)
    assert caught.value.reason == "STREAM_REPLACED"


@pytest.mark.parametrize("freezes_at", [0, 3])
def test_a_later_sender_does_not_wait_for_one_that_is_frozen(
    freezes_at: int, policies: list[Path], spool: Path, pool: ThreadPoolExecutor
) -> None:
    receiver = Receiver(spool)
    old, new = Sender(receiver, policies[0], freezes_at), Sender(receiver, policies[1])
    of_old = pool.submit(old.run)
    assert old.frozen.wait(PATIENCE_SECONDS)
    assert len(list(spool.iterdir())) == 1
    of_new = pool.submit(new.run)
    assert new.loads.wait(PATIENCE_SECONDS)
    assert not of_old.done(), "it is frozen still"
    assert len(list(spool.iterdir())) == 1, "what the frozen one had sent takes no room any more"
    old.thaw.set()
    refused(of_old)
    new.loaded.set()
    assert of_new.result(PATIENCE_SECONDS) == hash_of(policies[1])
    assert not new.replaced
    assert list(spool.iterdir()) == []


def test_a_policy_that_has_come_whole_is_loaded_before_the_next_is_received(
    policies: list[Path], spool: Path, pool: ThreadPoolExecutor
) -> None:
    receiver = Receiver(spool)
    first, second = Sender(receiver, policies[0]), Sender(receiver, policies[1])
    second.loaded.set()
    of_first = pool.submit(first.run)
    assert first.loads.wait(PATIENCE_SECONDS)
    of_second = pool.submit(second.run)
    assert second.waiting.wait(PATIENCE_SECONDS)
    assert not second.held_asked.is_set(), "what is held changes with the load"
    first.loaded.set()
    assert of_first.result(PATIENCE_SECONDS) == hash_of(policies[0])
    assert first.replaced
    assert of_second.result(PATIENCE_SECONDS) == hash_of(policies[1])
    assert list(spool.iterdir()) == []


def test_of_those_that_wait_for_a_load_only_the_latest_goes_on(
    policies: list[Path], spool: Path, pool: ThreadPoolExecutor
) -> None:
    receiver = Receiver(spool)
    first, second, third = (Sender(receiver, policy) for policy in policies)
    third.loaded.set()
    of_first = pool.submit(first.run)
    assert first.loads.wait(PATIENCE_SECONDS)
    of_second = pool.submit(second.run)
    assert second.waiting.wait(PATIENCE_SECONDS)
    of_third = pool.submit(third.run)
    refused(of_second)
    first.loaded.set()
    assert of_first.result(PATIENCE_SECONDS) == hash_of(policies[0])
    assert of_third.result(PATIENCE_SECONDS) == hash_of(policies[2])


def test_a_load_that_is_broken_off_for_a_successor_says_so(
    policies: list[Path], spool: Path, pool: ThreadPoolExecutor
) -> None:
    receiver = Receiver(spool)
    later = Sender(receiver, policies[1])
    later.loaded.set()
    of_later: list[Future[str]] = []

    def load_as_an_engine() -> None:
        manifest, chunks = read_manifest(str(policies[0])), chunks_of(policies[0])
        with receiver.receive(manifest, dict, chunks, bytes_max=BYTES_MAX) as arrived:
            of_later.append(pool.submit(later.run))
            assert later.waiting.wait(PATIENCE_SECONDS)
            assert arrived.replaced()
            raise Cancelled("the engine saw that nobody waits", reason="CALLER_LEFT")

    refused(pool.submit(load_as_an_engine))
    assert of_later[0].result(PATIENCE_SECONDS) == hash_of(policies[1])


@pytest.mark.parametrize("freezes_at", [3, None], ids=["is sent", "is loaded"])
def test_an_older_policy_does_not_disturb_a_newer_one(
    freezes_at: int | None, policies: list[Path], spool: Path, pool: ThreadPoolExecutor
) -> None:
    receiver = Receiver(spool)
    old, new = Sender(receiver, policies[0]), Sender(receiver, policies[1], freezes_at)
    old.loaded.set()
    of_new = pool.submit(new.run)
    assert (new.loads if freezes_at is None else new.frozen).wait(PATIENCE_SECONDS)
    with pytest.raises(Conflict, match="policy 1 was refused: policy 2 is on its way to this sampler") as caught:
        old.run()
    assert caught.value.reason == "STREAM_OUTDATED"
    new.thaw.set()
    new.loaded.set()
    assert of_new.result(PATIENCE_SECONDS) == hash_of(policies[1])
    assert not new.replaced


def test_an_older_policy_waits_for_a_newer_one_whose_sender_has_left(
    policies: list[Path], spool: Path, pool: ThreadPoolExecutor
) -> None:
    receiver = Receiver(spool)
    new, old = Sender(receiver, policies[1]), Sender(receiver, policies[0])
    old.loaded.set()
    of_new = pool.submit(new.run)
    assert new.loads.wait(PATIENCE_SECONDS)
    new.leaves = True
    of_old = pool.submit(old.run)
    assert old.waiting.wait(PATIENCE_SECONDS)
    new.loaded.set()
    assert of_new.result(PATIENCE_SECONDS) == hash_of(policies[1])
    assert of_old.result(PATIENCE_SECONDS) == hash_of(policies[0])


def test_who_waits_for_a_load_and_leaves_is_gone(policies: list[Path], spool: Path, pool: ThreadPoolExecutor) -> None:
    receiver = Receiver(spool)
    first, second = Sender(receiver, policies[0]), Sender(receiver, policies[1])
    of_first = pool.submit(first.run)
    assert first.loads.wait(PATIENCE_SECONDS)
    second.leaves = True
    with pytest.raises(Cancelled):
        second.run()
    first.loaded.set()
    assert of_first.result(PATIENCE_SECONDS) == hash_of(policies[0])


def test_live_senders_that_get_into_each_others_way_spoil_nothing(
    policies: list[Path], spool: Path, pool: ThreadPoolExecutor
) -> None:
    receiver = Receiver(spool)

    def send(policy: Path) -> list[str]:
        outcomes = []
        for _ in range(10):
            sender = Sender(receiver, policy)
            sender.loaded.set()
            try:
                outcomes.append(sender.run())
            except Conflict as error:
                outcomes.append(error.reason)
        return outcomes

    sent = [pool.submit(send, policy) for policy in policies]
    outcomes = [future.result(PATIENCE_SECONDS) for future in sent]
    for policy, of_sender in zip(policies, outcomes, strict=True):
        assert set(of_sender) <= {hash_of(policy), "STREAM_REPLACED", "STREAM_OUTDATED"}
    assert any(hash_of(policy) in of_sender for policy, of_sender in zip(policies, outcomes, strict=True))
    assert list(spool.iterdir()) == []
