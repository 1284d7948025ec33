"""What an opened entry is, and what it says about others, without its secrets.

What lives here: from key to decoder to fact; one small function a kind of entry. What never does:
reading storage, remembering (``examine.py`` puts facts together).
Invariants: an entry that decrypts and does not decode is named, never passed over; a fact depends
on the entry and the ``Context`` alone, so it stays true as long as both stay what they were.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from zvault.base.errors import ZvaultError
from zvault.hcl.errors import HclError
from zvault.hcl.parser import parse
from zvault.offline import examine, ledger_approle, ledger_kv2, ledger_tokens
from zvault.offline.examine import DECODED, UNDECODED, Fact
from zvault.offline.tables import Mounts
from zvault.records import approle, compress, gojson, identity, kv2, leases, policies, tokens
from zvault.records.errors import RecordError
from zvault.records.keysutil import decode_path_policy
from zvault.records.kv2_paths import PathCodec
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
Decoder = Callable[[MountEntry, str, bytes], Fact]


@dataclass(frozen=True, slots=True)
class Kv2Context:
    """One KV v2 mount's salt and the policy that its names are encrypted with, as stored."""

    prefix: str
    path: str
    salt: str
    name_policy: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Context:
    """What the meaning of entries hangs on beyond themselves."""

    mounts: Mounts
    token_salt: str
    kv2: tuple[Kv2Context, ...]
    approle_salts: tuple[tuple[str, str], ...]
    """Of each AppRole mount: its prefix and its salt."""


class FactReader:
    """Reads the entries of one store. ``now_ns``: when versions count as readable."""

    def __init__(self, context: Context, now_ns: int) -> None:
        self._mounts = context.mounts.by_prefix()
        self._token_salt = context.token_salt
        self._kv2 = {one.prefix: (one.salt, name_codec(one.name_policy)) for one in context.kv2}
        self._approle_salts = dict(context.approle_salts)
        self._now_ns = now_ns
        self._decoders: dict[str, Decoder] = {
            "approle": self._approle_entry,
            "cubbyhole": self._json_entry,
            "generic": self._kv_entry,
            "identity": self._identity_entry,
            "kv": self._kv_entry,
            "transit": self._json_below("policy/", "archive/"),
            "userpass": self._json_below("user/"),
        }

    def read(self, key: str, plaintext: bytes) -> Fact:
        """Decode one entry. Raises RecordError when it is not what its place says."""
        room, _, rest = key.partition("/")
        if room == "core":
            return self._core_entry(key, plaintext)
        if room == "sys":
            return self._sys_entry(rest, plaintext)
        return self._mounted_entry(room, rest, plaintext)

    def _core_entry(self, key: str, plaintext: bytes) -> Fact:
        if key.startswith(_TABLES):
            return DECODED  # read before the walk; a table that does not decode stops there
        if key.startswith(_JSON_OBJECTS):
            gojson.loads_object(compress.expand(plaintext))
            return DECODED
        return UNDECODED

    def _sys_entry(self, rest: str, plaintext: bytes) -> Fact:
        section, _, name = rest.partition("/")
        if section == "policy":
            return self._policy(plaintext)
        if section == "token":
            return self._token_entry(name, plaintext)
        if section == "expire":
            return self._lease(name, plaintext)
        return UNDECODED

    def _policy(self, plaintext: bytes) -> Fact:
        policy = policies.decode_policy(plaintext)
        try:
            parse(policy.raw)
        except HclError as error:
            return examine.Policy(f"its rules do not parse: {error.message}")
        return examine.POLICY

    def _token_entry(self, rest: str, plaintext: bytes) -> Fact:
        kind, _, name = rest.partition("/")
        if kind == "id":
            token = tokens.decode_token(plaintext)
            return ledger_tokens.token_fact(self._token_salt, name, token)
        if kind == "accessor":
            accessor = tokens.decode_accessor(plaintext)
            return ledger_tokens.accessor_fact(self._token_salt, accessor)
        if kind == "parent":
            return examine.PARENT
        if kind == "roles":
            decode_token_role(plaintext)
            return examine.TOKEN_ROLE
        return DECODED if kind == "salt" else UNDECODED

    def _lease(self, rest: str, plaintext: bytes) -> Fact:
        kind, _, lease_id = rest.partition("/")
        if kind != "id":
            return DECODED if kind == "token" else UNDECODED
        lease = leases.decode_lease(plaintext)
        return ledger_tokens.LeaseFact(lease.auth is not None, lease.lease_id == lease_id)

    def _mounted_entry(self, room: str, rest: str, plaintext: bytes) -> Fact:
        uuid, _, relative = rest.partition("/")
        mount = self._mounts.get(f"{room}/{uuid}/")
        if mount is None:
            return examine.ORPHAN
        decoder = self._decoders.get(mount.type)
        return UNDECODED if decoder is None else decoder(mount, relative, plaintext)

    def _json_entry(self, mount: MountEntry, relative: str, plaintext: bytes) -> Fact:
        gojson.loads_object(plaintext)
        return DECODED

    def _json_below(self, *prefixes: str) -> Decoder:
        """A decoder of JSON objects below some folders; the rest is not looked into."""

        def decode(mount: MountEntry, relative: str, plaintext: bytes) -> Fact:
            if not relative.startswith(prefixes):
                return UNDECODED
            gojson.loads_object(compress.expand(plaintext))
            return DECODED

        return decode

    def _kv_entry(self, mount: MountEntry, relative: str, plaintext: bytes) -> Fact:
        if mount.kv_version == 1:
            gojson.loads_object(plaintext)
            return examine.KV1_SECRET
        own = mount.backend_aware_uuid + "/"
        prefix = mount.view_prefix + own
        if prefix not in self._kv2 or not relative.startswith(own):
            return examine.NOT_UPGRADED
        return self._kv2_entry(prefix, relative.removeprefix(own), plaintext)

    def _kv2_entry(self, prefix: str, relative: str, plaintext: bytes) -> Fact:
        if relative.startswith(kv2.METADATA_PREFIX):
            salt, codec = self._kv2[prefix]
            metadata = kv2.parse_key_metadata(plaintext)
            return ledger_kv2.metadata_fact(salt, codec, relative, metadata, self._now_ns)
        if relative.startswith(kv2.VERSIONS_PREFIX):
            gojson.loads(kv2.parse_version(plaintext).data)
            return ledger_kv2.VERSION
        if relative == kv2.CONFIG_KEY:
            kv2.parse_configuration(plaintext)
        elif relative == kv2.UPGRADING_KEY:
            kv2.parse_upgrade_info(plaintext)
        elif relative == kv2.POLICY_KEY:
            decode_path_policy(plaintext)
        elif relative == kv2.ARCHIVE_KEY:
            gojson.loads_object(plaintext)
        elif relative != kv2.SALT_KEY:
            return UNDECODED
        return DECODED

    def _approle_entry(self, mount: MountEntry, relative: str, plaintext: bytes) -> Fact:
        salt = self._approle_salts[mount.view_prefix]
        kind, _, name = relative.partition("/")
        if kind == "role":
            return ledger_approle.role_fact(salt, name, approle.decode_role(plaintext))
        if kind == "role_id":
            return ledger_approle.RoleIdFact(approle.decode_role_id(plaintext).name)
        if kind in ("secret_id", "secret_id_local"):
            secret_id = approle.decode_secret_id(plaintext)
            return ledger_approle.secret_id_fact(salt, kind, secret_id)
        if kind in ("accessor", "accessor_local"):
            approle.decode_accessor(plaintext)
            return ledger_approle.ACCESSOR
        return DECODED if kind == "salt" else UNDECODED

    def _identity_entry(self, mount: MountEntry, relative: str, plaintext: bytes) -> Fact:
        if not relative.startswith("packer/"):
            return UNDECODED
        bucket = identity.decode_bucket(plaintext)
        entities = tuple(entity.id for entity in identity.entities_of(bucket))
        return examine.Bucket(entities, len(identity.groups_of(bucket)))


def name_codec(policy: bytes | None) -> PathCodec | None:
    """The codec of a KV v2 mount's names; None when its policy is absent or damaged."""
    try:
        return None if policy is None else PathCodec(decode_path_policy(policy))
    except RecordError:
        return None


def reason_of(error: ZvaultError) -> str:
    """The text for a decoded-wrongly entry."""
    prefix = "it decrypts, but " if isinstance(error, RecordError) else ""
    return prefix + error.message
