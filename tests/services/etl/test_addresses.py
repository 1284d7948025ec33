"""Which addresses and which URLs attachments may come from."""

import pytest
from yarl import URL

from zakupai_etl.attachments.addresses import is_public
from zakupai_etl.attachments.kinds import FileKind, kind_of
from zakupai_etl.attachments.target import TargetError, decide_target, read_hosts, read_url

HOSTS = read_hosts("files.example.kz, other.example.kz:8443")


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "::127.0.0.1",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::7f00:1",
        "100::1",
        "2001::1",
        "2001:0:7f00:1::",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "3fff::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "2a00:1450::1%eth0",
        "fec0::1",
        "ff02::1",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "",
        "localhost",
    ],
)
def test_an_address_that_is_not_on_the_public_internet_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2a00:1450:4001::1"]
)
def test_an_address_of_the_public_internet_is(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://files.example.kz/a", 422),
        ("ftp://files.example.kz/a", 422),
        ("file:///etc/passwd", 422),
        ("//files.example.kz/a", 422),
        ("a", 422),
        ("https:///a", 403),
        ("https://127.0.0.1/a", 422),
        ("https://[::1]/a", 422),
        ("https://[::ffff:127.0.0.1]/a", 422),
        ("https://2130706433/", 403),
        ("https://0x7f000001/", 403),
        ("https://127.1/", 403),
        ("https://user@files.example.kz/a", 422),
        ("https://files.example.kz:pw@evil.kz/a", 422),
        ("https://evil.kz/a", 403),
        ("https://files.example.kz.evil.kz/a", 403),
        ("https://files.example.kz./a", 403),
        ("https://files.example.kz:444/a", 403),
        ("https://other.example.kz/a", 403),
        ("https://evil.kz#@files.example.kz/", 403),
        ("https://evil.kz\\@files.example.kz/", 422),
        ("https://files.example.kz:99999/", 422),
        ("https://files.example.kz/" + "a" * 2000, 422),
    ],
)
def test_a_url_that_leads_elsewhere_is_refused(url: str, status: int) -> None:
    with pytest.raises(TargetError) as refused:
        decide_target(read_url(url), HOSTS)
    assert refused.value.status == status


def test_an_allowed_host_is_asked_without_the_fragment() -> None:
    asked = decide_target(read_url("https://FILES.example.kz/a%2Fb?c=d#e"), HOSTS)
    assert asked == URL("https://files.example.kz/a%2Fb?c=d", encoded=True)
    assert decide_target(read_url("https://other.example.kz:8443/"), HOSTS).port == 8443


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "[::1]", "a:b", "a:0", "A.kz", "a b", "*", "*.example.kz", "1.2.3.4:5", "0x7f.1"],
)
def test_a_list_of_hosts_holds_names_only(text: str) -> None:
    with pytest.raises(ValueError, match="is no HOST"):
        read_hosts(text)


def test_no_list_allows_nothing() -> None:
    assert read_hosts(" , ") == frozenset()


def test_a_kind_is_told_by_the_first_bytes() -> None:
    assert {kind_of(kind.value[1] + b"rest") for kind in FileKind} == set(FileKind)
    for other in (b"", b"<html>", b"GIF89a", b"%PD", b" %PDF-", b"MZ", b"\x7fELF", b"#!/bin/sh"):
        assert kind_of(other) is None
