"""A new root token against a quorum of shares."""

import pytest

from tests.support.running import Running, fresh
from tests.support.shareholders import ask, get, put, rekey
from zvault.barrier.paths import STORED_KEYS
from zvault.barrier.seal import seal_stored_keys
from zvault.base.secret import Secret
from zvault.crypto.one_time_pad import decode_token, encode_token
from zvault.engine.api import Operation
from zvault.engine.errors import EngineError, EngineSealedError, InvalidRequestError
from zvault.storage.api import Put


async def generated(server: Running, otp: str = "") -> tuple[str, str]:
    """The encoded token and its pad."""
    begun = await put(server, "generate-root/attempt", **({"otp": otp} if otp else {}))
    answer = begun
    for key in server.keys[: begun["required"]]:
        answer = await put(server, "generate-root/update", key=key.hex(), nonce=begun["nonce"])
    assert answer["complete"] is True
    assert answer["encoded_token"] == answer["encoded_root_token"]
    return answer["encoded_token"], otp or begun["otp"]


@pytest.mark.parametrize(("family", "length"), [("vault", 28), ("openbao", 26)])
async def test_a_quorum_gets_a_root_token_for_ever(family: str, length: int) -> None:
    async with fresh(shares=3, threshold=2, family=family) as server:
        assert (await get(server, "generate-root/attempt"))["otp_length"] == length
        encoded, otp = await generated(server)
        assert len(otp) == length
        decoded = await put(server, "decode-token", encoded_token=encoded, otp=otp)
        found = await server.read("auth/token/lookup-self", decoded["token"])
        assert found is not None
        assert found["policies"] == ["root"]
        assert (found["orphan"], found["ttl"], found["expire_time"]) == (True, 0, None)
        assert (found["path"], found["display_name"]) == ("auth/token/root", "root")
        assert (await get(server, "generate-root/attempt"))["started"] is False


async def test_who_brings_the_pad_is_not_told_it_again() -> None:
    async with fresh(shares=3, threshold=2) as server:
        begun = await put(server, "generate-root/attempt", otp="x" * 28)
        assert begun["otp"] == ""
        await ask(server, Operation.DELETE, "generate-root/attempt")
        encoded, otp = await generated(server, "y" * 28)
        assert await server.alive(decode_token(encoded, otp))


async def test_nobody_but_the_first_answer_is_told_the_pad() -> None:
    async with fresh(shares=3, threshold=2) as server:
        begun = await put(server, "generate-root/attempt")
        assert len(begun["otp"]) == 28
        assert (await get(server, "generate-root/attempt"))["otp"] == ""
        key = server.keys[0].hex()
        update = await put(server, "generate-root/update", key=key, nonce=begun["nonce"])
        assert (update["otp"], update["progress"], update["complete"]) == ("", 1, False)


async def test_wrong_shares_make_no_token() -> None:
    async with fresh(shares=3, threshold=2) as server:
        tokens = await server.list("auth/token/accessors/")
        nonce = (await put(server, "generate-root/attempt"))["nonce"]
        for wrong in ("00" * 32 + "99", "00" * 20, "11" * 32 + server.keys[0][-1:].hex()):
            await put(server, "generate-root/update", key=server.keys[0].hex(), nonce=nonce)
            with pytest.raises(InvalidRequestError):
                await put(server, "generate-root/update", key=wrong, nonce=nonce)
            status = await get(server, "generate-root/attempt")
            assert (status["progress"], status["started"]) == (0, True)
        assert await server.list("auth/token/accessors/") == tokens


async def test_shares_that_open_another_root_key_than_the_one_in_use_make_no_token() -> None:
    async with fresh() as server:
        other = seal_stored_keys(Secret(server.keys[0]), Secret(b"x" * 32), b"n" * 12)
        await server.core.storage.apply([Put(STORED_KEYS, other)])
        nonce = (await put(server, "generate-root/attempt"))["nonce"]
        with pytest.raises(InvalidRequestError, match="root key verification failed"):
            await put(server, "generate-root/update", key=server.keys[0].hex(), nonce=nonce)


async def test_shares_count_once_with_the_nonce_and_only_while_one_runs() -> None:
    async with fresh(shares=3, threshold=2) as server:
        key = server.keys[0].hex()
        with pytest.raises(InvalidRequestError, match="no root generation in progress"):
            await put(server, "generate-root/update", key=key, nonce="x")
        nonce = (await put(server, "generate-root/attempt"))["nonce"]
        with pytest.raises(InvalidRequestError, match="root generation already in progress"):
            await put(server, "generate-root/attempt")
        with pytest.raises(InvalidRequestError, match=f'root generation operation is "{nonce}"'):
            await put(server, "generate-root/update", key=key, nonce="bad")
        await put(server, "generate-root/update", key=key, nonce=nonce)
        with pytest.raises(InvalidRequestError, match="already been provided"):
            await put(server, "generate-root/update", key=key, nonce=nonce)
        await server.core.seal()
        with pytest.raises(EngineSealedError):
            await get(server, "generate-root/attempt")
        await server.unseal()
        assert (await get(server, "generate-root/attempt"))["started"] is False


async def test_after_a_rekey_the_old_shares_make_no_token() -> None:
    async with fresh(shares=3, threshold=2) as server:
        nonce = (await put(server, "generate-root/attempt"))["nonce"]
        await put(server, "generate-root/update", key=server.keys[0].hex(), nonce=nonce)
        await rekey(server, 3, 2)
        with pytest.raises(InvalidRequestError, match="root generation aborted"):
            await put(server, "generate-root/update", key=server.keys[1].hex(), nonce=nonce)


@pytest.mark.parametrize(
    "wish", [{"otp": "short"}, {"otp": "x" * 29}, {"pgp_key": "x"}, {"otp": 5}]
)
async def test_a_pad_that_does_not_fit_is_refused(wish: dict[str, object]) -> None:
    async with fresh() as server:
        with pytest.raises(InvalidRequestError):
            await put(server, "generate-root/attempt", **wish)
        assert (await get(server, "generate-root/attempt"))["started"] is False


async def test_openbaos_command_line_needs_a_token_for_the_same() -> None:
    async with fresh(shares=3, threshold=2) as server:
        with pytest.raises(EngineError, match="permission denied"):
            await get(server, "generate-root-token/attempt")
        response = await server.write("sys/generate-root-token/attempt")
        assert response is not None
        assert response.data is not None
        nonce = response.data["nonce"]
        assert (await get(server, "generate-root/attempt"))["nonce"] == nonce


@pytest.mark.parametrize(
    ("encoded", "otp", "text"),
    [
        ("", "x", "is empty"),
        ("AAAA", "", "is empty"),
        ("AAAA", "x", "3 != 1"),
        ("!!!", "abc", "illegal base64 data at input byte 0"),
        ("AAAA=", "abc", "illegal base64 data at input byte 4"),
        ("AAAAA", "abc", "illegal base64 data at input byte 5"),
    ],
)
async def test_what_is_no_encoded_token_is_refused(encoded: str, otp: str, text: str) -> None:
    async with fresh() as server:
        with pytest.raises(InvalidRequestError, match=text):
            await put(server, "decode-token", encoded_token=encoded, otp=otp)


def test_a_pad_taken_off_gives_the_token_again() -> None:
    token, pad = "hvs.abcdefghijklmnopqrstuvwx", "0123456789abcdefghijABCDEFGH"
    assert decode_token(encode_token(Secret(token), Secret(pad)), pad) == token
