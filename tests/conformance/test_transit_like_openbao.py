"""The same transit requests to the engine and to a real OpenBao, answers compared.

Both keep stores of OpenBao's family. Where OpenBao and Vault differ, Vault is the model; every such
difference is named below, anything else that differs fails.
"""

import base64
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.openbao import OpenBao, running
from tests.support.running import Running, fresh
from zvault.engine.api import Operation
from zvault.engine.errors import EngineError
from zvault.server.envelope import answer_for
from zvault.server.errors import status_of

pytestmark = pytest.mark.real("openbao-2.6.2")

Call = tuple[str, str, dict[str, Any] | None]
I64 = "aGVsbG8="
CTX = "Y3R4"
KINDS = (
    "aes128-gcm96",
    "aes256-gcm96",
    "chacha20-poly1305",
    "xchacha20-poly1305",
    "ed25519",
    "ecdsa-p256",
    "ecdsa-p384",
    "ecdsa-p521",
    "rsa-2048",
    "rsa-3072",
    "hmac",
)
EXPORTS = ("encryption-key", "signing-key", "hmac-key", "public-key", "certificate-chain", "nope")


def post(path: str, **body: Any) -> Call:
    return ("POST", f"transit/{path}", body)


def get(path: str) -> Call:
    return ("GET", f"transit/{path}", None)


def of_kind(kind: str) -> list[Call]:
    size = {"key_size": 32} if kind == "hmac" else {}
    return [
        post(f"keys/{kind}", type=kind, exportable=True, **size),
        get(f"keys/{kind}"),
        post(f"hmac/{kind}", input=I64),
        post(f"sign/{kind}", input=I64),
        post(f"verify/{kind}", input=I64, signature="x"),
        post(f"encrypt/{kind}", plaintext="aGk="),
        post(f"encrypt/{kind}", plaintext="aGk=", associated_data="aGk="),
        post(f"decrypt/{kind}", ciphertext="vault:v1:" + base64.b64encode(bytes(64)).decode()),
        post(f"datakey/plaintext/{kind}"),
        post(f"datakey/wrapped/{kind}", bits=512),
        *[get(f"export/{what}/{kind}") for what in EXPORTS],
        post(f"keys/{kind}/rotate"),
        get(f"keys/{kind}"),
        *[get(f"export/{what}/{kind}/latest") for what in EXPORTS],
        post(f"keys/{kind}d", type=kind, derived=True, **size),
        post(f"keys/{kind}c", type=kind, derived=True, convergent_encryption=True, **size),
        post(f"encrypt/{kind}c", plaintext="aGk=", context=CTX),
        post(f"encrypt/{kind}d", plaintext="aGk="),
    ]


KEYS: list[Call] = [
    ("LIST", "transit/keys", None),
    ("GET", "transit/keys", None),
    post("keys/rotate"),
    post("keys/k/rotate"),
    ("DELETE", "transit/keys/none", None),
    get("keys/none"),
    post("keys/none/config", deletion_allowed=True),
    post("keys/none/trim", min_available_version=1),
    post("keys/a.b-c_d"),
    post("keys/-x"),
    post("keys/x-"),
    post("keys/x/y"),
    post("keys/UP"),
    get("keys/up"),
    post("keys/bad", type="nope"),
    post("keys/bad", convergent_encryption=True),
    post("keys/bad", auto_rotate_period="59m"),
    post("keys/bad", key_size=32),
    post("keys/bad", type="hmac"),
    post("keys/bad", type="hmac", key_size=5000),
    post("keys/ar", auto_rotate_period="1h"),
    post("keys/odd", name="other", foo=1),
    post("keys/edd", type="ed25519", derived=True),
    get("keys/edd?context=!!"),
    post("keys/k"),
    post("keys/k/rotate"),
    post("keys/k/rotate"),
    *[
        post("keys/k/config", **{name: value})
        for name, value in (
            ("min_decryption_version", 9),
            ("min_decryption_version", -1),
            ("min_encryption_version", 9),
            ("min_encryption_version", -1),
            ("min_encryption_version", 2),
            ("min_decryption_version", 3),
            ("min_decryption_version", 2),
            ("min_encryption_version", 1),
            ("min_encryption_version", 0),
            ("min_decryption_version", "x"),
            ("deletion_allowed", "x"),
            ("exportable", True),
            ("exportable", False),
            ("allow_plaintext_backup", True),
            ("allow_plaintext_backup", False),
            ("auto_rotate_period", "30m"),
            ("auto_rotate_period", "2h"),
            ("auto_rotate_period", 0),
            ("foo", 1),
        )
    ],
    post("keys/k/config"),
    post("encrypt/k", plaintext=I64, key_version=1),
    post("encrypt/k", batch_input=[{"plaintext": I64, "key_version": 1}, {"plaintext": I64}]),
    post("datakey/wrapped/k", key_version=1),
    post("hmac/k", input=I64, key_version=1),
    post("hmac/k", batch_input=[{"input": I64}], key_version=1),
    *[post("keys/k/trim", min_available_version=number) for number in (0, 2)],
    post("keys/k/trim"),
    post("keys/k/config", min_encryption_version=3),
    *[post("keys/k/trim", min_available_version=number) for number in (3, 9, 2, 1, 2)],
    get("keys/k"),
    post("keys/k/config", min_decryption_version=1),
    post("encrypt/k", plaintext=I64, key_version=2),
    post("hmac/k", input=I64, key_version=2),
    post("hmac/k", input=I64, key_version=1),
    post("verify/k", input=I64, hmac="vault:v1:AAAA"),
    *[
        get(f"export/encryption-key/k/{version}")
        for version in ("1", "2", "latest", "0", "x", "99", "-1")
    ],
    get("export/nope/k"),
    get("export/encryption-key/none"),
    get("backup/none"),
    post("keys/nx"),
    get("backup/nx"),
    post("keys/nx/config", exportable=True),
    get("backup/nx"),
    get("export/hmac-key/nx"),
    post("restore", backup="x"),
    post("restore"),
    post("restore/z", backup="W10="),
    post("restore/x/y", backup="e30="),
    ("DELETE", "transit/keys/k", None),
    post("keys/k/config", deletion_allowed=True),
    ("DELETE", "transit/keys/k", None),
    ("DELETE", "transit/keys/k", None),
    ("LIST", "transit/keys/", None),
    get("encrypt/k"),
    ("DELETE", "transit/encrypt/k", None),
    get("nope"),
    get("config"),
    get("wrapping_key"),
    post("wrapping_key"),
    ("LIST", "transit/keys", None),
    get("keys/import/wrapping-key"),
    post("encrypt/import/wrapping-key", plaintext=I64),
    get("cache-config"),
    post("cache-config"),
    *[post("cache-config", size=size) for size in (100, 5, -1, 0)],
    get("config/keys"),
    post("config/keys", disable_upsert=True),
    post("encrypt/newx", plaintext=I64),
    post("config/keys"),
    post("config/keys", disable_upsert=False),
    post("encrypt/newx", plaintext=I64),
]
MADE: list[Call] = [
    post("keys/k"),
    post("keys/d", derived=True),
    post("keys/cv", derived=True, convergent_encryption=True),
    post("keys/ed", type="ed25519"),
    post("keys/edd", type="ed25519", derived=True),
    post("keys/ec", type="ecdsa-p256"),
    post("keys/p384", type="ecdsa-p384"),
    post("keys/p521", type="ecdsa-p521"),
    post("keys/rsa", type="rsa-2048"),
    post("keys/hm", type="hmac", key_size=32),
]
TEXTS: list[Call] = [
    *MADE,
    post("encrypt/k"),
    *[
        post("encrypt/k", plaintext=text)
        for text in ("", None, "aGk", "aGk=aa", "aG k=", 5, {"a": 1}, "aG\nk=", "=", "a", "aG=k")
    ],
    *[post("encrypt/k", plaintext="aGk=", key_version=version) for version in (1, 2, -1, "x")],
    post("encrypt/k", plaintext="aGk=", context="!!"),
    post("encrypt/k", plaintext="aGk=", context=CTX),
    post("encrypt/k", plaintext="aGk=", associated_data="!!"),
    post("encrypt/k", plaintext="aGk=", associated_data="aGk="),
    post("encrypt/rsa", plaintext="aGk=", associated_data="aGk="),
    post("encrypt/rsa", plaintext=base64.b64encode(bytes(300)).decode()),
    post("encrypt/d", plaintext="aGk="),
    post("encrypt/d", plaintext="aGk=", context=""),
    post("encrypt/d", plaintext="aGk=", context=CTX),
    post("encrypt/cv", plaintext="", context=CTX),
    post("encrypt/up", plaintext="aGk="),
    get("keys/up"),
    post("encrypt/up2", plaintext="aGk=", type="nope"),
    post("encrypt/up2", plaintext="aGk=", type="hmac"),
    post("encrypt/up2", plaintext="aGk=", type="rsa-2048"),
    post("encrypt/up5", plaintext="aGk=", convergent_encryption=True),
    get("keys/up5"),
    post("encrypt/up6", plaintext="aGk=", convergent_encryption=True, context=CTX),
    get("keys/up6"),
    post("encrypt/up7", plaintext="aGk=", context=CTX),
    get("keys/up7"),
    post("encrypt/up8", plaintext="!!"),
    get("keys/up8"),
    post("encrypt/up9"),
    get("keys/up9"),
    post("encrypt/up10", batch_input=[{"plaintext": "aGk=", "context": CTX}, {"plaintext": ""}]),
    post("encrypt/up11", batch_input=[{"plaintext": "!!"}]),
    get("keys/up11"),
    post("decrypt/k"),
    *[
        post("decrypt/k", ciphertext=text)
        for text in (
            "",
            "nope",
            "vault:v9:AAAA",
            "vault:v1",
            "vault:vx:AAAA",
            "vault:v1:!!",
            "vault:v1:AAAA",
            "vault:v1:",
            "vault:v0:" + "A" * 80,
            "vault:v-1:" + "A" * 80,
            "vault:v+1:" + "A" * 80,
            "vault:v1:" + "A" * 80,
            "vault:v1:AAAA:x",
            "vault:v99999999999999999999:AAAA",
            "vault:v 1:AAAA",
            "vault:v1_0:AAAA",
        )
    ],
    *[post(f"decrypt/{key}", ciphertext="vault:v1:AAAA") for key in ("none", "ed", "d", "hm")],
    post("decrypt/rsa", ciphertext="vault:v1:AAAA"),
    post("decrypt/k", ciphertext="vault:v1:AAAA", context="!!"),
    post("decrypt/k", ciphertext="vault:v1:AAAA", associated_data="!!"),
    post("rewrap/k"),
    post("rewrap/none", ciphertext="vault:v1:AAAA"),
    post("rewrap/k", ciphertext="vault:v1:AAAA"),
    post("rewrap/ed", ciphertext="vault:v1:AAAA"),
    *[
        post("encrypt/k", batch_input=batch)
        for batch in (
            [],
            None,
            "x",
            5,
            False,
            {"a": 1},
            ["x"],
            [None],
            [{}],
            [{"plaintext": None}],
            [{"plaintext": 5}],
            [{"plaintext": "aGk=", "context": 5}],
            [{"plaintext": "aGk=", "key_version": "1"}],
            [{"plaintext": "aGk=", "reference": 5}],
            [{"plaintext": "aGk=", "reference": "r", "foo": 1}, {"plaintext": "aGk="}],
            [{"plaintext": "aGk=", "key_version": 7}, {"plaintext": "!!"}],
            [{"plaintext": "aGk=", "context": "!!"}],
            [{"plaintext": "aGk=", "associated_data": "!!"}, {"plaintext": ""}],
            [{"plaintext": 5}, {}, "x"],
        )
    ],
    *[
        post("encrypt/k", batch_input=batch, partial_failure_response_code=207)
        for batch in (
            [{"plaintext": "aGk="}, {"plaintext": "!!"}],
            [{"plaintext": "!!"}],
            [{"plaintext": "aGk="}],
        )
    ],
    post("encrypt/k", batch_input=[{"plaintext": "aGk="}], plaintext="!!"),
    post("encrypt/d", batch_input=[{"plaintext": "aGk="}], context=CTX),
    *[
        post("decrypt/k", batch_input=batch)
        for batch in (
            [],
            [{}],
            ["x"],
            [{"ciphertext": 5}],
            [{"ciphertext": "x"}, {"ciphertext": ""}],
            [{"ciphertext": "vault:v1:AAAA", "context": "!!", "reference": "r"}],
        )
    ],
    post("decrypt/none", batch_input=[{"ciphertext": "x"}]),
    post("decrypt/rsa", batch_input=[{"ciphertext": "vault:v1:AAAA"}]),
    *[
        post("rewrap/k", batch_input=batch)
        for batch in ([], ["x"], [{}], [{"ciphertext": 5, "reference": "r"}], "x", [None])
    ],
    *[
        post(f"datakey/{path}", **body)
        for path, body in (
            ("nope/k", {}),
            ("plaintext/k", {"bits": 100}),
            ("plaintext/k", {"bits": 128}),
            ("wrapped/k", {"bits": 512}),
            ("plaintext/none", {}),
            ("plaintext/d", {}),
            ("wrapped/d", {"context": CTX}),
            ("wrapped/d", {"context": "!!"}),
        )
    ],
]
MANNERS: list[dict[str, Any]] = [
    {},
    *[{"hash_algorithm": name} for name in ("sha1", "none", "nope", "", "sha3-512", "sha2-224")],
    {"algorithm": "sha2-512"},
    {"prehashed": True},
    {"prehashed": True, "hash_algorithm": "none"},
    *[{"signature_algorithm": name} for name in ("pkcs1v15", "nope", "pss")],
    {"signature_algorithm": "pkcs1v15", "hash_algorithm": "none"},
    {"signature_algorithm": "pkcs1v15", "hash_algorithm": "none", "prehashed": True},
    {"signature_algorithm": "pkcs1v15", "hash_algorithm": "sha3-256"},
    *[{"salt_length": length} for length in ("auto", "hash", "0", "-1", "5", "x", "-2", "1000")],
    {"salt_length": 5},
    *[{"marshaling_algorithm": name} for name in ("jws", "asn1", "nope")],
]
SIGNERS = ("ed", "ec", "p384", "p521", "rsa")
SIGNATURES: list[Call] = [
    *MADE,
    *[post(f"sign/{key}", input=I64, **manner) for key in SIGNERS for manner in MANNERS],
    post("sign/ed"),
    post("sign/ed", input="!!"),
    post("sign/none", input=I64),
    post("sign/k", input=I64),
    *[post("sign/ed", input=I64, key_version=version) for version in (1, 9, -1)],
    post("sign/ed/sha2-512", input=I64),
    post("sign/ec/sha2-384", input=I64, hash_algorithm="sha2-512"),
    post("sign/ec/nope", input=I64),
    post("sign/ed", input=I64, context="!!"),
    post("sign/edd", input=I64),
    post("sign/edd", input=I64, context=CTX),
    *[
        post("sign/ec", batch_input=batch)
        for batch in (
            [],
            ["x", 5],
            "x",
            [{"input": 5}, {"input": None}, {}, None],
            [{"input": I64, "reference": "r"}, {"input": "!!"}, {"input": I64, "context": "!!"}],
        )
    ],
    post("sign/ec", batch_input=[{"input": I64}], input="!!"),
    post("sign/edd", batch_input=[{"input": I64, "context": CTX}, {"input": I64}]),
    post("sign/k", batch_input=[{"input": I64}]),
    *[
        post(f"verify/{key}", input=I64, signature=signature)
        for key in (*SIGNERS, "k", "hm", "none")
        for signature in (
            "x",
            "vault:v1",
            "vault:v1:!!",
            "vault:v1:AAAA",
            "vault:v1:MAYCAQECAQE=",
            "vault:v1:MAYCAQECAQEA",
            "vault:v3:AAAA",
            "vault:v0:AAAA",
            "vault:vx:AAAA",
        )
    ],
    *[
        post(f"verify/{key}", input=I64, signature="vault:v1:AAAA", marshaling_algorithm="jws")
        for key in SIGNERS
    ],
    *[
        post(f"verify/{key}", input=I64, signature="vault:v1:AAAA", **manner)
        for key in ("ed", "rsa")
        for manner in MANNERS
    ],
    post("verify/ec", input=I64),
    post("verify/ec", input="!!", signature="vault:v1:AAAA"),
    post("verify/edd", input=I64, signature="vault:v1:AAAA"),
    post("verify/rsa", input=I64, signature="vault:v1:AAAA", salt_length="1000"),
    post("verify/rsa", input=I64, signature="vault:v1:AAAA", signature_algorithm="nope"),
    *[
        post("verify/ec", batch_input=batch)
        for batch in (
            [],
            ["x"],
            [{"input": I64}],
            [{"input": I64, "signature": "x"}, {"input": I64}],
            [{"input": I64, "hmac": "x"}, {"input": I64}],
            [{"input": I64, "hmac": "x"}, {"input": I64, "signature": "x"}],
            [{"input": I64, "signature": "x", "reference": "r"}, {"input": "!!", "signature": "y"}],
        )
    ],
]
MACS: list[Call] = [
    *MADE,
    post("hmac/k"),
    *[post("hmac/k", input=text) for text in ("", "!!", I64)],
    *[post(f"hmac/{key}", input=I64) for key in ("none", "d", "hm", "ed", "rsa")],
    *[post(f"hmac/k/{name}", input=I64) for name in ("sha2-512", "sha1", "nope")],
    post("hmac/k/sha2-224", input=I64, algorithm="nope"),
    post("hmac/k", input=I64, algorithm="sha3-256"),
    *[post("hmac/k", input=I64, key_version=version) for version in (1, 2, -1)],
    *[
        post("hmac/k", batch_input=batch)
        for batch in (
            [],
            ["x"],
            "x",
            {"a": 1},
            [{"input": I64, "reference": "r"}, {"input": "!!"}, {}, {"input": ""}, None],
            [{"input": 5}, {"input": None}, {"input": I64, "reference": 5}],
        )
    ],
    post("hmac/k", batch_input=[{"input": I64}], key_version=7),
    *[
        post("verify/k", input=I64, hmac=mac)
        for mac in ("x", "vault:v1:!!", "vault:v5:AAAA", "vault:vx:AAAA", "vault:v1", "vault:v0:A")
    ],
    post("verify/k", input=I64, hmac="vault:v1:AAAA"),
    post("verify/k", input="!!", hmac="vault:v1:AAAA"),
    post("verify/none", input=I64, hmac="vault:v1:AAAA"),
    post("verify/k", input=I64, hmac="vault:v1:AAAA", signature="x"),
    post("verify/k/nope", input=I64, hmac="vault:v1:AAAA"),
    *[
        post("verify/k", batch_input=batch)
        for batch in (
            [{"input": I64, "hmac": "vault:v1:AAAA"}, {"input": "!!", "hmac": "x"}],
            [{"input": I64, "signature": "x"}],
        )
    ],
    post("random"),
    *[post(f"random/{path}") for path in ("16", "x", "all/4", "seal", "nope/4", "platform")],
    post("random/platform/8", format="hex"),
    post("random", format="nope"),
    get("random"),
    post("hash"),
    post("hash", input=I64, format="base64"),
    *[post(f"hash/{name}", input=I64) for name in ("sha1", "sha3-224", "nope", "sha2-512/x")],
    post("hash", input="!!"),
    post("hash", input=I64, format="x"),
]
GROUPS = {"keys": KEYS, "texts": TEXTS, "signatures": SIGNATURES, "macs": MACS}

FREE = re.compile(r"error converting input|error parsing|json: cannot|unable to decode|kwp:")
"""Refusals whose text names Go's types or a value; ours does not, values are secrets."""
NOISE = [
    (re.compile(r"-----BEGIN ([^-]+)-----[^-]+-----END [^-]+-----"), r"<\1>"),
    (re.compile(r"vault:v(\d+):[A-Za-z0-9+/=_-]+"), r"vault:v\1:<secret>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
    (re.compile(r"^(?=.{22,})[A-Za-z0-9+/]+=*$"), "<base64>"),
]
VOLATILE = {"request_id", "random_bytes", "backup", "plaintext"}


def normal(value: Any, key: str = "") -> Any:
    """An answer without what differs from key to key."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k != "soft_deleted"}
        if "reference" in kept and kept.get("valid") is False:
            # Vault says so in every result of a batch, OpenBao only where it is true.
            del kept["valid"]
        return {k: f"<{k}>" if k in VOLATILE and v else normal(v, k) for k, v in kept.items()}
    if isinstance(value, list):
        return [normal(item, key) for item in value]
    if isinstance(value, str):
        for pattern, stand_in in NOISE:
            value = pattern.sub(stand_in, value)
        return value
    return "<epoch>" if isinstance(value, int) and value > 1_500_000_000 else value


async def ours(server: Running, call: Call) -> tuple[int, Any]:
    method, path, body = call
    path, _, query = path.partition("?")
    data = {**dict(pair.split("=", 1) for pair in query.split("&") if pair), **(body or {})}
    operation = {"GET": Operation.READ, "LIST": Operation.LIST, "DELETE": Operation.DELETE}.get(
        method, Operation.UPDATE
    )
    if operation is Operation.LIST:
        path = path.rstrip("/") + "/"
    try:
        response = await server.call(operation, path, data)
    except EngineError as error:
        return status_of(error), {"errors": error.messages}
    answer = answer_for("id", operation, path, response)
    return answer.status, json.loads(answer.body) if answer.body else {}


def opened(server: OpenBao) -> str:
    """Initialise and unseal it; the root token."""
    status, init = server.request("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
    assert status == 200
    key = base64.b64decode(init["keys_base64"][0]).hex()
    server.request("PUT", "sys/unseal", {"key": key})
    deadline = time.monotonic() + 20
    while server.request("GET", "sys/health")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return str(init["root_token"])


def is_same(mine: tuple[int, Any], theirs: tuple[int, Any]) -> bool:
    if mine == theirs:
        return True
    texts = ["".join((answer or {}).get("errors", [])) for _, answer in (mine, theirs)]
    return mine[0] == theirs[0] and FREE.search(texts[1]) is not None and bool(texts[0])


async def test_answers_are_those_of_openbao(tmp_path: Path) -> None:
    differences = []
    groups = {**GROUPS, **{kind: of_kind(kind) for kind in KINDS}}
    with running(tmp_path, tmp_path / "data") as bao:
        token = opened(bao)
        async with fresh(family="openbao") as server:
            for group, calls in groups.items():
                mount: Call = ("POST", "sys/mounts/transit", {"type": "transit"})
                assert (await ours(server, mount))[0] == bao.request(*mount, token)[0] == 204
                for call in calls:
                    mine, theirs = await ours(server, call), bao.request(*call, token)
                    mine, theirs = (mine[0], normal(mine[1])), (theirs[0], normal(theirs[1]))
                    if not is_same(mine, theirs):
                        differences.append((group, call, mine, theirs))
                unmount: Call = ("DELETE", "sys/mounts/transit", None)
                assert (await ours(server, unmount))[0] == bao.request(*unmount, token)[0] == 204
    assert not differences, "\n".join(
        f"{group} {call}\n  ours   {mine}\n  theirs {theirs}"
        for group, call, mine, theirs in differences
    )
