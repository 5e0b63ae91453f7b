from pathlib import Path

import pytest

from tests.config.site import Folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return Folder(tmp_path)
