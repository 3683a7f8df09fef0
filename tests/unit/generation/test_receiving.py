import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from tests.unit.generation.test_adapters import QUERY, adapter_of, write_adapter
from tests.unit.generation.test_weights import tensors_of, write_policy
from tests.unit.generation.tiny_models import make_model

from pinetune.generation.receiving import Chunk, Receiver
from pinetune.generation.spool_folder import LOCK_FILE, PREFIX
from pinetune.generation.weight_files import WeightFile, tensor_sha256
from pinetune.generation.weights import HeldWeights
from pinetune.pod.errors import Busy, Cancelled, Conflict, Corrupt, InvalidInput, PinetuneError
from pinetune.pod.manifest import Manifest, read_manifest

BYTES_MAX = 1 << 20


def chunks_of(folder: Path, size: int = 1000, without: Sequence[str] = ()) -> list[Chunk]:
    """Return the pieces of a policy's folder, as a sender makes them."""
    pieces = []
    for entry in read_manifest(str(folder)).tensors:
        offset = 0
        for data in WeightFile(str(folder), entry.file).chunks(entry.name, size):
            if entry.name not in without:
                pieces.append(Chunk(entry.name, offset, data))
            offset += len(data)
    return pieces


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    write_policy(tmp_path / "sent", tensors_of("llama", seed=1), version=3, files=2)
    return tmp_path / "sent"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


def test_what_was_received_loads_as_what_was_sent_and_leaves_nothing_behind(policy: Path, spool: Path) -> None:
    manifest = read_manifest(str(policy))
    held = HeldWeights(make_model("llama"), threads=1)
    with Receiver(spool).receive(
        manifest, lambda: held.tensor_hashes, chunks_of(policy), bytes_max=BYTES_MAX
    ) as arrived:
        assert arrived.folder.parent.stat().st_mode & 0o077 == 0, "private"
        assert held.load(str(arrived.folder), 3, manifest.content_hash).state.content_hash == manifest.content_hash
    assert list(spool.iterdir()) == []


def test_only_what_is_not_held_has_to_come(policy: Path, spool: Path, tmp_path: Path) -> None:
    tensors = tensors_of("llama", seed=1)
    held = HeldWeights(make_model("llama", seed=1), threads=1)
    changed = f"{QUERY}.weight"
    write_policy(tmp_path / "next", tensors | {changed: tensors[changed] + 1}, version=4)
    pieces = [piece for piece in chunks_of(tmp_path / "next") if piece.name == changed]
    manifest = read_manifest(str(tmp_path / "next"))
    with Receiver(spool).receive(manifest, lambda: held.tensor_hashes, pieces, bytes_max=BYTES_MAX) as arrived:
        assert held.load(str(arrived.folder), 4, "").changed_tensor_count == 1


def test_an_adapter_comes_whole_with_its_configuration(spool: Path, tmp_path: Path) -> None:
    model = make_model("llama")
    held = HeldWeights(model, threads=1)
    manifest = write_adapter(tmp_path / "sent", adapter_of(model, QUERY), 1, held.state.content_hash)
    pieces = chunks_of(tmp_path / "sent")
    with Receiver(spool).receive(manifest, lambda: held.tensor_hashes, pieces, bytes_max=BYTES_MAX) as arrived:
        assert held.load(str(arrived.folder), 1, manifest.content_hash).state.content_hash == manifest.content_hash


def flipped(pieces: list[Chunk]) -> list[Chunk]:
    first = pieces[0]
    return [Chunk(first.name, first.offset_bytes, bytes([first.data[0] ^ 1]) + first.data[1:]), *pieces[1:]]


def swapped(pieces: list[Chunk]) -> list[Chunk]:
    return [pieces[1], pieces[0], *pieces[2:]]


def twice(pieces: list[Chunk]) -> list[Chunk]:
    return [*pieces, *pieces]


def unknown(pieces: list[Chunk]) -> list[Chunk]:
    return [*pieces, Chunk("surplus", 0, b"1234")]


def longer(pieces: list[Chunk]) -> list[Chunk]:
    last = pieces[-1]
    return [*pieces[:-1], Chunk(last.name, last.offset_bytes, bytes(last.data) + b"1234")]


FAULTS = [
    (flipped, Corrupt, "TENSOR_HASH_MISMATCH"),
    (swapped, InvalidInput, "CHUNK_OUT_OF_ORDER"),
    (twice, InvalidInput, "CHUNK_OUT_OF_ORDER"),
    (longer, InvalidInput, "CHUNK_OUT_OF_ORDER"),
    (unknown, InvalidInput, "CHUNK_UNKNOWN"),
    (lambda pieces: pieces[:-1], InvalidInput, "TENSOR_CUT"),
    (lambda pieces: [piece for piece in pieces if piece.name != pieces[-1].name], Conflict, "TENSORS_NOT_SENT"),
    (lambda pieces: [], Conflict, "TENSORS_NOT_SENT"),
]


@pytest.mark.parametrize(("spoil", "kind", "reason"), FAULTS, ids=[f"{n}-{f[2]}" for n, f in enumerate(FAULTS)])
def test_pieces_that_are_no_policy_are_refused_and_deleted(  # type: ignore[no-untyped-def]  # a table of functions
    spoil, kind: type[PinetuneError], reason: str, policy: Path, spool: Path
) -> None:
    pieces = spoil(chunks_of(policy))
    receiver = Receiver(spool)
    with pytest.raises(kind) as caught, receiver.receive(read_manifest(str(policy)), dict, pieces, bytes_max=BYTES_MAX):
        pass
    assert caught.value.reason == reason
    assert list(spool.iterdir()) == []
    with receiver.receive(read_manifest(str(policy)), dict, chunks_of(policy), bytes_max=BYTES_MAX):
        pass  # The next one is taken.


def test_a_wrong_byte_ends_the_stream_at_its_tensor(policy: Path, spool: Path) -> None:
    pieces = flipped(chunks_of(policy))
    taken: list[str] = []

    def watched() -> Iterator[Chunk]:
        for piece in pieces:
            taken.append(piece.name)
            yield piece

    with (
        pytest.raises(Corrupt),
        Receiver(spool).receive(read_manifest(str(policy)), dict, watched(), bytes_max=BYTES_MAX),
    ):
        pass
    assert set(taken) == {pieces[0].name}


def test_a_policy_larger_than_the_model_is_refused_before_a_byte_is_taken(policy: Path, spool: Path) -> None:
    with (
        pytest.raises(InvalidInput, match="the model takes at most 1000") as caught,
        Receiver(spool).receive(read_manifest(str(policy)), dict, iter(()), bytes_max=1000),
    ):
        pass
    assert caught.value.reason == "POLICY_TOO_LARGE"


def test_without_room_nothing_is_received(policy: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(Busy, match="PINETUNE_GENERATION_SPOOL_DIR") as caught,
        Receiver(tmp_path / "absent").receive(read_manifest(str(policy)), dict, (), bytes_max=BYTES_MAX),
    ):
        pass
    assert caught.value.reason == "SPOOL_FULL"


def test_what_the_engine_may_read_again_stays_until_it_is_not_named_any_more(policy: Path, spool: Path) -> None:
    receiver, manifest = Receiver(spool), read_manifest(str(policy))
    folders: list[Path] = []

    def load_and_lose_the_caller() -> None:
        with receiver.receive(manifest, dict, chunks_of(policy), bytes_max=BYTES_MAX) as arrived:
            folders.append(arrived.folder)
            receiver.keep([str(arrived.folder)])
            raise Cancelled("the caller left once the policy was held", reason="CALLER_LEFT")

    with pytest.raises(Cancelled):
        load_and_lose_the_caller()
    assert read_manifest(str(folders[0])).content_hash == manifest.content_hash
    receiver.keep(())
    assert list(spool.iterdir()) == []


def test_what_a_killed_receiver_left_is_swept_and_what_a_living_one_has_is_not(spool: Path) -> None:
    left, living = spool / f"{PREFIX}left", spool / f"{PREFIX}living"
    for folder in (left, living):
        folder.mkdir()
        (folder / LOCK_FILE).touch()
        long_ago = time.time() - 3600
        os.utime(folder, (long_ago, long_ago))
    with (living / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Receiver(spool)
        assert [path.name for path in spool.iterdir()] == [living.name]


def test_tensors_of_any_dtype_arrive(spool: Path, tmp_path: Path) -> None:
    tensors = {
        "wide": torch.arange(3, dtype=torch.float64),
        "narrow": torch.ones(5, dtype=torch.bfloat16),
        "small": torch.tensor([True, False, True]),
        "scalar": torch.tensor(7, dtype=torch.int32),
        "empty": torch.zeros(0, 4),
    }
    manifest: Manifest = write_policy(tmp_path / "sent", tensors, version=1)
    with Receiver(spool).receive(manifest, dict, chunks_of(tmp_path / "sent", 3), bytes_max=BYTES_MAX) as arrived:
        for entry in read_manifest(str(arrived.folder)).tensors:
            tensor = WeightFile(str(arrived.folder), entry.file).read(entry.name)
            assert tensor_sha256(tensor) == entry.sha256
            assert (tensor.dtype, tensor.shape) == (tensors[entry.name].dtype, tensors[entry.name].shape)


def test_threads_do_not_share_a_spool(policy: Path, spool: Path) -> None:
    receivers = [Receiver(spool) for _ in range(3)]
    manifest = read_manifest(str(policy))
    hashes: list[str] = []

    def receive(receiver: Receiver) -> None:
        with receiver.receive(manifest, dict, chunks_of(policy), bytes_max=BYTES_MAX) as arrived:
            hashes.append(read_manifest(str(arrived.folder)).content_hash)

    threads = [threading.Thread(target=receive, args=(one,)) for one in receivers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hashes == [manifest.content_hash] * 3
