"""``zakupai-gateway-keys``: exchange the keys that sign access tokens, or show them.

What lives here: options and exit codes. Exit code 0: done and read back from Vault; 1: not done; 2:
usage. What never does: a private key in what is printed.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import requests
from hvac.exceptions import VaultError

from zakupai_common.vault.address import address_from
from zakupai_common.vault.connection import VaultConnection
from zakupai_common.vault.errors import SettingsError, VaultClientError
from zakupai_common.vault.private_file import read_private
from zakupai_common.vault.settings import DEFAULT_KV_MOUNT
from zakupai_gateway.gateway import ACCESS_SECONDS
from zakupai_gateway.tokens.keyring import KeyRing, KeyRingError
from zakupai_gateway.tokens.rotation import KNOWN_AFTER_SECONDS, read_ring, rotate


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        address = address_from({"VAULT_ADDR": options.address} if options.address else os.environ)
        operator = VaultConnection(address, ca_file=options.ca_file)
        try:
            operator.use(read_private(options.token_file, "token"))
            if options.command == "rotate":
                rotate(
                    operator.hvac,
                    options.kv_mount,
                    token_seconds=ACCESS_SECONDS,
                    known_after_seconds=options.known_after_seconds,
                )
            ring, _, _ = read_ring(operator.hvac, options.kv_mount)
        finally:
            operator.close()
    except (VaultClientError, KeyRingError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    except (VaultError, requests.RequestException, OSError) as error:
        sys.stderr.write(f"Vault did not do it: {type(error).__name__}\n")
        return 1
    _show(ring, as_json=options.json)
    return 0


def _show(ring: KeyRing, *, as_json: bool) -> None:
    keys = [{"kid": key.kid, "sign_from": key.sign_from} for key in ring.keys]
    if as_json:
        print(json.dumps({"keys": keys}))
        return
    for key in keys:
        print(f"{key['kid']}  signs from {key['sign_from']}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zakupai-gateway-keys", description=__doc__)
    parser.add_argument("command", choices=("rotate", "show"))
    parser.add_argument(
        "--token-file",
        type=Path,
        required=True,
        help="a token that may read and update services/gateway/jwt",
    )
    parser.add_argument("--address", default="", help="VAULT_ADDR when not given")
    parser.add_argument("--ca-file", type=Path, default=None)
    parser.add_argument("--kv-mount", default=DEFAULT_KV_MOUNT)
    parser.add_argument(
        "--known-after-seconds",
        type=int,
        default=KNOWN_AFTER_SECONDS,
        help="how long the new key waits until it signs; every gateway must have read it by then",
    )
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
