"""What a model may cost in the lifetime of this process."""

import threading


class Budget:
    """Counts requests and tokens of one model against their bounds."""

    def __init__(self, request_max: int | None, token_max: int | None) -> None:
        self._request_max = request_max
        self._token_max = token_max
        self._requests = 0
        self._tokens = 0
        self._lock = threading.Lock()

    def take_request(self) -> str:
        """Count a request that is about to be sent; where the budget is spent return a sentence instead.

        Tokens are known after the reply only, so requests under way may exceed that bound by what they use.
        """
        with self._lock:
            if self._request_max is not None and self._requests >= self._request_max:
                return f"its request_budget of {self._request_max} is spent"
            if self._token_max is not None and self._tokens >= self._token_max:
                return f"its token_budget of {self._token_max} is spent, {self._tokens} tokens were used"
            self._requests += 1
            return ""

    def add_tokens(self, count: int) -> None:
        """Count the tokens of a reply."""
        with self._lock:
            self._tokens += count
