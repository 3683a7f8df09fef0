import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.unit.generation.tiny_models import make_model, make_tokenizer
from transformers import MambaConfig, MambaForCausalLM

from pinetune.generation.causal_model import CausalModel
from pinetune.generation.pretrained import Pretrained, load_pretrained
from pinetune.pod.errors import InvalidInput

ModelFolder = Callable[[str], Path]


def load(folder: Path | str, device: str = "cpu", dtype: str = "float32") -> Pretrained:
    return load_pretrained(str(folder), device, dtype, local_files_only=True)


def test_a_folder_is_loaded_in_the_asked_dtype_and_without_gradients(model_folder: ModelFolder) -> None:
    model = load(model_folder("llama"), dtype="bfloat16").model
    assert {(weight.dtype, weight.requires_grad) for weight in model.parameters()} == {(torch.bfloat16, False)}
    assert not model.training


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("/nowhere/model", "there is no folder '/nowhere/model'; name a folder in Hugging Face format or a hub id"),
        ("nobody/nothing", "'nobody/nothing' is no folder, and as a hub id cannot be loaded: "),
    ],
)
def test_a_model_that_is_not_there_is_named(model: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence) as caught:
        load(model)
    assert caught.value.reason == "MODEL_NOT_FOUND"
    assert "\n" not in str(caught.value)


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be loaded: "):
        load(tmp_path)


def test_missing_weights_are_not_made_up(model_folder: ModelFolder, tmp_path: Path) -> None:
    shutil.copytree(model_folder("llama"), tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.norm.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(InvalidInput, match=r"lacks 1 weights of LlamaForCausalLM: model\.norm\.weight"):
        load(tmp_path / "model")


def test_a_tokenizer_larger_than_its_model_is_refused(model_folder: ModelFolder, tmp_path: Path) -> None:
    shutil.copytree(model_folder("llama"), tmp_path / "model")
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([f"<extra-{number}>" for number in range(100)])
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(InvalidInput, match=r"has \d+ tokens, its model reads only 320"):
        load(tmp_path / "model")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_a_gpu_that_is_not_there_is_named(model_folder: ModelFolder) -> None:
    with pytest.raises(InvalidInput, match="cuda was asked for, torch sees 0 GPUs; use cpu or auto"):
        load(model_folder("llama"), device="cuda")
    assert load(model_folder("llama"), device="auto").model.device.type == "cpu"


def test_the_limit_of_tokens_is_the_models_or_a_smaller_one(model_folder: ModelFolder) -> None:
    pretrained = load(model_folder("llama"))
    assert (pretrained.max_tokens(0), pretrained.max_tokens(50)) == (128, 50)
    with pytest.raises(InvalidInput, match="at most 128, which is what the model can read; given 129"):
        pretrained.max_tokens(129)


def test_a_model_that_names_no_limit_needs_one(model_folder: ModelFolder) -> None:
    pretrained = load(model_folder("bloom"))
    assert pretrained.max_tokens(77) == 77
    with pytest.raises(InvalidInput, match="set PINETUNE_GENERATION_MAX_MODEL_TOKENS"):
        pretrained.max_tokens(0)


def test_every_end_that_the_files_name_ends_a_text(model_folder: ModelFolder) -> None:
    pretrained = load(model_folder("gpt2"))
    assert pretrained.model.generation_config is not None
    pretrained.model.generation_config.eos_token_id = [7, 8]
    assert pretrained.end_token_ids == {1, 7, 8}


def test_a_model_without_keys_and_values_is_refused() -> None:
    config = MambaConfig(vocab_size=320, hidden_size=16, num_hidden_layers=1, state_size=4)
    with pytest.raises(InvalidInput, match="MambaForCausalLM keeps no keys and values between tokens"):
        CausalModel(MambaForCausalLM(config))


def test_what_a_models_forward_takes_is_read_off() -> None:
    models = {kind: CausalModel(make_model(kind)) for kind in ("llama", "gpt2", "bloom", "lfm2")}
    assert {kind: model.takes_positions for kind, model in models.items()} == {
        "llama": True,
        "gpt2": True,
        "bloom": False,
        "lfm2": True,
    }
    assert [kind for kind, model in models.items() if model.takes_padding] == ["llama", "gpt2"]
    assert {model.vocabulary_size for model in models.values()} == {320}
