"""What crosses the gateway in headers, and what does not."""

import pytest

from zakupai_gateway.headers import HeaderRefusedError, Places, to_client, to_service

PLACES = Places(b"http://127.0.0.1:8001", b"", b"/api/calc")
PREFIXED = Places(b"http://127.0.0.1:8001", b"/billing", b"/api/billing")


@pytest.mark.parametrize(
    "name",
    [
        b"x-zakupai-user",
        b"x-zakupai-gateway",
        b"x-zakupai-anything",
        b"x_zakupai_user",
        b"x-zakupai_scopes",
        b"x-request-id",
        b"x_request_id",
        b"authorization",
        b"x-api-key",
        b"x_api_key",
        b"x-forwarded-for",
        b"forwarded",
        b"x-original-url",
        b"host",
        b"transfer-encoding",
        b"te",
        b"upgrade",
        b"expect",
        b"proxy-authorization",
    ],
)
def test_what_a_client_may_not_tell_a_service_is_dropped(name: bytes) -> None:
    assert to_service([(name, b"1"), (b"accept", b"*/*")]) == [("accept", "*/*")]


def test_what_connection_names_is_for_one_hop_only_but_never_a_bodys_length() -> None:
    headers = [
        (b"connection", b"close, X-Hop ,content-length,content-type"),
        (b"x-hop", b"1"),
        (b"content-length", b"3"),
        (b"content-type", b"text/plain"),
        (b"x-kept", b"2"),
    ]
    kept = [("content-length", "3"), ("content-type", "text/plain"), ("x-kept", "2")]
    assert to_service(headers) == kept


def test_a_header_keeps_its_bytes_or_is_refused() -> None:
    assert to_service([(b"x-name", "Алматы".encode())]) == [("x-name", "Алматы")]
    with pytest.raises(HeaderRefusedError):
        to_service([(b"x-name", b"\xff")])


def test_repeated_headers_stay_repeated_and_in_order() -> None:
    cookies = [(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")]
    assert to_client(cookies, PLACES) == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        (b"http://127.0.0.1:8001/history/1", b"/api/calc/history/1"),
        (b"http://127.0.0.1:8001", b"/api/calc/"),
        (b"//127.0.0.1:8001/x", b"/api/calc/x"),
        (b"/history/1", b"/api/calc/history/1"),
        (b"http://127.0.0.1:80011/x", b"http://127.0.0.1:80011/x"),
        (b"https://example.com/x", b"https://example.com/x"),
        (b"//example.com/x", b"//example.com/x"),
        (b"next", b"next"),
    ],
)
def test_a_redirect_never_names_an_inner_address(told: bytes, seen: bytes) -> None:
    assert to_client([(b"Location", told)], PLACES) == [(b"location", seen)]


def test_a_redirect_leaves_out_the_prefix_that_clients_leave_out() -> None:
    told = [(b"location", b"/billing/payments/1")]
    assert to_client(told, PREFIXED) == [(b"location", b"/api/billing/payments/1")]


def test_an_answer_keeps_the_gateways_own_words_for_itself() -> None:
    told = [
        (b"Date", b"x"),
        (b"Server", b"x"),
        (b"X-Request-Id", b"x"),
        (b"X-Zakupai-User", b"x"),
        (b"RateLimit-Remaining", b"x"),
        (b"Transfer-Encoding", b"chunked"),
        (b"ETag", b'"1"'),
    ]
    assert to_client(told, PLACES) == [(b"etag", b'"1"')]
