"""Tells calls that the Kubernetes API does not take now from those that it will never take."""

import json
from http import HTTPStatus

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError, MaxRetryError

NO_ANSWER = 0
"""The client's status where the connection broke."""
PASSING = frozenset(
    {
        NO_ANSWER,
        # Says nothing of the object: the service's own token is not known, as while it is rotated.
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.REQUEST_TIMEOUT,
        # Another writer was faster: a quota that several count by, or an object that was there and went meanwhile.
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
QUOTA = "exceeded quota"
"""How a 403 begins that the end of other objects mends; the API has no word of its own for it."""


def passes(error: ApiException | HTTPError) -> bool:
    """Return whether the same call may be taken later."""
    if not isinstance(error, ApiException):
        return True
    status = error.status or NO_ANSWER
    if status == HTTPStatus.FORBIDDEN:
        return QUOTA in _message(error)
    return status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def said(error: ApiException | HTTPError) -> str:
    """Return all that the API server said."""
    return f"{error.reason}: {error.body}" if isinstance(error, ApiException) else str(error)


def said_briefly(error: ApiException | HTTPError) -> str:
    """Return what keeps a call from being taken now, in the same words at every try: no port, no address, no id."""
    if isinstance(error, ApiException) and error.status:
        if error.status == HTTPStatus.FORBIDDEN:
            return _message(error)
        return f"the API server answers {error.status} {error.reason or ''}".rstrip()
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason is not None else error
    return f"the API server is not reached ({type(cause).__name__})"


def _message(error: ApiException) -> str:
    """Return the sentence of the Status that came with a refusal; its whole text where that is something else."""
    text = str(error.body or "")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text
