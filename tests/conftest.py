"""For every test: a busy machine is no finding, so hypothesis judges no test by its speed.

Files whose tests may take longest begin first: at the end of a run nobody waits for one of them.
"""

import gc

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("zvault", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("zvault")


@pytest.hookimpl(trylast=True)  # after the shuffling
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    longest: dict[object, float] = {}
    for item in items:
        longest[item.path] = max(longest.get(item.path, 0.0), _limit_seconds(item))
    items.sort(key=lambda item: -longest[item.path])


def _limit_seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was collected stays to the end. Sealing an engine looks for cycles, and thousands of
    tests and their modules would be looked at each time."""
    gc.collect()
    gc.freeze()
