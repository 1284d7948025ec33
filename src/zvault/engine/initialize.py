"""What a fresh store holds besides its keys.

What lives here: root token, mount tables, cluster name and the rest of a new store, as plaintext
entries that ``barrier.unseal.initialize_store`` writes before the store counts as initialised.
Pure: time and randomness are parameters. Source: ``docs/formats/records.md``.
"""

from zvault.base.gotime import SECOND_NS
from zvault.base.ids import RandomBytes, base62, new_uuid
from zvault.base.secret import Secret
from zvault.engine.mounts.defaults import required_entries, with_ids
from zvault.engine.policy import builtin
from zvault.engine.tokens.store import ID_LENGTH, inner_prefix
from zvault.records import gojson
from zvault.records.mounts import AUDIT, AUTH, MOUNTS, TABLE_KEYS, MountTable
from zvault.records.policies import PREFIX, PolicyEntry, encode_policy
from zvault.records.ssc import HEADER_KEY_PATH
from zvault.records.tokens import (
    ACCESSOR_PREFIX,
    ID_PREFIX,
    SALT_KEY,
    AccessorEntry,
    TokenEntry,
    encode_accessor,
    encode_token,
    salt_id,
)
from zvault.storage.api import Put

CLUSTER_KEY = "core/cluster/local/info"


def initial_entries(
    family: str, cluster_name: str, now_ns: int, random_bytes: RandomBytes
) -> tuple[list[Put], Secret]:
    """The entries and the root token among them."""
    token, entries = _root_token(family, now_ns, random_bytes)
    entries.append(cluster_info(cluster_name, random_bytes))
    entries.append(Put(HEADER_KEY_PATH, new_uuid(random_bytes).encode()))
    entries += _tables(random_bytes)
    default = PolicyEntry(raw=builtin.DEFAULT_POLICY, templated=True)
    entries.append(Put(PREFIX + builtin.DEFAULT, encode_policy(default)))
    return entries, token


def cluster_info(name: str, random_bytes: RandomBytes) -> Put:
    """Name and id of the cluster that this store is."""
    body = {
        "name": name or f"vault-cluster-{random_bytes(4).hex()}",
        "id": new_uuid(random_bytes),
    }
    return Put(CLUSTER_KEY, gojson.dumps(body, sort_keys=False))


def _root_token(family: str, now_ns: int, random_bytes: RandomBytes) -> tuple[Secret, list[Put]]:
    salt = new_uuid(random_bytes)
    entry = TokenEntry(
        id=inner_prefix(family) + base62(random_bytes, ID_LENGTH),
        accessor=base62(random_bytes, ID_LENGTH),
        policies=(builtin.ROOT,),
        path="auth/token/root",
        display_name="root",
        creation_time=now_ns // SECOND_NS,
        cubbyhole_id=base62(random_bytes, ID_LENGTH),
    )
    accessor = AccessorEntry(entry.id, entry.accessor)
    return Secret(entry.id), [
        Put(SALT_KEY, salt.encode()),
        Put(ACCESSOR_PREFIX + salt_id(salt, entry.accessor), encode_accessor(accessor)),
        Put(ID_PREFIX + salt_id(salt, entry.id), encode_token(entry)),
    ]


def _tables(random_bytes: RandomBytes) -> list[Put]:
    result = []
    for table in (MOUNTS, AUTH, AUDIT):
        entries = [] if table == AUDIT else required_entries(table)
        filled = [with_ids(entry, random_bytes) for entry in entries]
        for is_local, key in enumerate(TABLE_KEYS[table]):
            half = tuple(entry for entry in filled if entry.local is bool(is_local))
            result.append(Put(key, MountTable(table, half).encode()))
    return result
