"""Transit in one store, two servers in turn: what one made the other opens, verifies and goes on
with. Every kind of key, derived and convergent ones too, after rotation, trimming and import."""

import base64
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from tests.integration.test_openbao_interop import engine, opened, unseal
from tests.support.openbao import OpenBao, running
from tests.support.running import Running
from zvault.base.clock import SystemClock
from zvault.engine.api import Operation

pytestmark = pytest.mark.real("openbao-2.6.2")

Call = Callable[..., Awaitable[dict[str, Any]]]
Proof = tuple[str, dict[str, Any], dict[str, Any]]
"""A path, a body, and what the other server must answer."""
I64 = "aGVsbG8="
CTX, OTHER_CTX = "Y3R4", "b3RoZXI="
AEADS = ("aes128-gcm96", "aes256-gcm96", "chacha20-poly1305")
SIGNERS = ("ed25519", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "rsa-3072")
MANNERS: tuple[dict[str, Any], ...] = (
    {},
    {"hash_algorithm": "sha2-512", "marshaling_algorithm": "jws"},
    {"hash_algorithm": "sha1"},
    {"hash_algorithm": "sha3-384"},
)
RSA_MANNERS: tuple[dict[str, Any], ...] = (
    {"salt_length": "hash"},
    {"salt_length": "7"},
    {"signature_algorithm": "pkcs1v15", "hash_algorithm": "sha2-384"},
    {"signature_algorithm": "pkcs1v15", "hash_algorithm": "sha3-256"},
    {"signature_algorithm": "pkcs1v15", "hash_algorithm": "none", "prehashed": True},
    {"hash_algorithm": "sha2-256", "prehashed": True},
)


async def proofs_of_a_key(call: Call, name: str, kind: str) -> list[Proof]:
    """What a key of that kind can do, done with each of its versions."""
    proofs: list[Proof] = []
    mac = (await call("POST", f"hmac/{name}/sha2-512", input=I64))["hmac"]
    proofs.append((f"verify/{name}/sha2-512", {"input": I64, "hmac": mac}, {"valid": True}))
    if kind in AEADS or kind.startswith(("rsa", "xchacha")):
        made = await call("POST", f"encrypt/{name}", plaintext=I64)
        body = {"ciphertext": made["ciphertext"]}
        proofs.append((f"decrypt/{name}", body, {"plaintext": I64}))
    if kind in AEADS or kind.startswith("xchacha"):
        made = await call("POST", f"encrypt/{name}", plaintext="", associated_data=CTX)
        body = {"ciphertext": made["ciphertext"], "associated_data": CTX}
        proofs.append((f"decrypt/{name}", body, {"plaintext": ""}))
        made = await call("POST", f"datakey/plaintext/{name}", bits=128)
        body = {"ciphertext": made["ciphertext"]}
        proofs.append((f"decrypt/{name}", body, {"plaintext": made["plaintext"]}))
    if kind in SIGNERS:
        proofs += await proofs_of_signatures(call, name, kind)
    return proofs


async def proofs_of_signatures(call: Call, name: str, kind: str) -> list[Proof]:
    manners = MANNERS + (RSA_MANNERS if kind.startswith("rsa") else ())
    if kind.startswith("ecdsa"):
        manners += ({"prehashed": True},)
    proofs: list[Proof] = []
    for manner in manners:
        needs_digest = manner.get("prehashed") and kind.startswith("rsa")
        text = base64.b64encode(bytes(range(32))).decode() if needs_digest else I64
        made = await call("POST", f"sign/{name}", input=text, **manner)
        body = {"input": text, "signature": made["signature"], **manner}
        proofs.append((f"verify/{name}", body, {"valid": True}))
        other = base64.b64encode(bytes(32)).decode()
        proofs.append((f"verify/{name}", {**body, "input": other}, {"valid": False}))
    return proofs


async def proofs_of_derived(call: Call, name: str, kind: str) -> list[Proof]:
    """The same for derived keys, of two contexts."""
    proofs: list[Proof] = []
    for context in (CTX, OTHER_CTX):
        if kind == "ed25519":
            made = await call("POST", f"sign/{name}", input=I64, context=context)
            body = {"input": I64, "context": context, "signature": made["signature"]}
            proofs.append((f"verify/{name}", body, {"valid": True}))
            continue
        made = await call("POST", f"encrypt/{name}", plaintext=I64, context=context)
        body = {"ciphertext": made["ciphertext"], "context": context}
        proofs.append((f"decrypt/{name}", body, {"plaintext": I64}))
        if name.startswith("cv"):
            # The other server makes the very same ciphertext.
            body = {"plaintext": I64, "context": context}
            proofs.append((f"encrypt/{name}", body, made))
    return proofs


async def made_by(call: Call, who: str, kinds: tuple[str, ...]) -> list[Proof]:
    """A key of every kind with three versions, one of them trimmed, and proofs of the others."""
    proofs: list[Proof] = []
    for kind in kinds:
        name = f"{who}-{kind}"
        size = {"key_size": 64} if kind == "hmac" else {}
        await call("POST", f"keys/{name}", type=kind, exportable=True, **size)
        await call("POST", f"keys/{name}/rotate")
        proofs += await proofs_of_a_key(call, name, kind)
        await call("POST", f"keys/{name}/rotate")
        proofs += await proofs_of_a_key(call, name, kind)
        await call("POST", f"keys/{name}/config", min_decryption_version=2)
        await call("POST", f"keys/{name}/config", min_encryption_version=2)
        await call("POST", f"keys/{name}/trim", min_available_version=2)
    for kind in (*AEADS, *(k for k in kinds if k.startswith("xchacha")), "ed25519"):
        await call("POST", f"keys/d-{who}-{kind}", type=kind, derived=True)
        proofs += await proofs_of_derived(call, f"d-{who}-{kind}", kind)
        if kind != "ed25519":
            wish = {"type": kind, "derived": True, "convergent_encryption": True}
            await call("POST", f"keys/cv-{who}-{kind}", **wish)
            proofs += await proofs_of_derived(call, f"cv-{who}-{kind}", kind)
    return proofs


async def goes_on_with(call: Call, who: str, kinds: tuple[str, ...]) -> None:
    """The other server's keys rotate, are backed up and come back under another name."""
    for kind in kinds:
        name = f"{who}-{kind}"
        before = await call("GET", f"keys/{name}")
        after = await call("POST", f"keys/{name}/rotate")
        assert after["latest_version"] == before["latest_version"] + 1
        await call("POST", f"keys/{name}/config", allow_plaintext_backup=True)
        backup = (await call("GET", f"backup/{name}"))["backup"]
        await call("POST", f"restore/again-{name}", backup=backup)
        again = await call("GET", f"keys/again-{name}")
        assert again.get("keys") == after.get("keys")


async def check(call: Call, proofs: list[Proof]) -> None:
    """Every proof holds."""
    for path, body, expected in proofs:
        found = await call("POST", path, **body)
        assert {name: found[name] for name in expected} == expected, path


def of_engine(server: Running) -> Call:
    """Calls to the engine."""

    async def call(method: str, path: str, **body: Any) -> dict[str, Any]:
        operation = Operation.READ if method == "GET" else Operation.UPDATE
        if operation is Operation.UPDATE and path.startswith("encrypt/"):
            assert await server.read(f"transit/keys/{path.split('/')[1]}")
        response = await server.call(operation, f"transit/{path}", body)
        return {} if response is None or response.data is None else dict(response.data)

    return call


def of_openbao(bao: OpenBao, token: str) -> Call:
    """Calls to OpenBao."""

    async def call(method: str, path: str, **body: Any) -> dict[str, Any]:
        status, answer = bao.request(method, f"transit/{path}", body or None, token)
        assert status in (200, 204), (path, body, answer)
        return answer.get("data") or {}

    return call


async def imports(call: Call, who: str) -> list[Proof]:
    """Keys that were made here are wrapped and imported."""
    pem = (await call("GET", "wrapping_key"))["public_key"]
    wrapping = load_pem_public_key(pem.encode())
    assert isinstance(wrapping, rsa.RSAPublicKey)

    def wrapped(content: bytes) -> str:
        key = os.urandom(32)
        oaep = padding.OAEP(mgf=padding.MGF1(SHA256()), algorithm=SHA256(), label=None)
        both = wrapping.encrypt(key, oaep) + aes_key_wrap_with_padding(key, content)
        return base64.b64encode(both).decode()

    made = {
        "rsa-2048": rsa.generate_private_key(65537, 2048),
        "ecdsa-p256": ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    proofs: list[Proof] = []
    for kind, key in made.items():
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        name = f"in-{who}-{kind}"
        await call("POST", f"keys/{name}/import", type=kind, ciphertext=wrapped(der))
        proofs += await proofs_of_a_key(call, name, kind)
    name = f"in-{who}-aes"
    await call("POST", f"keys/{name}/import", ciphertext=wrapped(os.urandom(32)))
    await call("POST", f"keys/{name}/import_version", ciphertext=wrapped(os.urandom(32)))
    return proofs + await proofs_of_a_key(call, name, "aes256-gcm96")


@pytest.mark.parametrize("family", ["openbao", "vault"])
async def test_each_opens_and_goes_on_with_what_the_other_made(family: str, tmp_path: Path) -> None:
    # Number 11 is an HMAC key to Vault and an XChaCha20 key to OpenBao.
    own = ("xchacha20-poly1305", "hmac") if family == "openbao" else ()
    kinds = (*AEADS, *SIGNERS, *own)
    data = tmp_path / "data"
    data.mkdir()
    core = await engine(data, family)
    made = await core.initialize(3, 2)
    keys = [key.reveal() for key in made.keys]
    root = made.root_token.reveal_text()
    server = Running(core, SystemClock(), keys, root)  # type: ignore[arg-type]
    await server.unseal()
    await server.write("sys/mounts/transit", type="transit")
    proofs = await made_by(of_engine(server), "zv", kinds)
    proofs += await imports(of_engine(server), "zv")
    assert len(proofs) > 150
    await check(of_engine(server), proofs)
    await core.shutdown()
    with running(tmp_path, data) as bao:
        unseal(bao, keys)
        call = of_openbao(bao, root)
        await check(call, proofs)
        await goes_on_with(call, "zv", kinds)
        proofs += await made_by(call, "ob", kinds)
        proofs += await imports(call, "ob")
        bao.stop()
    again = await opened(data, keys, root)
    await check(of_engine(again), proofs)
    await goes_on_with(of_engine(again), "ob", kinds)
    await goes_on_with(of_engine(again), "again-zv", kinds)
    await check(of_engine(again), proofs)
    await again.core.shutdown()
