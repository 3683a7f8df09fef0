from collections.abc import Iterator

import pytest
from tests.fakes.python_graders import settings

from pinetune.grading.sandbox.asker import PythonAsker


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PythonAsker]:
    asker = PythonAsker(settings(tmp_path_factory.mktemp("folders")))
    yield asker
    asker.close()
