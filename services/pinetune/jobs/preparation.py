"""What happens before a job's first step: the base model, the tokens to imitate, the canary, the learner.

For `nano` the order matters: the learner makes the model, generation waits for it, and only then can anybody tokenise.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pinetune.api.learning.v1 import learning_pb2
from pinetune.client.generation_replicas import GenerationReplicas
from pinetune.client.learning import LearnerState, LearningClient
from pinetune.client.prompts import Example, TokenSequence
from pinetune.jobs.call_reading import JOB_FIELD, refuse_unread_calls
from pinetune.jobs.dataset import Item
from pinetune.jobs.journal import Journal
from pinetune.jobs.lengths import measured_items, refuse_too_long
from pinetune.jobs.plan import Plan
from pinetune.pod.errors import InvalidInput, Unsupported
from pinetune.pod.storage import write_whole

METHOD_FIELD = "method.reinforcement"
"""Where `response_format` stands in an order."""
CANARY_TOKENS = 64
"""Tokens of the canary's answer; enough for a mean, too few to cost time."""


@dataclass(frozen=True)
class Prepared:
    """What the loop starts from."""

    learner: LearnerState
    """How far the learner is; further than nowhere where a checkpoint was restored."""
    sequences: tuple[TokenSequence, ...]
    """The tokenised chains of thought."""
    warm_up_steps: int
    """Supervised steps in all."""
    canary: TokenSequence
    """What sampler and learner both score after every push."""
    base_content_hash: str
    """Hash of the base model's weights."""


def make_base_model(plan: Plan, learning: LearningClient, journal: Journal) -> None:
    """Make the `nano` model where the job wants one and it is not there yet; texts of training items only."""
    if not plan.spec.is_nano:
        return
    corpus_uri = f"{plan.artifacts_uri}/corpus.jsonl"
    texts = (
        text for item in plan.training for text in (*(each.content for each in item.messages), item.chain_of_thought)
    )
    lines = (json.dumps(text, ensure_ascii=False) + "\n" for text in texts if text)
    write_whole(corpus_uri, "".join(lines).encode())
    nano = plan.spec.pinetune.nano
    settings = learning_pb2.NanoSettings(
        layer_count=nano.layer_count,
        width=nano.width,
        head_count=nano.head_count,
        vocabulary_size=nano.vocabulary_size,
        max_tokens=nano.max_tokens,
    )
    with journal.waiting("learning to make the nano model"):
        learning.make_nano_model(settings, corpus_uri=corpus_uri, model_uri=plan.model_uri, seed=plan.spec.seed)


def prepare(
    plan: Plan, learning: LearningClient, generation: GenerationReplicas, journal: Journal, *, checkpoint_uri: str
) -> Prepared:
    """Tokenise what will be read and imitated, open the learner, and go back to the checkpoint where there is one.

    Raises InvalidInput ROWS_TOO_LONG where the model has no room for a row, CALLS_NOT_READ where the grader needs calls
    of tools and none are looked for, RESPONSE_FORMAT where no answer of this model can have the shape that is wanted.
    """
    with journal.waiting("generation to tokenise"):
        engine = generation.describe()[0]
        refuse_unread_calls(plan.grader, engine.parts_format, field=JOB_FIELD)
        _refuse_unkept_format(plan, generation)
        training = _tokenized(plan.training, generation)
        measured = {field: _tokenized(items, generation) for field, items in measured_items(plan).items()}
        canary = generation.tokenize([_canary_example(plan)])[0]
    imitated = [sequence for item, sequence in training if item.chain_of_thought]
    warm_up_steps = plan.warm_up_steps(imitated, engine.parameter_count)
    refuse_too_long(plan, training, measured, warms_up=warm_up_steps > 0, limit=engine.max_model_tokens)
    canary_tokens = min(CANARY_TOKENS, engine.max_model_tokens - len(canary.prompt_token_ids))
    with journal.waiting("learning to load the model"):
        learner = learning.open(plan.open_request(warm_up_steps))
        if checkpoint_uri:
            learner, _ = learning.restore_checkpoint(checkpoint_uri)
    return Prepared(
        learner=learner,
        sequences=tuple(imitated),
        warm_up_steps=warm_up_steps,
        canary=TokenSequence(canary.prompt_token_ids, canary.token_ids[:canary_tokens]),
        base_content_hash=engine.policy.content_hash,
    )


def _refuse_unkept_format(plan: Plan, generation: GenerationReplicas) -> None:
    """Let generation hold the shape of answers against its tokens, and name what it refuses as the job does."""
    try:
        generation.check_format(plan.training_sampling)
    except (InvalidInput, Unsupported) as error:
        error.message = f"{METHOD_FIELD}.{error.message}"
        error.metadata["field"] = f"{METHOD_FIELD}.{error.metadata.get('field', 'response_format')}"
        raise


def _tokenized(items: Sequence[Item], generation: GenerationReplicas) -> list[tuple[Item, TokenSequence]]:
    return list(zip(items, generation.tokenize([_example(item) for item in items]), strict=True))


def _example(item: Item) -> Example:
    return Example(item.messages, item.tools, item.chain_of_thought)


def _canary_example(plan: Plan) -> Example:
    """Return the first training item with the answer to score: its chain of thought, or its own prompt said back."""
    first = next(iter(plan.imitated), plan.training[0])
    return replace(_example(first), answer=first.chain_of_thought or first.messages[-1].content)
