"""Vault's address: one for good, or in a file that whoever moves Vault keeps up to date.

What lives here: what an address is, the file read anew for each request. What never does: a
request. Invariants: an address carries no credential; a file that strangers can change is refused,
since whoever writes it gets every credential that is sent; after https a file leads to no plaintext
beyond loopback; a file that turned unusable later changes nothing.
"""

import logging
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from zakupai_common.vault.errors import SettingsError
from zakupai_common.vault.private_file import WRITABLE_BY_STRANGERS, read_private

logger = logging.getLogger("zakupai_common.vault")
NAME, FILE_NAME = "VAULT_ADDR", "VAULT_ADDR_FILE"


class Whereabouts:
    """Where Vault is: ``now`` holds until ``look`` finds another address in the file."""

    def __init__(self, address: str, file: Path | None = None) -> None:
        """Raises SettingsError: no address, or a file without one."""
        self._file = file
        self.now = check_address(address) if file is None else read_address(file)
        self._unusable = False
        self._secured = self.now.startswith("https:")

    def look(self) -> bool:
        """Read the file again; True when Vault is elsewhere now. Raises nothing."""
        if self._file is None:
            return False
        before = self.now
        try:
            found = read_address(self._file)
            if self._secured and is_plaintext(found):
                raise SettingsError("the address file leads from https back to plaintext")
        except SettingsError as trouble:
            if not self._unusable:
                logger.warning("Vault is looked for where it was: %s", trouble)
            self._unusable = True
            return False
        self.now, self._unusable = found, False
        self._secured = self._secured or found.startswith("https:")
        if self.now != before:
            logger.info("Vault is at %s now, no longer at %s", self.now, before)
        return self.now != before


def is_plaintext(address: str) -> bool:
    """Whether others could read along: http, and not to this machine itself."""
    parts = urlsplit(address)
    if parts.scheme != "http" or parts.hostname == "localhost":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True


def read_address(file: Path) -> str:
    """The address in a file. Raises SettingsError, which does not quote it."""
    return check_address(
        read_private(file, "address", forbidden_bits=WRITABLE_BY_STRANGERS).reveal()
    )


def address_from(environment: Mapping[str, str]) -> str:
    """VAULT_ADDR, or what VAULT_ADDR_FILE holds now. Raises SettingsError when there is none."""
    address, file = environment.get(NAME, ""), environment.get(FILE_NAME, "")
    check_names(address, file)
    return read_address(Path(file)) if file else check_address(address)


def check_names(address: str, file: object) -> None:
    """One of the two says where Vault is. Raises SettingsError."""
    if address and file:
        raise SettingsError(
            f"both {NAME} and {FILE_NAME} say where Vault is", hint="set one of the two"
        )
    if not address and not file:
        raise SettingsError(
            f"{NAME} is not set, and no address is assumed",
            hint=f"for example {NAME}=https://vault.internal:8200, or {FILE_NAME}",
        )


def check_address(address: str) -> str:
    """The address without a trailing slash. Raises SettingsError, which does not quote it."""
    try:
        parts = urlsplit(address)
        good = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and parts.username is None
            and parts.path in ("", "/")
            and not parts.query
            and not parts.fragment
        )
    except ValueError:
        good = False
    if not good:
        raise SettingsError("Vault's address is not of the form http(s)://HOST:PORT")
    return address.rstrip("/")
