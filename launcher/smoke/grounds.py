"""What is checked before anybody asks: readiness, secrets, logins of PostgreSQL. For each service.

What lives here: checks that every service of the roster gets. What never does: a request of a user.
"""

from pathlib import Path

import psycopg
import requests

from launcher.estate import Estate
from launcher.smoke.checks import Check, CheckFailedError, require
from zakupai_common.web.identity import identity_headers
from zakupai_common.web.service import Service
from zakupai_gateway.tokens.rotation import PATH as JWT_PATH

_SHORTEST = 12
"""Of a text that is a secret; what is shorter is an id."""


def grounds(estate: Estate) -> list[Check]:
    """For every service: it is ready; its secrets are Vault's; its database wants them."""
    checks = []
    for service in estate.services:
        checks.append(Check(f"{service.name}: ready", lambda one=service: _ready(estate, one)))  # type: ignore[misc]
        checks.append(
            Check(
                f"{service.name}: secrets from Vault",
                lambda one=service: _secrets(estate, one),  # type: ignore[misc]
            )
        )
        if service.database:
            checks.append(
                Check(
                    f"{service.name}: PostgreSQL wants Vault's password",
                    lambda one=service: _password(estate, one),  # type: ignore[misc]
                )
            )
    return checks


def _ready(estate: Estate, service: Service) -> str:
    try:
        answer = requests.get(f"{estate.place.url(service.name)}/ready", timeout=10)
    except requests.ConnectionError:
        raise CheckFailedError(f"{service.name} does not answer: run `make services`") from None
    parts = answer.json()["parts"]
    wrong = [f"{name}: {part['detail']}" for name, part in parts.items() if not part["ready"]]
    require(answer.status_code == 200 and not wrong, "; ".join(wrong) or "not ready")
    return ", ".join(sorted(parts))


def _secrets(estate: Estate, service: Service) -> str:
    """It uses what Vault holds, and its process was told none of it."""
    hidden = [
        text
        for path in {one.path for one in service.declared()}
        for value in estate.vault.read(path).values()
        for text in texts_of(value)
        if text != service.name
    ]
    process = estate.programs.running(service.name)
    if process is None:
        raise CheckFailedError("its process is not the one that was started")
    environment = Path(f"/proc/{process.pid}/environ").read_text(errors="replace")
    require(bool(environment), "its environment cannot be seen")
    require(not any(text in environment for text in hidden), "its environment holds a secret")
    if service.guard is None:
        _believes_vaults_key(estate, service)
    else:
        _publishes_vaults_keys(estate, service)
    return f"{len(service.declared())} declared, none in its environment"


def _believes_vaults_key(estate: Estate, service: Service) -> None:
    key = estate.vault.read(service.identity_key.path)[str(service.identity_key.key)]
    for signed_with, wanted in ((str(key), 200), ("a key that Vault does not hold", 401)):
        found = signed(estate, service, "/info", signed_with).status_code
        require(found == wanted, f"a request signed with that key is answered with {found}")


def _publishes_vaults_keys(estate: Estate, service: Service) -> None:
    (declared,) = [one for one in service.secrets if one.path == JWT_PATH]
    kept = {one["kid"] for one in estate.vault.read(declared.path)[str(declared.key)]}
    answer = requests.get(f"{estate.place.url(service.name)}/.well-known/jwks.json", timeout=10)
    found = {one["kid"] for one in answer.json()["keys"]}
    require(found == kept, "the signing keys it publishes are not those in Vault")


def signed(estate: Estate, service: Service, path: str, key: str) -> requests.Response:
    """A request as the gateway would send it, with this key."""
    headers = identity_headers(key.encode(), "GET", path, user="smoke", request_id="smoke")
    return requests.get(estate.place.url(service.name) + path, headers=headers, timeout=10)


def texts_of(value: object) -> list[str]:
    """Every text inside a secret."""
    if isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        return [text for one in inside for text in texts_of(one)]
    return [str(value)] if isinstance(value, str) and len(value) >= _SHORTEST else []


def _password(estate: Estate, service: Service) -> str:
    login = estate.vault.read(f"{service.home}/database")
    where = {"host": "127.0.0.1", "port": estate.postgres.port, "dbname": service.name}
    try:
        psycopg.connect(**where, user=login["user"], password=login["password"]).close()  # type: ignore[arg-type]
    except psycopg.OperationalError:
        raise CheckFailedError("what Vault holds does not open the database") from None
    try:
        psycopg.connect(**where, user=login["user"], password="not-the-password").close()  # type: ignore[arg-type]
    except psycopg.OperationalError:
        return "and refuses another"
    raise CheckFailedError("the database lets in who knows no password")
