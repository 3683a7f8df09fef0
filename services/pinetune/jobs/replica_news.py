"""Tells a job's story, and /metrics, what becomes of its generation replicas."""

from pinetune.client.replica_news import Back, GivenUp, Joined, Lost, Moved, News, Retired
from pinetune.jobs import worker_metrics
from pinetune.jobs.journal import Journal

IDS_SHOWN = 20
MOVES = {
    "lost": "{count} prompts of {replica}, which is lost, are sampled again where there is room first",
    "busy": "{count} prompts that {replica} has no room for are sampled where there is room first",
    "slow": "{count} prompts take {replica} far longer than others took; they are sampled a second time elsewhere, and "
    "the first answer counts",
}


class ReplicaNews:
    """Told by the replicas' client."""

    def __init__(self, journal: Journal, replica_count: int) -> None:
        self._journal = journal
        worker_metrics.REPLICAS_PRESENT.set(replica_count)
        worker_metrics.REPLICAS_WANTED.set(replica_count)

    def __call__(self, news: News) -> None:
        """Take up one piece of news."""
        match news:
            case Lost():
                worker_metrics.REPLICAS_PRESENT.set(news.present_count)
                worker_metrics.REPLICAS_LOST.inc()
                self._journal.warn(f"{news.replica} is lost, {_left(news.present_count)}: {news.why}")
            case Back():
                worker_metrics.REPLICAS_PRESENT.set(news.present_count)
                self._journal.note(
                    f"{news.replica} is back after {news.away_seconds:.1f} s and holds policy {news.policy_version}"
                )
            case Joined():
                worker_metrics.REPLICAS_PRESENT.set(news.present_count)
                self._journal.note(
                    f"{news.replica} has joined after {news.start_seconds:.1f} s and holds policy {news.policy_version}"
                )
            case Retired():
                worker_metrics.REPLICAS_PRESENT.set(news.present_count)
                self._journal.note(f"{news.replica} is not needed any more and gets no more work")
            case GivenUp():
                worker_metrics.REPLICAS_PRESENT.set(news.present_count)
                worker_metrics.REPLICAS_GIVEN_UP.inc()
                self._journal.warn(f"{news.replica} is given up, and the job goes on without it: {news.why}")
            case Moved():
                worker_metrics.PROMPTS_MOVED.labels(news.reason).inc(len(news.prompt_ids))
                sentence = MOVES[news.reason].format(count=len(news.prompt_ids), replica=news.replica)
                more = " …" if len(news.prompt_ids) > IDS_SHOWN else ""
                self._journal.warn(f"{sentence}: {', '.join(news.prompt_ids[:IDS_SHOWN])}{more}")


def _left(count: int) -> str:
    return f"{count} left" if count else "none is left and the job waits for its return"
