"""How requests pass the door: once, whole, with their headers, also over connections that break."""

import http.client
import random
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

from tests.support.stub_server import stub_server
from zvault.ops.frontdoor.door import FrontDoor
from zvault.ops.frontdoor.settings import FrontDoorSettings, split_address

THREADS = 6


def connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    assert parts.hostname
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)


def test_a_server_that_closes_idle_connections_costs_no_request_and_repeats_none(
    door: FrontDoor, settings: FrontDoorSettings
) -> None:
    """The race of a planned stop: the server closes while the door sends on the same connection."""
    _, port = split_address(settings.plain_upstream)
    failed: list[str] = []

    def work(number: int) -> None:
        connection, chance = connect(settings.plaintext_url), random.Random(number)
        for sequence in range(150):
            path = f"/v1/x/{number}/{sequence}"
            connection.request("POST", path, b"body" * chance.randrange(1, 2000))
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                failed.append(f"{path}: {response.status}")
            time.sleep(chance.uniform(0.001, 0.008))
        connection.close()

    with stub_server(port, idle_seconds=0.004) as server:
        door.start()
        threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts = Counter(server.executed)
    assert not failed
    assert len(counts) == THREADS * 150
    assert set(counts.values()) == {1}


def test_method_path_body_and_token_arrive_as_they_were_sent_in_both_slots(
    door: FrontDoor, settings: FrontDoorSettings
) -> None:
    for upstream, tls in (
        (settings.plain_upstream, None),
        (settings.tls_upstream, (settings.certificate_file, settings.key_file)),
    ):
        _, port = split_address(upstream)
        with stub_server(port, tls=tls) as server:
            door.start()
            connection = connect(settings.plaintext_url)
            connection.request(
                "LIST",
                "/v1/a%2Fb/%D0%BB%20+%25/?list=true&x=%2e",
                b"\0\xff{",
                {"X-Vault-Token": "hvs.token", "X-Vault-Namespace": "team/"},
            )
            assert connection.getresponse().read() == b'{"got": 3}'
            connection.close()
            assert server.executed == ["LIST /v1/a%2Fb/%D0%BB%20+%25/?list=true&x=%2e"]
            assert server.headers["X-Vault-Token"] == "hvs.token"
            assert server.headers["X-Vault-Namespace"] == "team/"
            assert server.headers["X-Forwarded-For"].split(",")[0] == "127.0.0.1"


def test_a_body_of_two_megabytes_is_held_and_then_arrives_whole(
    door: FrontDoor, settings: FrontDoorSettings
) -> None:
    _, port = split_address(settings.plain_upstream)
    door.start()
    connection = connect(settings.plaintext_url)
    connection.request("POST", "/v1/big", b"x" * 2_000_000)
    time.sleep(0.3)
    assert door.observe().plaintext.active == 1
    with stub_server(port):
        assert connection.getresponse().read() == b'{"got": 2000000}'
    connection.close()
    assert door.observe().plaintext.active == 0
