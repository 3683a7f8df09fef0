"""The shapes of answers, compiled: from a JSON schema or a regular expression to a grammar over the engine's tokens.

Both engines read shapes here before anything is sampled, so that one refuses what the other refuses, with the same
sentence. llguidance compiles them, with the settings that vLLM's backend of that name has (`vllm_settings.py`): a shape
allows the same texts whichever engine samples. `allowed_tokens.py` runs the grammars.

What a shape may cost is counted in steps of llguidance's own, never in seconds: what is refused once is always refused.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from llguidance import LLExecutor, LLMatcher, LLParserLimits, LLTokenizer
from llguidance.hf import from_tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pinetune.generation.allowed_tokens import AllowedTokens, shape_refused
from pinetune.generation.samples import AnswerFormat
from pinetune.pod.errors import Unsupported

GRAMMARS_MAX = 32
"""Compiled grammars that are kept; a job has one, a chat service a few."""
LIMITS = LLParserLimits(
    # A fifth of the default: `(a{1000}){1000}` then takes 0.4 s and 30 MB to refuse, where it took 2 s and 200 MB.
    initial_lexer_fuel=200_000,
    # Each row has its own, of some hundred bytes: 300 letters of `\p{L}{3000}` made 20,000 states and 6 MB.
    max_lexer_states=100_000,
    # Errors go to callers; the parser's state in them would say nothing to anybody.
    verbose_errors=False,
)
SILENT = 0


class AnswerGrammars:
    """Compiles shapes for one tokenizer and keeps the latest ones. Calls may come from several threads at once."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, vocabulary_size: int, end_token_ids: Sequence[int], threads: int = 1
    ) -> None:
        """Take the tokenizer, the rows of the model's output layer, the tokens that may end an answer, and on how many
        threads the rows of a batch are worked on."""
        self._hf_tokenizer, self._vocabulary_size = tokenizer, vocabulary_size
        self._end_token_ids = list(end_token_ids)
        self._lock = threading.Lock()
        self._executor = LLExecutor(threads)
        self._tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[AnswerFormat, LLMatcher] = OrderedDict()

    def check(self, answer_format: AnswerFormat) -> None:
        """Compile a shape, unless that is done already.

        Raises InvalidInput RESPONSE_FORMAT where it is malformed, allows no answer or needs what cannot be kept,
        Unsupported where the tokenizer cannot be read.
        """
        self._grammar(answer_format)

    def begin(self, answer_format: AnswerFormat, row_count: int) -> AllowedTokens:
        """Return the states of so many rows, each at the beginning of an answer; raises as `check`."""
        grammar = self._grammar(answer_format)
        return AllowedTokens(answer_format, [grammar.deep_copy() for _ in range(row_count)], self._executor)

    def _grammar(self, answer_format: AnswerFormat) -> LLMatcher:
        with self._lock:
            grammar = self._compiled.pop(answer_format, None)
            if grammar is None:
                # A large vocabulary takes a second, so only those wait for it who ask for a shape.
                self._tokenizer = self._tokenizer or self._read_tokenizer()
                grammar = _compile(answer_format, self._tokenizer)
            self._compiled[answer_format] = grammar
            if len(self._compiled) > GRAMMARS_MAX:
                self._compiled.popitem(last=False)
            return grammar

    def _read_tokenizer(self) -> LLTokenizer:
        if not isinstance(self._hf_tokenizer, PreTrainedTokenizerFast):
            raise _tokenizer_unreadable(f"{type(self._hf_tokenizer).__name__} is not one of the tokenizers library")
        try:
            return from_tokenizer(self._hf_tokenizer, self._vocabulary_size, self._end_token_ids)
        except ValueError as error:
            raise _tokenizer_unreadable(str(error)) from error


def _compile(answer_format: AnswerFormat, tokenizer: LLTokenizer) -> LLMatcher:
    try:
        if answer_format.kind == "json_schema":
            # White space without end would fill an answer up to its limit.
            text = LLMatcher.grammar_from_json_schema(answer_format.text, defaults={"whitespace_flexible": False})
        else:
            text = LLMatcher.grammar_from_regex(answer_format.text)
    except ValueError as error:
        raise shape_refused(answer_format, str(error)) from error
    grammar = LLMatcher(tokenizer, text, log_level=SILENT, limits=LIMITS)
    fault = grammar.get_error() or _fault_of_first_tokens(grammar)
    if fault:
        raise shape_refused(answer_format, fault)
    return grammar


def _fault_of_first_tokens(grammar: LLMatcher) -> str:
    """Return what is wrong with a grammar where that shows in its use only: it has no end, or is too large."""
    # What is found out here about the first token is found out for all rows.
    allowed = int.from_bytes(grammar.compute_bitmask(), "little")
    trial = grammar.deep_copy()
    if not trial.is_error():
        lowest = (allowed & -allowed).bit_length() - 1
        trial.consume_token(lowest)
        trial.compute_bitmask()
    return trial.get_error()


def _tokenizer_unreadable(why: str) -> Unsupported:
    return Unsupported(
        f"response_format: the tokens of this model cannot be held against a shape: {why}; leave it out or use a model "
        "whose folder has a tokenizer.json",
        reason="RESPONSE_FORMAT_UNSUPPORTED",
    )
