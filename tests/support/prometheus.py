"""A real Prometheus that scrapes what a test names; missing: as ``require`` says."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from launcher.smoke.prometheus import Prometheus
from launcher.smoke.prometheus import prometheus as started
from tests.support.real import require

__all__ = ["Prometheus", "prometheus"]


@contextmanager
def prometheus(folder: Path, jobs: Mapping[str, str]) -> Iterator[Prometheus]:
    """Scrapes each job's ``host:port`` every two seconds."""
    with started(require("prometheus"), folder, jobs) as made:
        yield made
