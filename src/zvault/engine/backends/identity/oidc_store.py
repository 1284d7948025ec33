"""Named keys, roles and the issuer of identity tokens: in storage, in memory, rotated.

What lives here: reading and writing of what lies below ``oidc_tokens/``, and when a key signs,
waits and goes. What never does: paths, tokens.
Invariants: a public key is stored before anything is signed with its private one and stays until
the last token it signed has expired; memory changes only after storage; a key is rotated by whoever
first needs it after its time.
Source: ``docs/api/identity.md``.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from zvault.barrier.view import View
from zvault.base.clock import Clock
from zvault.base.gotime import ZERO_NS
from zvault.base.ids import RandomBytes, new_uuid
from zvault.crypto.jwk import PrivateKey, private_members, public_members
from zvault.records import gojson
from zvault.records.errors import RecordError
from zvault.records.oidc import (
    CONFIG_KEY,
    NAMED_KEYS,
    PUBLIC_KEYS,
    ROLES,
    NamedKey,
    OidcConfig,
    OidcRole,
    RingKey,
    decode_config,
    decode_named_key,
    decode_role,
    encode_config,
    encode_named_key,
    encode_role,
)
from zvault.storage.api import Delete, Operation, Put

DEFAULT_KEY = "default"
"""Always there; its keys are made when they are first needed."""
_MAKERS: dict[str, Callable[[], PrivateKey]] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
_MAKERS["RS384"] = _MAKERS["RS512"] = _MAKERS["RS256"]
ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA")
Jwk = dict[str, Any]


def _new_jwk(algorithm: str, key_id: str) -> Jwk:
    """A fresh private key, members in the order real servers store them."""
    key = _MAKERS[algorithm]()
    public = public_members(key.public_key())
    kind = public.pop("kty")
    curve = {"crv": public.pop("crv")} if "crv" in public else {}
    head = {"use": "sig", "kty": kind, "kid": key_id, **curve, "alg": algorithm}
    return {**head, **public, **private_members(key)}


_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi"})


def public_part(jwk: Jwk) -> Jwk:
    """The same key without what only its owner may have."""
    return {name: value for name, value in jwk.items() if name not in _PRIVATE}


class OidcStore:
    """What the identity mount stores for its tokens."""

    def __init__(self, view: View, clock: Clock, random_bytes: RandomBytes) -> None:
        self._view = view
        self._clock = clock
        self._random_bytes = random_bytes
        self.changing = asyncio.Lock()
        """Held from looking at what is to be changed until the change is saved."""
        self._keys: dict[str, NamedKey] = {}
        self._roles: dict[str, OidcRole] = {}
        self._public: dict[str, Jwk] = {}

    async def config(self) -> OidcConfig:
        """The issuer that was set. Raises RecordError, StorageError."""
        stored = await self._view.get(CONFIG_KEY)
        return OidcConfig() if stored is None else decode_config(stored)

    async def save_config(self, config: OidcConfig) -> None:
        """Raises StorageError."""
        await self._view.put_slashed(CONFIG_KEY, encode_config(config))

    async def key_names(self) -> list[str]:
        """All named keys, sorted."""
        return sorted({DEFAULT_KEY, *await self._view.list(NAMED_KEYS)})

    async def named_key(self, name: str) -> NamedKey | None:
        """A named key as it is stored. Raises RecordError, StorageError."""
        known = self._keys.get(name)
        if known is None:
            stored = await self._view.get(NAMED_KEYS + name)
            if stored is not None:
                known = self._keys[name] = decode_named_key(stored)
            elif name == DEFAULT_KEY:
                known = NamedKey(allowed_client_ids=("*",))
        return known

    async def save_key(self, name: str, key: NamedKey, new: Sequence[Jwk] = ()) -> NamedKey:
        """Store it, public keys of ``new`` first; expired ones go. Hold ``changing``."""
        now = self._clock.now_ns()
        kept = tuple(k for k in key.ring if k.expires_ns == ZERO_NS or k.expires_ns > now)
        gone = [k.key_id for k in key.ring if k not in kept]
        key = replace(key, ring=kept)
        public = {jwk["kid"]: public_part(jwk) for jwk in new}
        operations: list[Operation] = [
            Put(PUBLIC_KEYS + key_id, gojson.dumps(jwk, sort_keys=False, newline=True))
            for key_id, jwk in public.items()
        ]
        operations.append(Put(NAMED_KEYS + name, encode_named_key(key)))
        operations += [Delete(PUBLIC_KEYS + key_id) for key_id in gone]
        await self._view.apply(operations)
        self._keys[name] = key
        self._public.update(public)
        for key_id in gone:
            self._public.pop(key_id, None)
        return key

    async def delete_key(self, name: str, key: NamedKey) -> None:
        """Remove it with its public keys. Hold ``changing``. Raises StorageError."""
        doomed = [NAMED_KEYS + name, *(PUBLIC_KEYS + k.key_id for k in key.ring)]
        await self._view.apply([Delete(path) for path in doomed])
        self._keys.pop(name, None)
        for ringed in key.ring:
            self._public.pop(ringed.key_id, None)

    async def with_new_keys(self, name: str, key: NamedKey) -> NamedKey:
        """Give it keys of its algorithm; what it had can still be checked for a while.

        Hold ``changing``. Raises StorageError.
        """
        now = self._clock.now_ns()
        first, second = await self._made(key.algorithm), await self._made(key.algorithm)
        old = _expiring(key.ring, now + key.verification_ttl_ns)
        changed = replace(
            key,
            ring=(*old, RingKey(first["kid"]), RingKey(second["kid"])),
            signing_key=first,
            next_signing_key=second,
            next_rotation_ns=now + key.rotation_period_ns,
        )
        return await self.save_key(name, changed, [first, second])

    async def rotate(self, name: str, key: NamedKey, verification_ttl_ns: int) -> NamedKey:
        """The next key signs, the one that did is checked for so long. Hold ``changing``.

        Raises StorageError.
        """
        if key.signing_key is None or key.next_signing_key is None:
            return await self.with_new_keys(name, key)
        now = self._clock.now_ns()
        new = await self._made(key.algorithm)
        old = key.signing_key["kid"]
        ring = [
            replace(k, expires_ns=now + verification_ttl_ns) if k.key_id == old else k
            for k in key.ring
        ]
        changed = replace(
            key,
            ring=(*ring, RingKey(new["kid"])),
            signing_key=key.next_signing_key,
            next_signing_key=new,
            next_rotation_ns=now + key.rotation_period_ns,
        )
        return await self.save_key(name, changed, [new])

    async def _made(self, algorithm: str) -> Jwk:
        if algorithm not in _MAKERS:
            raise RecordError("oidc named key: it is of an algorithm nobody here knows")
        return await asyncio.to_thread(_new_jwk, algorithm, new_uuid(self._random_bytes))

    async def ready_key(self, name: str) -> NamedKey | None:
        """A named key that can sign now: made, rotated when its time has come.

        Raises RecordError, StorageError.
        """
        key = await self.named_key(name)
        if key is None or self._is_ready(key):
            return key
        async with self.changing:
            key = await self.named_key(name)
            if key is None or self._is_ready(key):
                return key
            if key.signing_key is None or key.next_signing_key is None:
                return await self.with_new_keys(name, key)
            if self._clock.now_ns() >= key.next_rotation_ns:
                return await self.rotate(name, key, key.verification_ttl_ns)
            return await self.save_key(name, key)

    def _is_ready(self, key: NamedKey) -> bool:
        now = self._clock.now_ns()
        return (
            key.signing_key is not None
            and key.next_signing_key is not None
            and now < key.next_rotation_ns
            and not any(k.expires_ns != ZERO_NS and k.expires_ns <= now for k in key.ring)
        )

    async def public_keys(self, names: Sequence[str]) -> list[Jwk]:
        """Public keys that tokens of these named keys may be checked with now.

        Raises RecordError, StorageError.
        """
        found = []
        for name in names:
            key = await self.ready_key(name)
            for ringed in key.ring if key is not None else ():
                jwk = await self._public_key(ringed.key_id)
                if jwk is not None:
                    found.append(jwk)
        return found

    async def _public_key(self, key_id: str) -> Jwk | None:
        known = self._public.get(key_id)
        if known is None:
            stored = await self._view.get(PUBLIC_KEYS + key_id)
            if stored is None:
                return None
            known = self._public[key_id] = public_part(gojson.loads_object(stored))
        return known

    async def role_names(self) -> list[str]:
        """All roles, sorted."""
        return await self._view.list(ROLES)

    async def role(self, name: str) -> OidcRole | None:
        """Raises RecordError, StorageError."""
        known = self._roles.get(name)
        if known is None:
            stored = await self._view.get(ROLES + name)
            if stored is not None:
                known = self._roles[name] = decode_role(stored)
        return known

    async def save_role(self, name: str, role: OidcRole) -> None:
        """Hold ``changing``. Raises StorageError."""
        await self._view.put(ROLES + name, encode_role(role))
        self._roles[name] = role

    async def delete_role(self, name: str) -> None:
        """Hold ``changing``. Raises StorageError."""
        await self._view.delete(ROLES + name)
        self._roles.pop(name, None)

    async def roles_of_key(self, key_name: str) -> dict[str, OidcRole]:
        """Roles that sign with a named key, by name."""
        found = {}
        for name in await self.role_names():
            role = await self.role(name)
            if role is not None and role.key == key_name:
                found[name] = role
        return found


def _expiring(ring: Sequence[RingKey], expires_ns: int) -> tuple[RingKey, ...]:
    return tuple(replace(k, expires_ns=expires_ns) if k.expires_ns == ZERO_NS else k for k in ring)
