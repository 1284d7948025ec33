"""The configuration of a ``jwt`` mount: whose tokens are trusted.

What lives here: fields, rules, what reading shows. Pure but for nothing: fetching is ``keys.py``.
Invariants: there is exactly one source of keys; symmetric algorithms and ``none`` cannot be chosen;
the client secret is never shown.
Source: ``docs/api/jwt.md``.
"""

from typing import Any

from zvault.crypto import jwk, jws
from zvault.crypto.errors import TokenFormError
from zvault.engine.backends.fields import FieldKind
from zvault.engine.backends.framework import Field, FieldData
from zvault.engine.backends.jwt.fetch import FetchError, check_ca
from zvault.engine.errors import InvalidRequestError
from zvault.records.jwt_auth import JwtConfig

_TEXT = Field(FieldKind.STRING, "")
_LIST = Field(FieldKind.COMMA_LIST, ())
CONFIG_FIELDS = {
    "oidc_discovery_url": _TEXT,
    "oidc_discovery_ca_pem": _TEXT,
    "oidc_client_id": _TEXT,
    "oidc_client_secret": _TEXT,
    "oidc_response_mode": _TEXT,
    "oidc_response_types": _LIST,
    "jwks_url": _TEXT,
    "jwks_ca_pem": _TEXT,
    "jwks_pairs": Field(FieldKind.ANY, None),
    "jwt_validation_pubkeys": _LIST,
    "jwt_supported_algs": _LIST,
    "bound_issuer": _TEXT,
    "default_role": _TEXT,
    "provider_config": Field(FieldKind.MAP, {}),
    "namespace_in_state": Field(FieldKind.BOOL, True),
}
_SHOWN = tuple(name for name in CONFIG_FIELDS if name not in ("oidc_client_secret", "jwks_pairs"))
_LISTS = ("oidc_response_types", "jwt_validation_pubkeys", "jwt_supported_algs")


def new_config(data: FieldData) -> JwtConfig:
    """The configuration that ``data`` asks for, checked. Raises InvalidRequestError."""
    values = {name: data[name] for name in CONFIG_FIELDS}
    values |= {name: tuple(values[name]) for name in _LISTS}
    values["default_role"] = values["default_role"].lower()
    config = JwtConfig(**{**values, "jwks_pairs": _pairs(data["jwks_pairs"])})
    sources = (
        config.oidc_discovery_url,
        config.jwks_url,
        config.jwks_pairs,
        config.jwt_validation_pubkeys,
    )
    if sum(bool(source) for source in sources) != 1:
        raise InvalidRequestError(
            "exactly one of 'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs', "
            "'oidc_discovery_url', or 'provider_config' must be set"
        )
    if bool(config.oidc_client_id) != bool(config.oidc_client_secret):
        raise InvalidRequestError(
            "both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC"
        )
    _check_keys(config)
    _check_authorities(config)
    _check_browser_flow(config)
    for algorithm in config.jwt_supported_algs:
        if algorithm not in jws.ALGORITHMS:
            raise InvalidRequestError(
                f'invalid jwt_supported_algs: unsupported signing algorithm "{algorithm}"'
            )
    return config


def _pairs(value: Any) -> list[dict[str, str]] | None:
    if not value:
        return None
    if not isinstance(value, list):
        raise InvalidRequestError("'jwks_pairs' must be a list")
    found = []
    for pair in value:
        if not isinstance(pair, dict) or not isinstance(pair.get("jwks_url"), str):
            raise InvalidRequestError("each of 'jwks_pairs' must have a 'jwks_url'")
        ca_pem = pair.get("jwks_ca_pem") or ""
        if not isinstance(ca_pem, str):
            raise InvalidRequestError("'jwks_ca_pem' must be text")
        found.append({"jwks_url": pair["jwks_url"], "jwks_ca_pem": ca_pem})
    return found


def _check_keys(config: JwtConfig) -> None:
    for text in config.jwt_validation_pubkeys:
        try:
            jwk.pem_public_key(text)
        except TokenFormError as error:
            raise InvalidRequestError(f"error parsing public key: {error.message}") from None


def _check_authorities(config: JwtConfig) -> None:
    pairs = [pair["jwks_ca_pem"] for pair in config.jwks_pairs or ()]
    for name, texts in (
        ("oidc_discovery_ca_pem", [config.oidc_discovery_ca_pem]),
        ("jwks_ca_pem", [config.jwks_ca_pem, *pairs]),
    ):
        for text in filter(None, texts):
            try:
                check_ca(text)
            except FetchError:
                raise InvalidRequestError(f"error checking {name}") from None


def _check_browser_flow(config: JwtConfig) -> None:
    mode, types = config.oidc_response_mode, config.oidc_response_types
    if mode not in ("", "query", "form_post"):
        raise InvalidRequestError(f'invalid response_mode: "{mode}"')
    if not set(types) <= {"code", "id_token"}:
        raise InvalidRequestError(
            f"invalid response_types [{' '.join(types)}]. 'code' and 'id_token' are allowed"
        )


def config_data(config: JwtConfig) -> dict[str, Any]:
    """What reading shows."""
    data = {name: getattr(config, name) for name in _SHOWN}
    data |= {name: list(data[name]) for name in _LISTS}
    if config.jwks_pairs:
        data["jwks_pairs"] = config.jwks_pairs
    return data
