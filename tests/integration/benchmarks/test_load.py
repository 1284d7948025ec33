"""The bench counts what it says it counts: answers that are not 2xx are errors."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.load import LoadResult, LoadTool
from benchmarks.rows import Measured, Round, Row
from benchmarks.scenarios import Scenario
from benchmarks.servers import Access
from tests.support.engine_server import EngineServer, start_server

TOOLS = ["benchmarks.client", *(["wrk"] if shutil.which("wrk") else [])]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineServer]:
    server = start_server(tmp_path_factory.mktemp("bench"))
    server.initialize()
    assert server.request("POST", "sys/mounts/kv", {"type": "kv"})[0] == 204
    yield server
    server.stop()


@pytest.mark.parametrize("name", TOOLS)
def test_answered_requests_are_counted_and_reach_the_server(
    name: str, server: EngineServer, tmp_path: Path
) -> None:
    access = Access(server.address, server.token, "", "")
    write = Scenario("write", "POST", "/v1/kv/s/%d", '{"a":"b \\" c"}', with_token=True)
    result = LoadTool(name, None, tmp_path).run(write, access, 2, 1)
    assert result.errors == 0
    assert result.requests > 0
    assert 0 < result.p50_ms <= result.p99_ms <= result.max_ms
    status, found = server.request("GET", "kv/s/7")
    assert (status, found["data"]) == (200, {"a": 'b " c'})


@pytest.mark.parametrize("name", TOOLS)
def test_refused_requests_are_errors(name: str, server: EngineServer, tmp_path: Path) -> None:
    access = Access(server.address, "", "", "")
    read = Scenario("read", "GET", "/v1/kv/s/%d", "", with_token=False)
    result = LoadTool(name, None, tmp_path).run(read, access, 2, 1)
    assert result.requests > 0
    assert result.errors == result.requests


@pytest.mark.parametrize("name", TOOLS)
def test_the_token_is_in_a_private_file_and_in_no_argument(name: str, tmp_path: Path) -> None:
    access = Access("http://127.0.0.1:1", "hvs.secret", "", "")
    read = Scenario("read", "GET", "/v1/kv/s/%d", "", with_token=True)
    made = LoadTool(name, None, tmp_path)
    command = (made._wrk if name == "wrk" else made._own)(read, access, 1, 1)
    assert not any("hvs.secret" in argument for argument in command)
    files = [file for file in tmp_path.iterdir() if "hvs.secret" in file.read_text()]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600]


def test_a_ratio_is_engine_over_openbao_and_the_median_of_the_rounds() -> None:
    def run(per_second: float, p99_ms: float, cpu_us: float) -> Measured:
        return Measured(LoadResult(10, per_second, 1, p99_ms, p99_ms, 0), cpu_us)

    rounds = (
        Round(run(300.0, 2.0, 50.0), run(100.0, 8.0, 90.0)),
        Round(run(10.0, 90.0, 60.0), run(100.0, 9.0, 70.0)),  # something else was busy meanwhile
        Round(run(400.0, 1.0, 55.0), run(100.0, 10.0, 80.0)),
    )
    row = Row("x", 1, rounds)
    assert (row.ratio, row.p99_ratio) == (3.0, 0.25)
    assert (row.engine.requests, row.engine.requests_per_second, row.engine.max_ms) == (30, 300, 90)
    assert (row.engine_cpu_us, row.openbao_cpu_us) == (50.0, 70.0)
    assert row.as_json()["round_ratios"] == [3.0, 0.1, 4.0]
