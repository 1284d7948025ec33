"""A second opinion: OpenBao opens a copy of the final store and is asked for everything.

What lives here: one real server on a copy, unsealed with the original shares, compared with the
same world by the same comparison, and used once: AppRole logins, userpass, transit. What never
does: a touch of the store itself.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac
import requests

from demo.doors import status_of
from demo.looking import Looking
from demo.proof.findings import CONFIGURATION, LOST, Finding, Verdict, joined
from demo.proof.reader import Reader
from demo.report.outcome import WitnessReport
from launcher.tool import wait_until

_START_SECONDS = 30.0


class OpenBaoReader(Reader):
    """Leaves out what OpenBao tells and Vault does not: a hidden policy, a field of a role."""

    def policies(self) -> dict[str, str]:
        found = super().policies()
        found.pop("control-group", None)
        return found

    def settings(self) -> dict[str, Any]:
        found = super().settings()
        for name, about in found.items():
            if name.startswith("role "):
                about.pop("token_strictly_bind_ip", None)
        return found


@dataclass(frozen=True)
class Testimony:
    """What the witness found."""

    report: WitnessReport
    verdict: Verdict


def testify(
    program: Path, store: Path, place: Path, expected: dict[str, Any], looking: Looking
) -> Testimony:
    """Let OpenBao look. Raises TimeoutError when it does not get as far as that."""
    begin = time.monotonic()
    place.mkdir(mode=0o700)
    shutil.copytree(store, place / "data")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    address = f"http://127.0.0.1:{port}"
    session = requests.Session()
    session.trust_env = False
    client = hvac.Client(address, token=expected["root_token"], session=session, timeout=60)
    process = _start(program, place, port)
    try:
        wait_until(lambda: status_of(address, None) == 503, _START_SECONDS, "OpenBao's start")
        for share in expected["shares"][: expected["threshold"]]:
            client.sys.submit_unseal_key(base64.b64decode(share).hex())
        wait_until(lambda: status_of(address, None) == 200, _START_SECONDS, "OpenBao's unseal")
        version = str(client.sys.read_health_status(method="GET")["version"])
        verdict = joined(
            [
                looking.all_at_rest(OpenBaoReader(client)),
                Verdict(0, 0, 0, 0, 3, tuple(_used(client, expected))),
            ]
        )
    finally:
        client.adapter.close()
        process.terminate()
        process.wait()
    report = WitnessReport(
        version,
        verdict.secrets,
        verdict.versions,
        verdict.tokens,
        round(time.monotonic() - begin, 2),
    )
    return Testimony(report, verdict)


def _start(program: Path, place: Path, port: int) -> "subprocess.Popen[bytes]":
    config = place / "openbao.json"
    config.write_text(
        json.dumps(
            {
                "storage": {"file": {"path": str(place / "data")}},
                "listener": {"tcp": {"address": f"127.0.0.1:{port}", "tls_disable": True}},
                "max_lease_ttl": "87600h",
                "api_addr": f"http://127.0.0.1:{port}",
            }
        )
    )
    with (place / "openbao.log").open("ab") as log:
        return subprocess.Popen(
            [str(program), "server", f"-config={config}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(place)},
        )


def _used(client: hvac.Client, expected: dict[str, Any]) -> list[Finding]:
    """The original AppRole ids, the userpass user and the transit key still do their work."""
    findings = []
    for role, ids in expected["approle"].items():
        try:
            client.auth.approle.login(ids["role_id"], ids["secret_id"], use_token=False)
        except hvac.exceptions.VaultError as error:
            findings.append(Finding(LOST, f"AppRole login of {role}", type(error).__name__))
    for user, password in expected["userpass"].items():
        try:
            client.auth.userpass.login(user, password, use_token=False)
        except hvac.exceptions.VaultError as error:
            findings.append(Finding(LOST, f"userpass login of {user}", type(error).__name__))
    transit = expected["transit"]
    try:
        answer = client.secrets.transit.decrypt_data(transit["key"], transit["ciphertext"])
        plain = base64.b64decode(answer["data"]["plaintext"]).decode()
    except hvac.exceptions.VaultError as error:
        plain = type(error).__name__
    if plain != transit["plaintext"]:
        findings.append(Finding(CONFIGURATION, f"transit key {transit['key']}", "cannot decrypt"))
    return findings
