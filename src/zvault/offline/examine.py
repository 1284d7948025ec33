"""What an opened entry is, and whether it is what its place says.

What lives here: from key to decoder to count and ledger; one small function a kind of entry. What
never does: reading storage.
Invariant: an entry that decrypts and does not decode is named, never passed over.
"""

from collections.abc import Callable, Iterator

from zvault.base.errors import ZvaultError
from zvault.hcl.errors import HclError
from zvault.hcl.parser import parse
from zvault.offline.ledger_approle import AppRoleLedger
from zvault.offline.ledger_kv2 import Kv2Ledger
from zvault.offline.ledger_tokens import TokenLedger
from zvault.offline.report import Counts, Finding
from zvault.offline.tables import Mounts
from zvault.records import approle, compress, gojson, identity, kv2, leases, policies, tokens
from zvault.records.errors import RecordError
from zvault.records.keysutil import decode_path_policy
from zvault.records.mounts import TABLE_KEYS, MountEntry
from zvault.records.token_roles import decode_token_role

_JSON_OBJECTS = (
    "core/cluster/",
    "core/versions/",
    "core/wrapping/jwtkey",
    "core/master",
    "core/root-key",
    "core/leader/",
    "core/namespaces/",
)
_TABLES = tuple(key for halves in TABLE_KEYS.values() for key in halves)
Decoder = Callable[[MountEntry, str, bytes], bool]


class Examination:
    """One store gone through. ``examine`` once for each opened entry, in the walk's order."""

    def __init__(
        self,
        mounts: Mounts,
        tokens_ledger: TokenLedger,
        entities: set[str],
        kv2_ledgers: dict[str, Kv2Ledger],
        approle_ledgers: dict[str, AppRoleLedger],
        now_ns: int,
    ) -> None:
        self.counts = Counts(
            mounts=len(mounts.engines),
            auth_methods=len(mounts.auth),
            audit_devices=len(mounts.audit),
        )
        self._mounts = mounts.by_prefix()
        self._tokens = tokens_ledger
        self._entities = entities
        self._kv2 = kv2_ledgers
        self._approle = approle_ledgers
        self._now_ns = now_ns
        self._orphans: dict[str, int] = {}
        self._found: list[Finding] = []
        self._decoders: dict[str, Decoder] = {
            "approle": self._approle_entry,
            "cubbyhole": self._json_entry,
            "generic": self._kv_entry,
            "identity": self._identity_entry,
            "kv": self._kv_entry,
            "transit": self._json_below("policy/", "archive/"),
            "userpass": self._json_below("user/"),
        }

    def examine(self, key: str, plaintext: bytes) -> None:
        """Decode and count one entry. Raises RecordError when it is not what its place says."""
        room, _, rest = key.partition("/")
        if room == "core":
            decoded = self._core_entry(key, plaintext)
        elif room == "sys":
            decoded = self._sys_entry(rest, plaintext)
        else:
            decoded = self._mounted_entry(room, rest, plaintext)
        if not decoded:
            self.counts.undecoded += 1

    def findings(self) -> Iterator[Finding]:
        """All but the KV versions that are missing (``Kv2Ledger.losses``)."""
        yield from self._found
        yield from self._tokens.findings()
        for kv2_ledger in self._kv2.values():
            yield from kv2_ledger.findings()
        for approle_ledger in self._approle.values():
            yield from approle_ledger.findings()
        for prefix, count in self._orphans.items():
            if prefix.startswith("namespaces/"):
                problem = f"a namespace: its {count} entries decrypt and are not looked into"
            else:
                problem = f"orphan prefix: {count} entries of no mount"
            yield Finding(prefix, problem, False)

    def _core_entry(self, key: str, plaintext: bytes) -> bool:
        if key.startswith(_TABLES):
            return True  # read before the walk; a table that does not decode stops there
        if key.startswith(_JSON_OBJECTS):
            gojson.loads_object(compress.expand(plaintext))
            return True
        return False

    def _sys_entry(self, rest: str, plaintext: bytes) -> bool:
        section, _, name = rest.partition("/")
        if section == "policy":
            self._policy(name, plaintext)
        elif section == "token":
            return self._token_entry(name, plaintext)
        elif section == "expire":
            return self._lease(name, plaintext)
        else:
            return False
        return True

    def _policy(self, name: str, plaintext: bytes) -> None:
        policy = policies.decode_policy(plaintext)
        self.counts.policies += 1
        try:
            parse(policy.raw)
        except HclError as error:
            self._found.append(
                Finding(policies.PREFIX + name, f"its rules do not parse: {error.message}", False)
            )

    def _token_entry(self, rest: str, plaintext: bytes) -> bool:
        kind, _, name = rest.partition("/")
        if kind == "id":
            self._tokens.saw_token(name, tokens.decode_token(plaintext))
            self.counts.tokens += 1
        elif kind == "accessor":
            self._tokens.saw_accessor(name, tokens.decode_accessor(plaintext))
        elif kind == "parent":
            self._tokens.saw_parent(name)
        elif kind == "roles":
            decode_token_role(plaintext)
            self.counts.token_roles += 1
        else:
            return kind == "salt"
        return True

    def _lease(self, rest: str, plaintext: bytes) -> bool:
        kind, _, lease_id = rest.partition("/")
        if kind != "id":
            return kind == "token"
        lease = leases.decode_lease(plaintext)
        self.counts.leases += 1
        if lease.auth is not None:
            self._tokens.saw_lease(lease_id, lease)
        return True

    def _mounted_entry(self, room: str, rest: str, plaintext: bytes) -> bool:
        uuid, _, relative = rest.partition("/")
        prefix = f"{room}/{uuid}/"
        mount = self._mounts.get(prefix)
        if mount is None:
            self._orphans[prefix] = self._orphans.get(prefix, 0) + 1
            return False
        decoder = self._decoders.get(mount.type)
        return decoder is not None and decoder(mount, relative, plaintext)

    def _json_entry(self, mount: MountEntry, relative: str, plaintext: bytes) -> bool:
        gojson.loads_object(plaintext)
        return True

    def _json_below(self, *prefixes: str) -> Decoder:
        """A decoder of JSON objects below some folders; the rest is not looked into."""

        def decode(mount: MountEntry, relative: str, plaintext: bytes) -> bool:
            if not relative.startswith(prefixes):
                return False
            gojson.loads_object(compress.expand(plaintext))
            return True

        return decode

    def _kv_entry(self, mount: MountEntry, relative: str, plaintext: bytes) -> bool:
        if mount.kv_version == 1:
            gojson.loads_object(plaintext)
            self.counts.secrets += 1
            self.counts.secrets_kv1 += 1
            return True
        own = mount.backend_aware_uuid + "/"
        ledger = self._kv2.get(mount.view_prefix + own)
        if ledger is None or not relative.startswith(own):
            key = mount.view_prefix + relative
            self._found.append(
                Finding(key, "KV v1 entry in a v2 mount whose upgrade is not done", False)
            )
            return False
        return self._kv2_entry(ledger, relative.removeprefix(own), plaintext)

    def _kv2_entry(self, ledger: Kv2Ledger, relative: str, plaintext: bytes) -> bool:
        if relative.startswith(kv2.METADATA_PREFIX):
            ledger.saw_metadata(relative, kv2.parse_key_metadata(plaintext), self._now_ns)
            self.counts.secrets += 1
            self.counts.secrets_kv2 += 1
        elif relative.startswith(kv2.VERSIONS_PREFIX):
            gojson.loads(kv2.parse_version(plaintext).data)
            self.counts.versions += 1
            self.counts.versions_readable += ledger.saw_version(relative)
        elif relative == kv2.CONFIG_KEY:
            kv2.parse_configuration(plaintext)
        elif relative == kv2.UPGRADING_KEY:
            kv2.parse_upgrade_info(plaintext)
        elif relative == kv2.POLICY_KEY:
            decode_path_policy(plaintext)
        elif relative == kv2.ARCHIVE_KEY:
            gojson.loads_object(plaintext)
        else:
            return relative == kv2.SALT_KEY
        return True

    def _approle_entry(self, mount: MountEntry, relative: str, plaintext: bytes) -> bool:
        ledger = self._approle[mount.view_prefix]
        kind, _, name = relative.partition("/")
        if kind == "role":
            ledger.saw_role(name, approle.decode_role(plaintext))
            self.counts.roles += 1
        elif kind == "role_id":
            ledger.saw_role_id(relative, approle.decode_role_id(plaintext))
        elif kind in ("secret_id", "secret_id_local"):
            ledger.saw_secret_id(relative, approle.decode_secret_id(plaintext))
            self.counts.secret_ids += 1
        elif kind in ("accessor", "accessor_local"):
            approle.decode_accessor(plaintext)
            ledger.saw_accessor(relative)
        else:
            return kind == "salt"
        return True

    def _identity_entry(self, mount: MountEntry, relative: str, plaintext: bytes) -> bool:
        if not relative.startswith("packer/"):
            return False
        bucket = identity.decode_bucket(plaintext)
        entities = identity.entities_of(bucket)
        self._entities.update(entity.id for entity in entities)
        self.counts.entities += len(entities)
        self.counts.groups += len(identity.groups_of(bucket))
        return True


def reason_of(error: ZvaultError) -> str:
    """The text for a decoded-wrongly entry."""
    prefix = "it decrypts, but " if isinstance(error, RecordError) else ""
    return prefix + error.message
