"""Makes the `nano` base model from nothing: a tokenizer trained on the job's own texts and a small Llama, untrained.

In the loop: before the first step of a job whose model is `nano`, so that everything runs without a download or a GPU.
The folder it writes is an ordinary one in Hugging Face format; nobody after this file knows where it came from.

The tokenizer is a byte-level BPE, so that any text can be written. One rule (`PIECES`) says what may become a token:

    digits stand alone                                   " 12" is " 1" "2", so that numbers can be computed with
    capitals stand alone                                 "STXBP1" is "S" "T" "X" "B" "P" "1", so that it can be spelled
    a lower-case word, with the space and the capital
    before it, may become one token                      " The", " seizure", "ing"
    a mark stands alone; so does a line break            " (" "." "\\n"

So equal things look equal wherever they stand: what is copied or computed with is not cut at places that happened to
be frequent.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pinetune.learning.folders import new_folder, read_file
from pinetune.learning.looking_back import make_heads_look_back
from pinetune.learning.settings import NanoSettings
from pinetune.pod.errors import Conflict, InvalidInput, NotFound
from pinetune.pod.storage import read_whole

PIECES = r" ?\p{Lu}?\p{Ll}+| ?\p{Lu}| ?\p{N}|\n| ?[^\s\p{L}\p{N}]|\p{L}+|[^\S\n]+"
END, PAD, SYSTEM, USER, ASSISTANT = "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"
SPECIAL_TOKENS = (END, PAD, SYSTEM, USER, ASSISTANT)
BYTE_COUNT = 256
VOCABULARY_SIZE_MIN = BYTE_COUNT + len(SPECIAL_TOKENS)
# A turn is its speaker, its text and the end; an answer begins after <|assistant|> and ends with <|end|>.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- set role = {'developer': 'system', 'tool': 'user'}.get(message['role'], message['role']) -%}"
    "{{- '<|' + role + '|>' + message['content'] + '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
RECEIPT_FILE = "nano.json"
"""Written last: what the model was made from. A folder without it is unfinished."""


@dataclass(frozen=True, slots=True)
class NanoModel:
    """A nano model that was made."""

    parameter_count: int
    """Number of weights, shared ones counted once."""
    vocabulary_size: int
    """Tokens in the vocabulary."""


def make_nano_model(settings: NanoSettings, *, corpus_uri: str, model_uri: str, seed: int) -> NanoModel:
    """Make tokenizer and model and write both to the folder `model_uri`; equal requests make equal bytes.

    A complete folder that was made from the same request is left as it is. Raises InvalidInput for a shape that cannot
    be, NotFound where there is no corpus, Conflict where the folder holds a nano model of another request.
    """
    check(settings)
    texts, corpus_sha256 = read_corpus(corpus_uri)
    order = {"settings": asdict(settings), "corpus_sha256": corpus_sha256, "seed": seed}
    receipt = read_file(model_uri, RECEIPT_FILE)
    if receipt is not None:
        held = json.loads(receipt)
        if held["order"] != order:
            raise Conflict(
                f"model_uri {model_uri} holds a nano model that was made from other settings, texts or seed; "
                "choose another folder",
                reason="MODEL_EXISTS",
                model_uri=model_uri,
            )
        return NanoModel(**held["made"])
    tokenizer = make_tokenizer(texts, settings)
    model = make_model(len(tokenizer), settings, seed)
    made = NanoModel(sum(parameter.numel() for parameter in model.parameters()), len(tokenizer))
    with new_folder(model_uri, last=RECEIPT_FILE) as folder:
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
        (folder / RECEIPT_FILE).write_text(json.dumps({"order": order, "made": asdict(made)}, indent=1) + "\n")
    return made


def check(settings: NanoSettings) -> None:
    """Raise InvalidInput for a shape that no model can have."""
    faults = {
        "layer_count": (settings.layer_count >= 1, "at least 1", settings.layer_count),
        "head_count": (settings.head_count >= 1, "at least 1", settings.head_count),
        "vocabulary_size": (
            settings.vocabulary_size >= VOCABULARY_SIZE_MIN,
            f"at least {VOCABULARY_SIZE_MIN}: the bytes and the special tokens",
            settings.vocabulary_size,
        ),
        "max_tokens": (settings.max_tokens >= 2, "at least 2", settings.max_tokens),
        "width": (
            settings.width > 0 and settings.head_count > 0 and settings.width % (2 * settings.head_count) == 0,
            "a multiple of twice head_count, since rotary positions turn pairs",
            settings.width,
        ),
    }
    for field, (right, limit, given) in faults.items():
        if not right:
            raise InvalidInput(
                f"settings.{field} must be {limit}; given {given}", reason="NANO_SHAPE", field=field, given=given
            )


def read_corpus(corpus_uri: str) -> tuple[list[str], str]:
    """Return the texts of a JSON Lines file of strings, and the SHA-256 of the file."""
    try:
        content = read_whole(corpus_uri)
    except FileNotFoundError as error:
        raise NotFound(f"corpus_uri {corpus_uri}: no such file", reason="CORPUS_NOT_FOUND", uri=corpus_uri) from error
    texts: list[str] = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        try:
            text = json.loads(line)
        except ValueError as error:
            raise _not_a_text(corpus_uri, number) from error
        if not isinstance(text, str):
            raise _not_a_text(corpus_uri, number)
        texts.append(text)
    if not any(texts):
        raise InvalidInput(f"corpus_uri {corpus_uri} holds no text", reason="CORPUS_EMPTY", uri=corpus_uri)
    return texts, hashlib.sha256(content).hexdigest()


def make_tokenizer(texts: Sequence[str], settings: NanoSettings) -> PreTrainedTokenizerFast:
    """Train the tokenizer on the texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary_size,
        # What was seen once is better spelled than learnt.
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        model_max_length=settings.max_tokens,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def make_model(vocabulary_size: int, settings: NanoSettings, seed: int) -> LlamaForCausalLM:
    """Draw the weights of a Llama with tied embeddings from the seed, without touching torch's own random state."""
    end, pad = SPECIAL_TOKENS.index(END), SPECIAL_TOKENS.index(PAD)
    config = LlamaConfig(
        vocab_size=vocabulary_size,
        hidden_size=settings.width,
        # Llama's own proportion for its gated layers, rounded up to what multiplies fast.
        intermediate_size=32 * math.ceil(settings.width * 8 / 3 / 32),
        num_hidden_layers=settings.layer_count,
        num_attention_heads=settings.head_count,
        max_position_embeddings=settings.max_tokens,
        # Llama's 0.02 is for thousands of weights a row; from nothing, in a few hundred steps, narrow models learn to
        # look back at the question far sooner from this.
        initializer_range=(2 * settings.width) ** -0.5,
        # Only so that heads can begin by attending to a place: see looking_back.py.
        attention_bias=True,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    make_heads_look_back(model)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad)
    return model


def _not_a_text(corpus_uri: str, line: int) -> InvalidInput:
    return InvalidInput(
        f"corpus_uri {corpus_uri}, line {line}: every line must be one JSON string",
        reason="CORPUS_MALFORMED",
        uri=corpus_uri,
        line=line,
    )
