"""A Vault's unseal API in memory: knows its shares, counts what it was given."""

from dataclasses import dataclass, field

from zvault.base.secret import Secret
from zvault.vaultapi.answers import SealStatus
from zvault.vaultapi.errors import UnsealKeyRefusedError, VaultUnreachableError


@dataclass
class FakeVault:
    """Behaves like ``sys/unseal``: distinct shares count, a wrong complete round clears them."""

    good: list[Secret]
    threshold: int = 3
    sealed: bool = True
    initialized: bool = True
    reachable: bool = True
    given: list[Secret] = field(default_factory=list)
    pending: list[Secret] = field(default_factory=list)
    rounds: int = 0
    resets: int = 0

    def seal_status(self) -> SealStatus:
        if not self.reachable:
            raise VaultUnreachableError("nobody there")
        return SealStatus(
            self.initialized, self.sealed, self.threshold, len(self.good), len(self.pending)
        )

    def submit_share(self, share: Secret) -> SealStatus:
        self.seal_status()
        self.given.append(share)
        if share not in self.pending:
            self.pending.append(share)
        if len(self.pending) >= self.threshold:
            self.rounds += 1
            opened = all(share in self.good for share in self.pending)
            self.pending = []
            if not opened:
                raise UnsealKeyRefusedError("message authentication failed")
            self.sealed = False
        return self.seal_status()

    def reset_unseal(self) -> SealStatus:
        self.resets += 1
        self.pending = []
        return self.seal_status()
