"""A real Prometheus that scrapes what a test names."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from launcher.programs import Programs
from tests.support.real import free_port, require

WAIT_SECONDS = 120.0
ALIGNMENT_SECONDS = 0.05
"""Prometheus moves the time of a scrape by a few milliseconds to make them regular."""


@dataclass(frozen=True)
class Prometheus:
    """One server; ``url`` of its API."""

    url: str

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Labels (without what scraping adds) → value, now."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=30)
        found = answer.raise_for_status().json()["data"]["result"]
        return {_labels(one["metric"]): float(one["value"][1]) for one in found}

    def scraped_since(self, job: str, moment: float) -> None:
        """Wait until a scrape of this job began after ``moment`` (of ``time.time``) and worked."""
        up = f'up{{job="{job}"}}'
        # Of a computed vector, timestamp() is the time of the query: only a bare series will do.
        began = f"timestamp({up}) and {up} == 1"
        after = moment + ALIGNMENT_SECONDS
        self._until(lambda: any(value > after for value in self.query(began).values()))

    def _until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError, httpx.HTTPStatusError):
                if done():
                    return
            time.sleep(0.1)
        raise AssertionError("Prometheus did not get there")


def _labels(metric: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    added = ("__name__", "job", "instance")
    return tuple(sorted((name, value) for name, value in metric.items() if name not in added))


@contextlib.contextmanager
def prometheus(folder: Path, jobs: Mapping[str, str]) -> Iterator[Prometheus]:
    """Scrapes each job's ``host:port`` every two seconds. Missing: as ``require`` says."""
    binary, port = require("prometheus"), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s"},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]}
            for job, target in jobs.items()
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    programs = Programs(folder / "run")
    programs.start(
        "prometheus",
        [
            binary,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ],
    )
    made = Prometheus(f"http://127.0.0.1:{port}")
    try:
        made._until(lambda: httpx.get(f"{made.url}/-/ready").status_code == 200)
        yield made
    finally:
        programs.stop("prometheus")
