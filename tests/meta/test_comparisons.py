"""Secrets are compared in constant time, or looked up by a keyed hash: shown by structure.

``==`` on something that is named like a secret needs a reason below. ``Secret.__eq__`` and
``same_text`` are the two ways to compare; a look-up goes by salted hash (tokens, accessors), by
HMAC (secret ids) or through a dict, whose hash is keyed anew in each process.
"""

import ast
import inspect
from pathlib import Path

from zvault.base import secret
from zvault.engine.backends.approle import login as approle_login
from zvault.engine.backends.approle import store as approle_store
from zvault.engine.seal.quorum import Quorum
from zvault.engine.seal.shares import ShareCollection
from zvault.engine.tokens.store import TokenStore
from zvault.records.approle import RoleEntry

SOURCE = Path(__file__).parent.parent.parent / "src" / "zvault"
KEPT = {"token", "secret", "accessor", "nonce", "otp", "pad", "share", "shares", "password"}
PROOFS = {"passphrase", "hmac", "mac", "digest", "signature", "proof", "verifier", "challenge"}
SECRET_WORDS = {*KEPT, *PROOFS, "credential", "credentials"}
NOT_CALLS_OF = ("len", "type")
PUBLIC = "names a mount or an alias; anybody who may log in can read it"
OWN_FILE = "an operator's own file, compared on the operator's own machine"
CHECKSUM = "a checksum of ciphertext; no secret"
CONSTANT = "a word, no secret"
REASONS = {
    ("app/s3_credentials.py", "credentials_from_file(path) != found"): OWN_FILE,
    ("barrier/rekey.py", "_digest(now) != undo.after[key]"): CHECKSUM,
    ("base/gobase64.py", "data[position] != _PAD"): "the '=' of base64",
    ("base/gobase64.py", "byte == _PAD"): "the '=' of base64",
    (
        "engine/audit/records.py",
        "kept[0] == request.client_token",
    ): "a token that was just found valid, against itself",
    ("engine/backends/identity/aliases.py", "alias.mount_accessor == accessor"): PUBLIC,
    ("engine/backends/identity/merging.py", "own.mount_accessor == other.mount_accessor"): PUBLIC,
    ("engine/backends/identity/mounts.py", "entry.accessor == accessor"): PUBLIC,
    ("engine/identity/external_groups.py", "group.alias.mount_accessor == accessor"): PUBLIC,
    ("engine/identity/store.py", "alias.mount_accessor == accessor"): PUBLIC,
    ("engine/identity/store.py", "alias.mount_accessor != accessor"): PUBLIC,
    ("engine/identity/store.py", "mount == accessor"): PUBLIC,
    ("engine/backends/token/roles.py", "role.token_type != _TYPES['batch']"): CONSTANT,
    ("engine/backends/token_params.py", "params.token_type == BATCH"): CONSTANT,
    ("engine/identity/login.py", "token_type == BATCH"): CONSTANT,
    ("engine/leases/secret_leases.py", "lease.token_type != BATCH"): CONSTANT,
    ("records/approle.py", "self.secret_id_prefix == SECRET_ID_LOCAL_PREFIX"): CONSTANT,
    ("offline/open.py", "other != share"): "two Secrets",
    ("ops/backup/manifest.py", "digest_of(manifest.entries) == manifest.digest"): CHECKSUM,
    ("ops/backup/restore.py", "await store_digest(storage) != backup.manifest.digest"): CHECKSUM,
}


def last_name(node: ast.expr) -> str:
    """What the value is called; "" for sizes and types, which are no secrets."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    if isinstance(node, ast.Await):
        return last_name(node.value)
    if isinstance(node, ast.Call):
        name = last_name(node.func)
        return "" if name in NOT_CALLS_OF else name
    return ""


def suspicious(node: ast.Compare) -> bool:
    operands = [node.left, *node.comparators]
    if not any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops):
        return False
    if any(isinstance(operand, ast.Constant) or is_size(operand) for operand in operands):
        return False
    return any(SECRET_WORDS & {*last_name(o).lower().split("_")} for o in operands)


def is_size(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and last_name(node.func) == "len"


def found_in(source: str) -> list[str]:
    tree = ast.parse(source)
    comparisons = (node for node in ast.walk(tree) if isinstance(node, ast.Compare))
    return [ast.unparse(node) for node in comparisons if suspicious(node)]


def test_every_comparison_of_what_is_named_like_a_secret_has_its_reason() -> None:
    found = {
        (str(path.relative_to(SOURCE)), text)
        for path in SOURCE.rglob("*.py")
        for text in found_in(path.read_text())
    }
    assert found - REASONS.keys() == set(), "use same_text, a Secret, or give the reason above"
    assert REASONS.keys() - found == set(), "reasons for what is not there any more"


def test_the_search_finds_what_it_is_for() -> None:
    bad = ["token == given", "entry.secret_id != asked", 'body["nonce"] == nonce', "f(x) == s.otp"]
    for text in bad:
        assert found_in(text) == [ast.unparse(ast.parse(text).body[0])]
    for text in ('token == ""', "len(share) == 33", "name == other", "same_text(token, given)"):
        assert found_in(text) == []


def test_secrets_are_compared_in_constant_time() -> None:
    for function in (secret.Secret.__eq__, secret.same_text):
        assert "hmac.compare_digest(" in inspect.getsource(function)
        assert "==" not in inspect.getsource(function)
    assert secret.same_text("a\ud800", "a\ud800")
    assert not secret.same_text("a", "b")
    assert not secret.same_text("a", "ab")


def test_look_ups_go_by_a_keyed_hash_of_what_was_given() -> None:
    for reader in (TokenStore.read, TokenStore.id_of_accessor):
        assert "self.salted(" in inspect.getsource(reader)
    assert "hmac" in inspect.getsource(RoleEntry.secret_id_key)
    assert "store.secret_id_key(name, role, secret_id)" in inspect.getsource(approle_login)
    assert "keyed(role.hmac_key, secret_id)" in inspect.getsource(approle_store)
    assert "same_text(role.role_id, role_id)" in inspect.getsource(approle_login)
    assert "salt" in inspect.getsource(approle_store)


def test_shares_in_collection_are_secrets() -> None:
    """``in`` a list of Secrets compares with Secret.__eq__."""
    assert ShareCollection.__init__.__annotations__ == {"return": None}
    collection = ShareCollection()
    collection.add(bytes(33), 2, "n")
    quorum = Quorum("n", 2, "rekey")
    quorum.add(secret.Secret(bytes(33)), "n")
    for kept in (collection._shares, quorum._shares):
        assert [type(share) for share in kept] == [secret.Secret]
