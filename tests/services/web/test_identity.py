"""Identity headers: believed with the gateway's signature, refused in every other case."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from zakupai_calc.service import SERVICE as CALC
from zakupai_common.secret import Secret
from zakupai_common.web.errors import ProblemError, install_error_answers
from zakupai_common.web.identity import (
    MAX_AGE_SECONDS,
    SIGNATURE,
    CallerDependency,
    Identity,
    identity_headers,
    need_scope,
    verify,
)

KEY, OTHER = b"k" * 32, b"o" * 32
NOW = 1_800_000_000_000
PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30)


def scope_of(method: str, target: str, headers: dict[str, str]) -> dict[str, object]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "method": method,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }


def signed(method: str = "GET", target: str = "/things?a=1", **changed: object) -> dict[str, str]:
    told = {
        "user": "u1",
        "plan": "free",
        "scopes": ("a", "b"),
        "request_id": "request-1",
        "now_ms": NOW,
    }
    return identity_headers(KEY, method, target, **{**told, **changed})  # type: ignore[arg-type]


def test_a_signed_request_names_its_caller() -> None:
    caller = verify(scope_of("GET", "/things?a=1", signed()), [KEY], NOW)
    assert (caller.user, caller.plan, caller.scopes) == ("u1", "free", {"a", "b"})
    assert caller.request_id == "request-1"


def test_while_a_key_is_exchanged_both_that_vault_holds_count() -> None:
    held: Any = {CALC.identity_key: Secret("one")}
    assert CALC.identity_keys(held) == [b"one"]
    held[CALC.also_identity_key] = Secret("other")
    assert CALC.identity_keys(held) == [b"one", b"other"]


def test_a_signature_over_nobodys_name_is_nobodys() -> None:
    with pytest.raises(ProblemError, match="named no user"):
        verify(scope_of("GET", "/things?a=1", signed(user="")), [KEY], NOW)


@given(PRINTABLE.filter(bool), PRINTABLE, st.lists(PRINTABLE.filter(bool), max_size=4))
def test_what_was_signed_is_what_is_believed(user: str, plan: str, scopes: list[str]) -> None:
    headers = signed(user=user, plan=plan, scopes=scopes)
    caller = verify(scope_of("GET", "/things?a=1", headers), [KEY], NOW)
    assert (caller.user, caller.plan, caller.scopes) == (user, plan, frozenset(scopes))


CHANGES: dict[str, Callable[[dict[str, object]], object]] = {
    "another method": lambda scope: scope.update(method="POST"),
    "another path": lambda scope: scope.update(raw_path=b"/thing"),
    "another query": lambda scope: scope.update(query_string=b"a=2"),
    "no query": lambda scope: scope.update(query_string=b""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_signature_is_for_one_request(change: Callable[[dict[str, object]], object]) -> None:
    scope = scope_of("GET", "/things?a=1", signed())
    change(scope)
    with pytest.raises(ProblemError) as refused:
        verify(scope, [KEY], NOW)
    assert refused.value.slug == "identity-invalid"


@pytest.mark.parametrize(
    "header", ["X-Zakupai-User", "X-Zakupai-Plan", "X-Zakupai-Scopes", "X-Request-Id"]
)
@pytest.mark.parametrize("value", [None, "other"])
def test_no_identity_header_can_be_changed_or_taken_away(header: str, value: str | None) -> None:
    headers = signed()
    del headers[header]
    if value is not None:
        headers[header] = value
    with pytest.raises(ProblemError) as refused:
        verify(scope_of("GET", "/things?a=1", headers), [KEY], NOW)
    assert refused.value.slug == "identity-invalid"


def test_values_cannot_be_moved_from_one_header_into_the_next() -> None:
    with pytest.raises(ValueError, match="printable"):
        signed(user="u1\nfree", plan="")
    with pytest.raises(ValueError, match="printable"):
        signed(user="u1 ")


def test_a_header_that_comes_twice_is_refused() -> None:
    scope = scope_of("GET", "/things?a=1", signed())
    scope["headers"] = [*scope["headers"], (b"x-zakupai-user", b"u1")]  # type: ignore[misc]
    with pytest.raises(ProblemError) as refused:
        verify(scope, [KEY], NOW)
    assert refused.value.slug == "identity-invalid"


@pytest.mark.parametrize("away_ms", [-1, 1])
def test_a_signature_has_an_age_and_clocks_may_differ_by_as_much(away_ms: int) -> None:
    scope = scope_of("GET", "/things?a=1", signed())
    limit = away_ms * MAX_AGE_SECONDS * 1000
    verify(scope, [KEY], NOW + limit)
    with pytest.raises(ProblemError) as refused:
        verify(scope, [KEY], NOW + limit + away_ms)
    assert refused.value.slug == "identity-expired"


def test_a_key_is_exchanged_while_both_count() -> None:
    scope = scope_of("GET", "/things?a=1", signed())
    verify(scope, [OTHER, KEY], NOW)
    with pytest.raises(ProblemError):
        verify(scope, [OTHER], NOW)


@given(st.text(st.characters(max_codepoint=255), max_size=90))
def test_no_other_text_is_a_signature(text: str) -> None:
    headers = {**signed(), SIGNATURE: "x"}
    scope = scope_of("GET", "/things?a=1", headers)
    scope["headers"] = [
        (name, text.encode("latin-1") if value == b"x" else value)
        for name, value in scope["headers"]  # type: ignore[attr-defined]
    ]
    with pytest.raises(ProblemError) as refused:
        verify(scope, [KEY], NOW)
    assert refused.value.status == 401


def app() -> FastAPI:
    made = FastAPI()
    install_error_answers(made)

    @made.get("/who")
    def who(caller: CallerDependency) -> str:
        return caller.user

    @made.get("/admin", dependencies=[need_scope("admin", "operator")])
    def admin() -> str:
        return "in"

    @made.get("/health")
    def health() -> str:
        return "ok"

    made.add_middleware(Identity, keys=lambda: [KEY])
    return made


async def get(path: str, headers: dict[str, str]) -> httpx.Response:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app()), base_url="http://service"
    ) as client:
        return await client.get(path, headers=headers)


def fresh(target: str, **changed: object) -> dict[str, str]:
    return signed("GET", target, now_ms=time.time_ns() // 1_000_000, **changed)


async def test_a_route_gets_the_caller() -> None:
    answer = await get("/who", fresh("/who"))
    assert answer.json() == "u1"


async def test_without_proof_only_the_open_paths_answer() -> None:
    assert (await get("/health", {})).status_code == 200
    for path in ("/who", "/nothing", "/health/", "//health", "/HEALTH", "/openapi.json"):
        answer = await get(path, {"X-Zakupai-User": "u1"})
        assert answer.status_code == 401, path
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_scope_opens_its_routes_and_no_other() -> None:
    refused = await get("/admin", fresh("/admin"))
    assert refused.status_code == 403
    assert "admin or operator" in refused.json()["detail"]
    assert (await get("/admin", fresh("/admin", scopes=["operator"]))).status_code == 200
