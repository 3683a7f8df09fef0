from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.generation.tiny_models import make_model

from pinetune.generation.model_outline import load_outline
from pinetune.generation.pretrained import load_pretrained
from pinetune.pod.errors import InvalidInput


@pytest.mark.parametrize("kind", ["llama", "tied_llama", "gpt2"])
def test_an_outline_says_of_a_model_what_its_weights_would(kind: str, model_folder: Callable[[str], Path]) -> None:
    outline = load_outline(str(model_folder(kind)), local_files_only=True)
    model = make_model(kind)
    held = model.state_dict(keep_vars=True)
    assert {name: tensor.shape for name, tensor in outline.tensors.items()} == {
        name: tuple(tensor.shape) for name, tensor in held.items()
    }
    for name, tensor in outline.tensors.items():
        assert held[name] is held[tensor.first_name]
    assert outline.parameter_count == sum(tensor.numel() for tensor in model.parameters())
    assert {tensor.device.type for tensor in outline.pretrained.model.parameters()} == {"meta"}
    loaded = load_pretrained(str(model_folder(kind)), "cpu", "float32", local_files_only=True)
    assert outline.pretrained.end_token_ids == loaded.end_token_ids
    assert outline.pretrained.max_tokens(0) == loaded.max_tokens(0)
    assert outline.vocabulary_size == 320


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be loaded"):
        load_outline(str(tmp_path), local_files_only=True)
