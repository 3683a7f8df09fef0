"""How a request is cut into batches: few enough tokens to fit into memory, and little padding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Batch:
    """Rows that are sampled together.

    Two samples of the request's prompt 4 and one of its prompt 1: prompts (4, 1), rows ((0, 0), (0, 1), (1, 0)).
    """

    prompts: tuple[int, ...]
    """Positions of its prompts in the request."""
    rows: tuple[tuple[int, int], ...]
    """For each row its place in `prompts` and its sample index."""

    def row(self, row: int) -> tuple[int, int]:
        """Return the prompt, as its position in the request, and the sample index of a row."""
        place, sample_index = self.rows[row]
        return self.prompts[place], sample_index


def batch_tokens(batch: Batch, prompt_lengths: Sequence[int], max_tokens: int) -> int:
    """Return the tokens of a batch in the cache once its last token is sampled, padding included."""
    return len(batch.rows) * (max(prompt_lengths[prompt] for prompt in batch.prompts) + max_tokens)


def plan_batches(
    prompt_lengths: Sequence[int], sample_count: int, max_tokens: int, token_budget: int, *, padding: bool
) -> Iterator[Batch]:
    """Cut a request into batches of at most `token_budget` tokens, padding and new tokens included, or of one row.

    Prompts go by length, so that little is padded; without `padding` only prompts of one length share a batch.
    """
    prompts: list[int] = []
    rows: list[tuple[int, int]] = []
    for prompt in sorted(range(len(prompt_lengths)), key=lambda prompt: -prompt_lengths[prompt]):
        for sample_index in range(sample_count):
            if rows:
                longest = prompt_lengths[prompts[0]]
                full = (len(rows) + 1) * (longest + max_tokens) > token_budget
                if full or (not padding and prompt_lengths[prompt] != longest):
                    yield Batch(tuple(prompts), tuple(rows))
                    prompts, rows = [], []
            if not prompts or prompts[-1] != prompt:
                prompts.append(prompt)
            rows.append((len(prompts) - 1, sample_index))
    if rows:
        yield Batch(tuple(prompts), tuple(rows))


def plan_reading(prompt_lengths: Sequence[int], tokens_min: int) -> list[list[int]]:
    """Cut the prompts of a batch into parts, as positions, that are read one after the other with little padding.

    The shortest prompt of a part is at least 7/8 of its longest, unless the part has fewer than `tokens_min` tokens:
    a pass over few tokens costs as much as one over more.
    """
    parts: list[list[int]] = []
    for prompt in sorted(range(len(prompt_lengths)), key=lambda prompt: -prompt_lengths[prompt]):
        if parts:
            longest = prompt_lengths[parts[-1][0]]
            large = longest * len(parts[-1]) >= tokens_min
            if not large or 8 * prompt_lengths[prompt] >= 7 * longest:
                parts[-1].append(prompt)
                continue
        parts.append([prompt])
    return parts


def plan_groups(lengths: Sequence[int], token_budget: int) -> Iterator[list[int]]:
    """Cut sequences into groups, as positions, of at most `token_budget` tokens with padding, or of one sequence."""
    for batch in plan_batches(lengths, 1, 0, token_budget, padding=True):
        yield list(batch.prompts)
