"""What a mint strikes is what encoding the same token anew gives, byte for byte."""

import os

from hypothesis import given
from hypothesis import strategies as st

from zvault.base.gotime import SECOND_NS
from zvault.engine.api import Auth
from zvault.engine.tokens.leases import new_lease
from zvault.engine.tokens.mint import Mint
from zvault.engine.tokens.struck import Names
from zvault.records.leases import encode_lease
from zvault.records.mounts import AUTH, MountEntry
from zvault.records.tokens import (
    SERVICE,
    AccessorEntry,
    Salter,
    TokenEntry,
    encode_accessor,
    encode_token,
)

TEXTS = st.text(max_size=12)
AWKWARD = st.sampled_from(["", "%", "%b", "%%s", "<&>", "\u2028", "\ud800", '"\\', "é"])
WORDS = st.one_of(TEXTS, AWKWARD)
METADATA = st.dictionaries(WORDS, WORDS, max_size=3)
BASE62 = st.text(
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", min_size=24, max_size=24
)
DURATIONS = st.integers(0, 1 << 60)
NOW = st.integers(0, 4_000_000_000 * SECOND_NS)
MOUNT = MountEntry(path="approle/", type="approle", table=AUTH, accessor="auth_approle_1")

AUTHS = st.builds(
    Auth,
    policies=st.lists(WORDS, max_size=3).map(tuple),
    metadata=METADATA,
    internal_data=st.fixed_dictionaries({"role_name": WORDS}),
    alias_name=WORDS,
    max_ttl_ns=DURATIONS,
    period_ns=DURATIONS,
    explicit_max_ttl_ns=DURATIONS,
    renewable=st.booleans(),
    bound_cidrs=st.lists(WORDS, max_size=2).map(tuple),
    no_default_policy=st.booleans(),
    identity_policies=st.lists(WORDS, max_size=2).map(tuple),
)
ENTRIES = st.builds(
    TokenEntry,
    parent=st.one_of(st.just(""), BASE62),
    policies=st.lists(WORDS, max_size=3).map(tuple),
    path=st.sampled_from(["auth/approle/login", "auth/a%b/login", "sys/wrapping/wrap/"]),
    meta=METADATA,
    display_name=WORDS,
    num_uses=st.integers(0, 5),
    ttl_ns=st.integers(1, 1 << 60),
    explicit_max_ttl_ns=DURATIONS,
    period_ns=DURATIONS,
    type=st.just(SERVICE),
    entity_id=WORDS,
    bound_cidrs=st.lists(WORDS, max_size=2).map(tuple),
)


@given(AUTHS, ENTRIES, st.sampled_from([None, MOUNT]), BASE62, BASE62, BASE62, NOW)
def test_a_struck_token_has_the_bytes_of_one_encoded_by_itself(
    auth: Auth,
    entry: TokenEntry,
    mount: MountEntry | None,
    own: str,
    accessor: str,
    cubbyhole: str,
    now_ns: int,
) -> None:
    mint = Mint(auth, entry, mount, os.urandom)
    names, salted = Names("hvs." + own, accessor, cubbyhole), Salter("salt")
    salted_id = salted(names.id)
    struck = mint.strike(names, salted_id, now_ns)
    alone = mint.entry_of(names, now_ns)
    lease = new_lease(auth, alone, mount, salted_id=salted_id, now_ns=now_ns)
    assert struck.token == encode_token(alone)
    assert struck.lease == encode_lease(lease)
    assert struck.accessor == encode_accessor(AccessorEntry(alone.id, alone.accessor))
    assert (struck.lease_id, struck.expires_ns) == (lease.lease_id, lease.expire_time_ns)
