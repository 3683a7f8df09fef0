"""The error of a grader that this service cannot run."""

from pinetune.pod.errors import InvalidInput


def refusal(field: str, detail: str, *, reason: str) -> InvalidInput:
    """Return the error of a field inside a grader; who knows where the grader stands puts its path before `field`."""
    return InvalidInput(f"{field}: {detail}", reason=reason, field=field, detail=detail)
