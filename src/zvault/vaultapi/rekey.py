"""A rekey as its operator sees it: begun, the old shares given, the new ones given back.

What lives here: the calls, and where a server has them: HashiCorp Vault, older OpenBao and the
embedded server below ``sys/rekey`` without a token; OpenBao since 2.6 only with one, below
``sys/rotate/root``. What never does: a decision, a file.
Invariant: every rekey is begun with verification, so the old shares stay in force until the new
ones have come back.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zvault.base.errors import BusyError
from zvault.base.secret import Secret
from zvault.vaultapi.answers import as_object
from zvault.vaultapi.client import VaultApi
from zvault.vaultapi.errors import VaultAnswerError, VaultNotFoundError

_OPEN, _WITH_TOKEN = "sys/rekey", "sys/rotate/root"


class RekeyInProgressError(BusyError):
    """Somebody has begun a rekey and not ended it."""

    code = "rekey-in-progress"


@dataclass(frozen=True, slots=True)
class HandedOut:
    """The new shares; not in force before they are verified under ``nonce``."""

    shares: tuple[Secret, ...]
    nonce: str


class Rekeying:
    """One rekey at one Vault. Every call raises what ``VaultApi`` raises."""

    def __init__(self, vault: VaultApi) -> None:
        self._vault = vault
        self._base = ""

    def begin(self, shares: int, threshold: int) -> str:
        """Start one; its nonce. Raises RekeyInProgressError, VaultRefusedError."""
        if self._status().get("started"):
            raise RekeyInProgressError(
                f"a rekey of {self._vault.address} is under way",
                hint="let it be finished, or end it: zvault rekey --cancel",
            )
        wish = {
            "secret_shares": shares,
            "secret_threshold": threshold,
            "require_verification": True,
        }
        begun = self._call("PUT", "init", wish)
        if begun.get("verification_required") is not True:
            self.cancel()
            raise VaultAnswerError(
                f"{self._vault.address} would not verify the new shares, so nothing was changed",
                hint="is it a Vault of 0.11 or later?",
            )
        return _text(begun, "nonce")

    def submit(self, old: Sequence[Secret], nonce: str) -> HandedOut:
        """Give the old shares, as many as it asks for. Raises also VaultAnswerError."""
        answer: dict[str, Any] = {}
        for share in old:
            answer = self._give("update", share, nonce)
            if answer.get("complete") is True:
                break
        else:
            raise VaultAnswerError(
                f"{self._vault.address} took {len(old)} shares and gives out none",
                hint="give as many shares as an unseal needs",
            )
        return HandedOut(_shares(answer), _text(answer, "verification_nonce"))

    def verify(self, new: Sequence[Secret], nonce: str) -> None:
        """Give the new shares back; in force on return. Raises also VaultAnswerError."""
        if not any(self._give("verify", share, nonce).get("complete") is True for share in new):
            raise VaultAnswerError(
                f"{self._vault.address} took {len(new)} new shares and does not call them verified"
            )

    def cancel(self) -> None:
        """End what was begun and not verified; nothing there is fine."""
        self._status()
        self._call("DELETE", "init", {})

    def _status(self) -> dict[str, Any]:
        if self._base:
            return self._call("GET", "init", None)
        try:
            self._base = _OPEN
            return self._call("GET", "init", None)
        except (VaultAnswerError, VaultNotFoundError):
            self._base = _WITH_TOKEN
            return self._call("GET", "init", None)

    def _give(self, what: str, share: Secret, nonce: str) -> dict[str, Any]:
        text = share.reveal().hex()
        return self._call("PUT", what, {"key": text, "nonce": nonce}, hide=text)

    def _call(
        self, method: str, what: str, body: dict[str, Any] | None, *, hide: str = ""
    ) -> dict[str, Any]:
        answer = self._vault.call(method, f"{self._base}/{what}", body, hide=hide)
        if getattr(answer, "status_code", 200) == 204:
            return {}
        found = as_object(answer, f"{self._base}/{what}")
        inner = found.get("data")
        return inner if isinstance(inner, dict) else found


def _shares(answer: dict[str, Any]) -> tuple[Secret, ...]:
    try:
        found = tuple(
            Secret(base64.b64decode(text, validate=True)) for text in answer["keys_base64"]
        )
    except (KeyError, TypeError, ValueError, binascii.Error):
        found = ()
    if not found:
        raise VaultAnswerError("the rekey ended without new shares")
    return found


def _text(answer: dict[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise VaultAnswerError(f"the rekey's answer has no {name}")
    return value
