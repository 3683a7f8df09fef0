"""What no engine on this library goes beyond: the matrix products of a request alone, or reading the weights."""

import time
from collections import Counter
from collections.abc import Callable

import torch
from torch import nn
from transformers import PreTrainedModel

REPEATS = 5
BANDWIDTH_BYTES = 512 * 2**20
"""Read to measure the bandwidth; more than caches hold."""


def tokens_per_second_at_most(model: PreTrainedModel, *, prompt_tokens: int, rows: int, new_tokens: int) -> float:
    """Return new tokens a CPU second, if nothing but the linear layers took time.

    Prompts pass all layers but the last once, in one batch; every new token but the first passes all of them, `rows` at
    a time.
    """
    output = model.get_output_embeddings()
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear) and layer is not output]
    assert isinstance(output, nn.Linear)
    seconds = _products(layers, prompt_tokens) + _products([output], rows)
    step = max(_products([*layers, output], rows), _reading([*layers, output]))
    return rows * new_tokens / (seconds + (new_tokens - 1) * step)


def _products(layers: list[nn.Linear], rows: int) -> float:
    """Return CPU seconds of the layers' products with `rows` rows; layers of one shape are measured once."""
    shapes = Counter((layer.in_features, layer.out_features) for layer in layers)
    found = {(layer.in_features, layer.out_features): layer for layer in layers}
    seconds = 0.0
    for shape, count in shapes.items():
        layer = found[shape]
        inputs = torch.randn(rows, shape[0]).to(layer.weight.dtype)
        seconds += count * _best(lambda layer=layer, inputs=inputs: layer(inputs))  # type: ignore[misc]  # bound now
    return seconds


def _reading(layers: list[nn.Linear]) -> float:
    """Return CPU seconds of reading the weights from memory once."""
    numbers = torch.zeros(BANDWIDTH_BYTES // 8, dtype=torch.int64)
    size = sum(layer.weight.numel() * layer.weight.element_size() for layer in layers)
    return _best(lambda: numbers.sum()) * size / BANDWIDTH_BYTES


def _best(function: Callable[[], object]) -> float:
    with torch.inference_mode():
        function()
        times = []
        for _ in range(REPEATS):
            begin = time.process_time()
            function()
            times.append(time.process_time() - begin)
    return min(times)
