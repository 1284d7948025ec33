"""The front door behind the migration's doors.

What lives here: Caddy's room in the words of a migration. What never does: Caddy.
"""

import asyncio
from dataclasses import dataclass

from zvault.app.site import Site
from zvault.base.errors import ZvaultError
from zvault.ops.frontdoor.door import FrontDoor
from zvault.ops.frontdoor.errors import FrontDoorDownError
from zvault.ops.frontdoor.probe import serves_certificate
from zvault.ops.frontdoor.settings import FrontDoorSettings
from zvault.ops.migration.ports import DoorFacts
from zvault.ops.tls.files import TlsPaths
from zvault.vaultapi.client import VaultApi

_LOOK_SECONDS = 5.0


def front_door_settings(site: Site) -> FrontDoorSettings:
    """The front door as this site declares it; both server slots from the start."""
    tls = TlsPaths.in_directory(site.places.tls_dir)
    return FrontDoorSettings(
        run_dir=site.places.run_dir / "frontdoor",
        address_file=site.front_door.address_file,
        plaintext_listen=site.front_door.plain_address,
        tls_listen=site.front_door.tls_address,
        certificate_file=tls.certificate,
        key_file=tls.key,
        ca_file=tls.ca,
        plain_upstream=site.server.plain_address,
        tls_upstream=site.server.tls_address,
        hold_seconds=int(site.limits.hold_seconds),
        caddy=site.front_door.caddy,
    )


@dataclass(frozen=True, slots=True)
class ClientsDoor:
    """The FrontDoor port."""

    door: FrontDoor

    async def observe(self) -> DoorFacts:
        seen = await asyncio.to_thread(self.door.observe)
        return DoorFacts(seen.running, seen.plaintext_open, seen.address)

    async def start(self) -> None:
        await asyncio.to_thread(self.door.start)

    async def allow_plaintext(self, allowed: bool) -> None:
        await asyncio.to_thread(self.door.allow_plaintext, allowed)

    async def send_clients(self, scheme: str) -> None:
        self.door.write_address_file(self._url(scheme))

    async def requests_seen(self, scheme: str) -> int:
        seen = await asyncio.to_thread(self.door.observe)
        if not seen.running:
            raise FrontDoorDownError("the front door is down", hint="zvault frontdoor start")
        return seen.tls.seen if scheme == "https" else seen.plaintext.seen

    async def refuses_plaintext(self) -> bool:
        return (await asyncio.to_thread(self.door.observe)).plaintext_refused

    async def shows_certificate(self) -> bool:
        return await asyncio.to_thread(serves_certificate, self.door.settings)

    async def take_certificate(self) -> None:
        await asyncio.to_thread(self.door.reload)

    async def answers(self, scheme: str) -> bool:
        """See FrontDoor: an unsealed server's health, asked the way a client asks."""
        ca_file = self.door.settings.ca_file if scheme == "https" else None
        api = VaultApi(self._url(scheme), ca_file=ca_file, timeout=_LOOK_SECONDS)
        try:
            health = await asyncio.to_thread(api.health)
        except ZvaultError:
            return False
        finally:
            api.close()
        return health.status == 200

    def _url(self, scheme: str) -> str:
        settings = self.door.settings
        return settings.tls_url if scheme == "https" else settings.plaintext_url
