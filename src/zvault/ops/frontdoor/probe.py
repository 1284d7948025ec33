"""Small looks at the machine: where Caddy is, why it ended, whether a site is open."""

import http.client
import json
import shutil
import socket
import ssl
import sys
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from zvault.ops.frontdoor.errors import FrontDoorMissingError, FrontDoorPortError
from zvault.ops.frontdoor.render import PROBE_BODY, PROBE_PATH, REFUSAL_BODY
from zvault.ops.frontdoor.settings import FrontDoorSettings, split_address

_TIMEOUT_SECONDS = 5.0


def find_caddy(named: Path | None) -> Path:
    """The named program, the one beside this interpreter or the one on PATH."""
    beside = Path(sys.executable).parent / "caddy"
    found = shutil.which("caddy")
    for candidate in (named,) if named else (beside, Path(found) if found else None):
        if candidate is not None and candidate.is_file():
            return candidate
    raise FrontDoorMissingError(
        f"{named} does not exist" if named else "there is no caddy program",
        hint="make demo installs it; or name one in the settings",
    )


def require_free(host: str, port: int) -> None:
    """Raise FrontDoorPortError when the address is taken or not ours to take.

    Caddy listens with SO_REUSEPORT: it would share the port with another Caddy without a word.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError as error:
        raise FrontDoorPortError(
            f"the front door cannot listen on {host}:{port}: {error.strerror or error}",
            hint="end what listens there, or give the front door another port",
        ) from None


class Gate(Enum):
    """What a site of the door did with a request of ours."""

    OPEN = "open"
    REFUSED = "refused"
    """The door's own refusal was read; silence is none."""
    SILENT = "silent"
    """No door there, another program, or a TLS certificate that is not to be trusted."""


_GATES = {(200, PROBE_BODY): Gate.OPEN, (403, REFUSAL_BODY): Gate.REFUSED}


def probe(url: str, ca_file: Path | None) -> Gate:
    """Ask the site at ``url`` whether it lets requests through; the door answers, no server."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 0
    try:
        if ca_file is None:
            connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
        else:
            context = ssl.create_default_context(cafile=str(ca_file))
            connection = http.client.HTTPSConnection(
                host, port, timeout=_TIMEOUT_SECONDS, context=context
            )
        try:
            connection.request("GET", PROBE_PATH, headers={"Connection": "close"})
            response = connection.getresponse()
            answer = (response.status, response.read().decode())
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, UnicodeDecodeError):
        return Gate.SILENT
    return _GATES.get(answer, Gate.SILENT)


def serves_certificate(settings: FrontDoorSettings) -> bool:
    """Whether a handshake shows the first certificate of the file."""
    context = ssl.create_default_context(cafile=str(settings.ca_file))
    wanted = ssl.PEM_cert_to_DER_cert(_first_certificate(settings.certificate_file.read_text()))
    host, port = split_address(settings.tls_listen)
    try:
        with (
            socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            return connection.getpeercert(binary_form=True) == wanted
    except OSError:
        return False


def _first_certificate(pem: str) -> str:
    end = "-----END CERTIFICATE-----"
    return pem[pem.index("-----BEGIN CERTIFICATE-----") : pem.index(end) + len(end)] + "\n"


def last_error_line(log_file: Path) -> str:
    """The last thing Caddy complained about; its own words, they carry no secret."""
    try:
        lines = log_file.read_text(errors="replace").splitlines()
    except OSError:
        return "no log"
    for line in reversed(lines):
        if line.startswith("Error: "):
            return line.removeprefix("Error: ")
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") == "error":
            return str(entry.get("error") or entry.get("msg"))
    return "no reason in the log"
