"""Which setting a Python grader ran into, where what it raised tells: a message that names it can be acted on."""

from pinetune.grading.config import GradingSettings
from pinetune.pod.config import variable_of

HINTS = (
    ("MemoryError", "python_memory_bytes"),
    ("failed to map segment", "python_memory_bytes"),
    ("Cannot allocate memory", "python_memory_bytes"),
    ("File too large", "python_disk_bytes"),
)
"""What the first line of a fault has in it, in the words of Python, of the loader and of the kernel, and the setting
behind it."""


def named(settings: GradingSettings, field: str) -> str:
    """Return a setting as its variable with its value."""
    return f"{variable_of(GradingSettings, field)} is {getattr(settings, field):.15g}"


def hinted(settings: GradingSettings, detail: str) -> str:
    """Return what a grader raised, and below it the setting that it ran into; unchanged where none is known."""
    first = detail.partition("\n")[0]
    field = next((field for words, field in HINTS if words in first), None)
    return f"{detail}\n  {named(settings, field)}" if field else detail
