"""What a service's metrics say, read once.

What lives here: text to samples. What never does: an expectation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import requests
from prometheus_client.parser import text_string_to_metric_families

from launcher.smoke.prometheus import Labels

_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Scrape:
    """Samples by name and labels."""

    samples: Mapping[tuple[str, Labels], float]

    def one(self, name: str, **labels: str) -> float | None:
        """The sample with exactly these labels."""
        return self.samples.get((name, tuple(sorted(labels.items()))))

    def named(self, name: str) -> dict[Labels, float]:
        """Every sample of a name, by labels."""
        return {labels: value for (one, labels), value in self.samples.items() if one == name}


def scrape(url: str) -> Scrape:
    """What ``url`` says now. Raises requests.RequestException."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, timeout=_TIMEOUT_SECONDS)
    answer.raise_for_status()
    return parse(answer.text)


def parse(text: str) -> Scrape:
    """Prometheus' text form as samples."""
    return Scrape(
        {
            (sample.name, tuple(sorted(sample.labels.items()))): float(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    )
