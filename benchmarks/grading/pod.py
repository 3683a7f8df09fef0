"""A grading pod over gRPC."""


def main(rounds: int) -> None:
    """Nothing yet."""
