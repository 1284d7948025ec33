"""Requests made from each service's own OpenAPI document find no contradiction and no 5xx.

Against the service's command in a process of its own, signed as the gateway signs.
"""

import secrets
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from launcher.roster import SERVICES
from tests.support.service_stand import ALL_SCOPES, Backing, Provided, provide, serving
from zakupai_common.web.identity import identity_headers
from zakupai_common.web.service import Service

CHECKS = [
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
NOT_IMPLEMENTED = 501


def send(session: requests.Session, provided: Provided, **asked: Any) -> requests.Response:
    """Sign what will really be on the wire, and send it."""
    prepared = session.prepare_request(requests.Request(**asked))
    assert prepared.method is not None
    prepared.headers.update(
        identity_headers(
            provided.identity_key,
            prepared.method,
            prepared.path_url,
            user="00000000-0000-4000-8000-000000000001",
            plan="premium",
            scopes=ALL_SCOPES,
            request_id=secrets.token_hex(8),
        )
    )
    return session.send(prepared, timeout=30, allow_redirects=False)


def probe(session: requests.Session, provided: Provided, address: str, examples: int) -> int:
    """Every operation of the document; how many requests were answered."""
    document = send(session, provided, method="GET", url=f"{address}/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    answered = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: Any) -> None:
            nonlocal answered
            asked = case.as_transport_kwargs(base_url=address)
            answer = send(session, provided, **asked)
            assert answer.status_code < 500 or answer.status_code == NOT_IMPLEMENTED, answer.text
            case.validate_response(answer, checks=CHECKS)
            answered += 1

        ask()
    return answered


@pytest.mark.parametrize(
    "service",
    [service for service in SERVICES if service.guard is None],
    ids=lambda service: service.name,
)
@pytest.mark.parametrize(
    "examples", [12, pytest.param(500, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
def test_schemathesis_finds_nothing(
    servers: Backing, service: Service, examples: int, tmp_path: Path
) -> None:
    given_to_it = provide(servers, service)
    with requests.Session() as session, serving(given_to_it, tmp_path / "run") as address:
        assert probe(session, given_to_it, address, examples) > examples
