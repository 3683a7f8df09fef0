"""How busy vLLM is, by its own statistics."""

from typing import Any

from vllm.v1.metrics.loggers import StatLoggerBase


class LoadLogger(StatLoggerBase):  # type: ignore[misc]  # vllm is not there when types are checked
    """Keeps the newest statistics of vLLM's scheduler; vLLM makes it and tells it of every step."""

    def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
        self.waiting_count = 0
        """Requests that have no place in the batch."""
        self.kv_cache_usage = 0.0
        """Share of the cache's blocks in use, 0 to 1."""

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
    ) -> None:
        """Take the statistics of a step."""
        if scheduler_stats is not None:
            self.waiting_count = scheduler_stats.num_waiting_reqs + scheduler_stats.num_skipped_waiting_reqs
            self.kv_cache_usage = scheduler_stats.kv_cache_usage

    def log_engine_initialized(self) -> None:
        """Nothing to say."""
