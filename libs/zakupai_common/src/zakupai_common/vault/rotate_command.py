"""``zakupai-rotate-secret-id``: a new secret_id for one role, with overlap.

What lives here: options, exit codes. Exit code 0: the new secret_id logged in and no older one of
this file works; 2: usage; 1: anything else, and standard error says what works now.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from zakupai_common.vault.address import address_from
from zakupai_common.vault.connection import VaultConnection
from zakupai_common.vault.errors import SettingsError, VaultClientError
from zakupai_common.vault.private_file import read_private
from zakupai_common.vault.rotation import RotationPlace, rotate_secret_id


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        address = address_from({"VAULT_ADDR": options.address} if options.address else os.environ)
        operator = VaultConnection(address, ca_file=options.ca_file)
        try:
            operator.use(read_private(options.token_file, "token"))
            rotated = rotate_secret_id(
                operator,
                RotationPlace(
                    options.role, options.role_id_file, options.secret_id_file, options.auth_mount
                ),
                overlap_seconds=options.overlap_seconds,
            )
        finally:
            operator.close()
    except VaultClientError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1
    gone = len(rotated.destroyed_accessors)
    if options.json:
        print(
            json.dumps(
                {
                    "role": rotated.role,
                    "new_accessor": rotated.new_accessor,
                    "destroyed_accessors": rotated.destroyed_accessors,
                }
            )
        )
    else:
        print(f"{rotated.role}: the new secret_id logged in; {gone} old one(s) destroyed")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zakupai-rotate-secret-id",
        description="Deliver a new secret_id, prove a login with it, destroy the old one.",
    )
    parser.add_argument("--role", required=True, help="the AppRole role's name")
    parser.add_argument("--role-id-file", type=Path, required=True)
    parser.add_argument("--secret-id-file", type=Path, required=True, help="replaced atomically")
    parser.add_argument(
        "--token-file",
        type=Path,
        required=True,
        help="a token that may make and destroy secret_ids of the role",
    )
    parser.add_argument("--address", default="", help="VAULT_ADDR when not given")
    parser.add_argument("--ca-file", type=Path, default=None)
    parser.add_argument("--auth-mount", default="approle")
    parser.add_argument(
        "--overlap-seconds",
        type=float,
        default=0.0,
        help="how long both work, for services that hold the old one in memory",
    )
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
