"""Front door: settings, rendering, counters; no process."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zvault.ops.frontdoor.admin import SiteCounts, parse_metrics
from zvault.ops.frontdoor.door import FrontDoor
from zvault.ops.frontdoor.errors import FrontDoorSettingsError
from zvault.ops.frontdoor.render import render
from zvault.ops.frontdoor.settings import FrontDoorSettings, split_address

SETTINGS = FrontDoorSettings(
    run_dir=Path("/run/door"),
    address_file=Path("/run/address"),
    plaintext_listen="127.0.0.1:9000",
    tls_listen="127.0.0.1:9443",
    certificate_file=Path("/tls/cert.pem"),
    key_file=Path("/tls/key.pem"),
    ca_file=Path("/tls/ca.pem"),
    plain_upstream="127.0.0.1:8311",
    tls_upstream="127.0.0.1:8312",
)
METRICS = """
# TYPE caddy_http_requests_in_flight gauge
caddy_http_requests_in_flight{handler="reverse_proxy",server="plaintext"} 3
caddy_http_requests_in_flight{handler="static_response",server="plaintext"} 1
caddy_http_requests_total{handler="reverse_proxy",server="plaintext"} 1.2e+06
caddy_http_requests_total{handler="static_response",server="plaintext"} 7
caddy_http_requests_total{handler="reverse_proxy",server="slot-b"} 5
caddy_http_request_errors_total{handler="reverse_proxy",server="plaintext"} 9
"""


def proxies(config: Any) -> list[dict[str, Any]]:
    if isinstance(config, dict):
        here = [config] if config.get("handler") == "reverse_proxy" else []
        return here + [found for value in config.values() for found in proxies(value)]
    return [found for value in config for found in proxies(value)] if type(config) is list else []


def test_counters_are_summed_by_site_and_only_forwarded_requests_count_as_seen() -> None:
    counts = parse_metrics(METRICS)
    assert counts["plaintext"] == SiteCounts(forwarded=1_200_000, answered_here=7, active=4)
    assert counts["plaintext"].seen == 1_200_004
    assert counts["slot-b"].forwarded == 5
    assert parse_metrics("") == {}


def test_no_proxy_mixes_http_and_https_upstreams() -> None:
    found = proxies(render(SETTINGS))
    assert len(found) == 3
    for proxy in found:
        tls = "tls" in proxy["transport"]
        assert tls == (proxy["upstreams"] == [{"dial": SETTINGS.tls_upstream}])


def test_both_public_sites_know_both_slots_in_the_same_order() -> None:
    public = [proxy for proxy in proxies(render(SETTINGS)) if "load_balancing" in proxy]
    assert [proxy["upstreams"][0] for proxy in public] == [{"dial": SETTINGS.plain_upstream}] * 2
    assert public[0] == public[1]


def test_the_declared_hold_is_what_is_configured_and_what_the_client_is_told() -> None:
    text = str(render(replace(SETTINGS, hold_seconds=17)))
    assert "'try_duration': '17s'" in text
    assert "answered within 17 s" in text


@pytest.mark.parametrize("address", ["", "127.0.0.1", ":9000", "h:0", "h:65536", "h:x", "h:-1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(FrontDoorSettingsError):
        FrontDoor(replace(SETTINGS, plaintext_listen=address))


def test_an_address_keeps_a_v6_host_whole() -> None:
    assert split_address("[::1]:9000") == ("::1", 9000)


def test_equal_addresses_and_no_hold_are_refused() -> None:
    with pytest.raises(FrontDoorSettingsError, match="same"):
        FrontDoor(replace(SETTINGS, tls_upstream=SETTINGS.plain_upstream))
    with pytest.raises(FrontDoorSettingsError, match="hold_seconds"):
        FrontDoor(replace(SETTINGS, hold_seconds=0))
