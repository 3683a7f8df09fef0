"""Models whose weights are set by hand, so that each answers a question with the very pieces that a test says.

Question and pieces are one token each, and the embedding of each token of a script points its own way. Attention and
feed-forward layers add nothing, so the output layer sees the last token alone and knows which piece comes next.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from tests.unit.generation.tiny_models import make_tokenizer
from transformers import AddedToken, LlamaConfig, LlamaForCausalLM

WIDTH = 64
LOGIT = 100.0
"""So far above the rest that no draw takes another token."""
TOOLS_TEMPLATE = (
    "{% if tools %}<|system|>{% for t in tools %}{{ t['function'] | tojson }}\n{% endfor %}<|end|>\n{% endif %}"
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{{ messages[-1]['content'] }}{% endif %}"
    "{# calls are written as <tool_call>…</tool_call>, thoughts end with </think> #}"
)
"""Shows tools, and ends the prompt with the question, which is what the model answers to."""


def save_scripted_model(
    folder: Path,
    scripts: Mapping[str, Sequence[str]],
    *,
    chat_template: str = TOOLS_TEMPLATE,
    special: Sequence[str] = (),
) -> None:
    """Save a model that answers each question of `scripts` with its pieces, and then ends its turn."""
    tokenizer = make_tokenizer(chat_template)
    texts = dict.fromkeys([*scripts, *(piece for pieces in scripts.values() for piece in pieces)])
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=text in special) for text in texts])
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        eos_token_id=1,
        pad_token_id=0,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embeddings, output = model.model.embed_tokens.weight, model.lm_head.weight
        embeddings.zero_()
        output.zero_()
        directions = iter(range(WIDTH))
        for question, pieces in scripts.items():
            ids = [tokenizer.vocab[text] for text in (question, *pieces)]
            for token, following in pairwise([*ids, tokenizer.vocab[tokenizer.eos_token]]):
                direction = next(directions)
                assert not embeddings[token].any(), f"{tokenizer.decode(token)!r} stands in two places of the scripts"
                # The last norm makes every embedding as long as the root of its width.
                embeddings[token, direction] = 1.0
                output[following, direction] = LOGIT / WIDTH**0.5
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
