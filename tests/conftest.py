"""What every test may use: hypothesis profiles, tools outside Python, the recorded vectors."""

import logging
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
NODE_MODULES = ROOT / "node_modules"

# `ci` is what `make test` runs: the same examples each time, so that a failure is a change's and no
# accident. HYPOTHESIS_PROFILE=nightly looks for the rare one, with a fresh seed.
_COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", max_examples=50, derandomize=True, **_COMMON)
settings.register_profile("nightly", max_examples=10_000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def missing(what: str, remedy: str) -> NoReturn:
    """A tool is not there: under CI a failure, on a person's machine one line in the summary."""
    text = f"{what}: {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


@pytest.fixture(autouse=True)
def log_levels() -> Iterator[None]:
    """A command run within a test sets its process's log levels: the next test has its own."""
    loggers = [logging.getLogger(name) for name in ("vbms", "asyncio", "pymodbus", "bleak")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels):
        logger.setLevel(level)


@pytest.fixture(scope="session")
def node() -> str:
    """The path of a Node.js that can run the board tests and the browser test."""
    path = shutil.which("node", path=f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}")
    if path is None:
        missing("Node.js is missing", "install nodejs 20 or newer, or run `make test`")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < 20:
        missing(f"Node.js {version.strip()} is too old", "install 20 or newer, or run `make test`")
    if not NODE_MODULES.is_dir():
        missing("node_modules/ is missing", "run `npm ci`, or `make test`")
    return path


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium for the browser test."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path is not None:
            return path
    missing("Chromium is missing", "apt-get install chromium")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each reason to skip, however many tests it concerns."""
    skipped = terminalreporter.stats.get("skipped", ())
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"skipped {count}: {reason}")
