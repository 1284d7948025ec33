"""What an S3 store needs to know: place, credentials, a provider's habits as data.

What lives here: checking options before the first byte leaves. What never does: a request. Files
and environment are read only by the two ``credentials_from_*`` functions, which the wiring calls.
"""

import ipaddress
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from zvault.base.atomic_file import require_private
from zvault.base.secret import Secret
from zvault.storage.errors import S3OptionsError

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_WORD = re.compile(r"[!-~]*")
"""Printable ASCII without space: what a request header and a URL can carry."""
DEFAULT_REGION = "us-east-1"
_B2_DOMAIN = ".backblazeb2.com"
_AWS_DOMAIN = ".amazonaws.com"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider's habits.

    ``etag_is_md5``: the ETag of an object put in one piece is the MD5 of its bytes.
    ``ordered_listing``: listings come in bytewise order of the whole key (SeaweedFS: no).
    ``ghost_folders``: a folder is listed for a while after its last object is gone.
    """

    name: str
    etag_is_md5: bool = True
    ordered_listing: bool = False
    ghost_folders: bool = False


# "generic" assumes the worst of each habit that costs only requests.
PROVIDERS: Mapping[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider("aws", ordered_listing=True),
        Provider("b2", ordered_listing=True),
        Provider("seaweedfs", ghost_folders=True),
        Provider("generic", ghost_folders=True),
    )
}


@dataclass(frozen=True, slots=True)
class S3Credentials:
    """Who we are. The key id is no secret, the two others are."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None

    def check(self) -> None:
        """Raise S3OptionsError for what no request header can carry."""
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a 0600 file"
        if not self.access_key_id or not self.secret_access_key:
            raise S3OptionsError("the S3 credentials are empty", hint=hint)
        token = self.session_token.reveal() if self.session_token is not None else b""
        texts = (self.access_key_id.encode(), self.secret_access_key.reveal(), token)
        if not all(_WORD.fullmatch(text.decode("latin-1")) for text in texts):
            raise S3OptionsError(
                "the S3 credentials hold a space, a line end or another odd character",
                hint="copy them again without what surrounds them",
            )


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to insist. Waits grow from ``first_seconds`` by doubling up to ``cap_seconds``.

    ``attempts`` counts the first one; no attempt begins ``deadline_seconds`` after the first.
    """

    attempts: int = 8
    first_seconds: float = 0.1
    cap_seconds: float = 5.0
    deadline_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class S3Options:
    """Where and how. ``check`` completes and checks; ``S3Storage.open`` calls it.

    ``endpoint`` empty means AWS; ``provider`` empty is told from the endpoint. ``allow_http``
    permits an http endpoint that is not on loopback. ``timeout_seconds`` bounds one request.
    """

    bucket: str
    credentials: S3Credentials
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    provider: str = ""
    allow_http: bool = False
    virtual_hosted: bool = False
    kms_key_id: str = ""
    ca_file: Path | None = None
    timeout_seconds: float = 30.0
    max_parallel: int = 128
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    @property
    def habits(self) -> Provider:
        """The provider's habits; a KMS-encrypted object's ETag is no MD5."""
        provider = PROVIDERS[self.provider]
        return replace(provider, etag_is_md5=provider.etag_is_md5 and not self.kms_key_id)

    def check(self) -> "S3Options":
        """With provider and region filled in. Raises S3OptionsError."""
        if not _BUCKET.fullmatch(self.bucket):
            raise S3OptionsError(
                f"{self.bucket!r} is no bucket name",
                hint="bucket names have 3 to 63 letters, digits, dots, hyphens",
            )
        self.credentials.check()
        if not _WORD.fullmatch(self.region + self.kms_key_id):
            raise S3OptionsError(
                f"{self.region!r} is no region, or {self.kms_key_id!r} no key id",
                hint="write the region as the provider does, for example eu-central-003",
            )
        host = self._check_endpoint()
        provider = self.provider or detect_provider(host)
        if provider not in PROVIDERS:
            raise S3OptionsError(
                f"{provider!r} is no known S3 provider", hint=f"one of {', '.join(PROVIDERS)}"
            )
        return replace(
            self, prefix=_check_prefix(self.prefix), provider=provider, region=self._region(host)
        )

    def _check_endpoint(self) -> str:
        """The endpoint's host, empty for AWS's own."""
        if not self.endpoint:
            return ""
        parts = _split_endpoint(self.endpoint)
        host = parts.hostname or ""
        if parts.username or parts.password or parts.query:
            raise S3OptionsError(
                "the S3 endpoint carries a credential or a query",
                hint="credentials come from the environment or a 0600 file",
            )
        if parts.scheme == "http" and not self.allow_http and not is_loopback(host):
            raise S3OptionsError(
                f"the endpoint {self.endpoint} is not encrypted and not on this machine",
                hint="use https, or allow http explicitly",
            )
        return host

    def _region(self, host: str) -> str:
        """The region; at Backblaze the endpoint's name carries it and the two must agree."""
        if not host.endswith(_B2_DOMAIN):
            return self.region or DEFAULT_REGION
        named = host.removesuffix(_B2_DOMAIN).rpartition(".")[2]
        if self.region and self.region != named:
            raise S3OptionsError(
                f"region {self.region!r} does not fit the endpoint {self.endpoint}",
                hint=f"use region {named}, which the endpoint's name carries",
            )
        return named


def provider_of(endpoint: str) -> str:
    """``detect_provider`` of an endpoint's URL. Raises S3OptionsError."""
    return detect_provider(_split_endpoint(endpoint).hostname or "" if endpoint else "")


def _split_endpoint(endpoint: str) -> urllib.parse.SplitResult:
    """The parts of a URL whose host and port can be one. Raises S3OptionsError."""
    try:
        parts = urllib.parse.urlsplit(endpoint)
        is_place = parts.port != 0 and _is_host(parts.hostname or "")
    except ValueError:
        is_place = False
    if not is_place or parts.scheme not in ("http", "https") or not _WORD.fullmatch(endpoint):
        shown = "the S3 endpoint" if "@" in endpoint else repr(endpoint)
        raise S3OptionsError(f"{shown} is no URL", hint="write https://HOST or http://HOST:PORT")
    return parts


def _is_host(host: str) -> bool:
    """A name, or an address. Raises ValueError for digits and dots that are no address."""
    if ":" in host or host.rpartition(".")[2].isdecimal():
        return bool(ipaddress.ip_address(host))
    return _NAME.fullmatch(host) is not None


def detect_provider(host: str) -> str:
    """The provider that an endpoint's host belongs to."""
    if not host or host.endswith(_AWS_DOMAIN):
        return "aws"
    return "b2" if host.endswith(_B2_DOMAIN) else "generic"


def is_loopback(host: str) -> bool:
    """True for addresses that never leave this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def credentials_from_environment(
    environment: Mapping[str, str], provider: str = ""
) -> S3Credentials | None:
    """AWS's variables, or Backblaze's (first when the provider is b2); None when unset.

    Raises S3OptionsError when only half of a pair is set.
    """
    pairs = [
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("B2_APPLICATION_KEY_ID", "B2_APPLICATION_KEY"),
    ]
    for id_name, secret_name in reversed(pairs) if provider == "b2" else pairs:
        key_id, secret = environment.get(id_name, ""), environment.get(secret_name, "")
        if key_id and secret:
            token = environment.get("AWS_SESSION_TOKEN", "") if id_name.startswith("AWS") else ""
            return S3Credentials(key_id, Secret(secret), Secret(token) if token else None)
        if key_id or secret:
            missing = secret_name if key_id else id_name
            raise S3OptionsError(f"{missing} is not set", hint=f"set {id_name} and {secret_name}")
    return None


def credentials_from_file(path: Path) -> S3Credentials:
    """Lines ``NAME = VALUE`` with the environment's names, as in ``~/.aws/credentials``.

    The file must be private (0600). Raises PreconditionError, S3OptionsError; no message quotes a
    line of the file.
    """
    require_private(path)
    values: dict[str, str] = {}
    for number, line in enumerate(_text_of(path).splitlines(), 1):
        text = line.strip()
        if not text or text[0] in "#;" or text == "[default]":
            continue
        name, equals, value = text.removeprefix("export ").partition("=")
        if not equals or text.startswith("["):
            raise S3OptionsError(
                f"line {number} of {path} is not NAME = VALUE",
                hint="write aws_access_key_id = … and aws_secret_access_key = …",
            )
        values[name.strip().upper()] = value.strip().strip("\"'")
    found = credentials_from_environment(values)
    if found is None:
        raise S3OptionsError(
            f"{path} holds no credentials",
            hint="write aws_access_key_id = … and aws_secret_access_key = …",
        )
    return found


def _text_of(path: Path) -> str:
    """Raises S3OptionsError for what is no text file of ours."""
    try:
        if not path.is_file():
            raise S3OptionsError(f"{path} is no regular file", hint="name the credentials file")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        cause = "is no text"
    except OSError as error:
        cause = f"cannot be read: {error.strerror}"
    raise S3OptionsError(f"{path} {cause}", hint="name the credentials file")


def _check_prefix(prefix: str) -> str:
    cleaned = prefix.rstrip("/")
    bad = cleaned.startswith("/") or "//" in cleaned or ".." in cleaned
    if bad or "." in cleaned.split("/") or not cleaned.isprintable():
        raise S3OptionsError(
            f"the prefix {prefix!r} is no clean path", hint="write it like backup/vault"
        )
    return cleaned
