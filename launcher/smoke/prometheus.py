"""A real Prometheus on loopback that scrapes what it is told to.

What lives here: its start, its end, questions to it. What never does: an expected value.
Invariant: a question counts only after a scrape that began later than what it is about.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from launcher.ports import free_ports
from launcher.programs import LauncherError, Programs

NAME = "prometheus"
WAIT_SECONDS = 120.0
ALIGNMENT_SECONDS = 0.05
"""Prometheus moves the time of a scrape by a few milliseconds to make them regular."""
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Prometheus:
    """One server; ``url`` of its API."""

    url: str

    def query(self, expression: str) -> dict[Labels, float]:
        """Labels (without what scraping adds) → value, now."""
        answer = _get(f"{self.url}/api/v1/query", query=expression)
        answer.raise_for_status()
        found = answer.json()["data"]["result"]
        return {_labels(one["metric"]): float(one["value"][1]) for one in found}

    def scraped_since(self, job: str, moment: float) -> None:
        """Wait until a scrape of this job began after ``moment`` (of ``time.time``) and worked."""
        up = f'up{{job="{job}"}}'
        # Of a computed vector, timestamp() is the time of the query: only a bare series will do.
        began = f"timestamp({up}) and {up} == 1"
        after = moment + ALIGNMENT_SECONDS
        self.until(lambda: any(value > after for value in self.query(began).values()))

    def until(self, done: Callable[[], bool]) -> None:
        """Wait for it. Raises LauncherError."""
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(requests.RequestException):
                if done():
                    return
            time.sleep(0.1)
        raise LauncherError("Prometheus did not get there")


def _get(url: str, **parameters: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, params=parameters, timeout=30)


def _labels(metric: Mapping[str, Any]) -> Labels:
    added = ("__name__", "job", "instance")
    return tuple(sorted((name, value) for name, value in metric.items() if name not in added))


@contextlib.contextmanager
def prometheus(
    binary: Path, folder: Path, jobs: Mapping[str, str], programs: Programs | None = None
) -> Iterator[Prometheus]:
    """Scrapes each job's ``host:port`` every two seconds.

    ``programs`` keeps its record and log (below ``folder`` when None). Raises LauncherError.
    """
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s"},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]}
            for job, target in jobs.items()
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    programs = programs or Programs(folder / "run")
    programs.stop(NAME)  # one that a run left behind scrapes other ports
    argv: list[str | Path] = [binary, f"--config.file={folder / 'prometheus.yml'}"]
    argv += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
    programs.start(NAME, [*argv, "--log.level=warn"])
    made = Prometheus(f"http://127.0.0.1:{port}")
    try:
        made.until(lambda: _get(f"{made.url}/-/ready").status_code == 200)
        yield made
    finally:
        programs.stop(NAME)
