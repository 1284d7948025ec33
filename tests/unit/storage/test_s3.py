"""S3: options, what obstore's texts mean, retries, the access check, the cache."""

import asyncio
import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest
from obstore.exceptions import GenericError, InvalidPathError

from tests.support import s3_standin
from tests.support.s3_standin import Answer, Request, S3StandIn
from zvault.base.clock import ManualClock
from zvault.base.errors import PreconditionError
from zvault.base.secret import Secret
from zvault.storage import errors
from zvault.storage.api import Delete, Put
from zvault.storage.s3 import S3Storage
from zvault.storage.s3_errors import AlteredError, classify, to_error
from zvault.storage.s3_options import (
    RetryPolicy,
    S3Credentials,
    S3Options,
    credentials_from_environment,
    credentials_from_file,
)
from zvault.storage.s3_retry import Retrier

CREDENTIALS = S3Credentials("AKIAEXAMPLE", Secret("hunter2-is-the-secret"))
OPTIONS = S3Options("vault", CREDENTIALS, endpoint="http://127.0.0.1:1")

EMPTY_PAGE = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


async def no_wait(seconds: float) -> None:
    await asyncio.sleep(0)


def connect(standin: S3StandIn, **changes: object) -> S3Storage:
    options = replace(
        OPTIONS, endpoint=standin.endpoint, provider="b2", timeout_seconds=0.5, **changes
    )  # type: ignore[arg-type]
    return S3Storage.open(options, sleep=no_wait)


def test_the_provider_is_told_from_the_endpoint_and_b2_names_its_region() -> None:
    aws = S3Options("bucket", CREDENTIALS).check()
    assert (aws.provider, aws.region) == ("aws", "us-east-1")
    b2 = replace(aws, provider="", region="", endpoint="https://s3.eu-central-003.backblazeb2.com")
    assert (b2.check().provider, b2.check().region) == ("b2", "eu-central-003")
    other = replace(aws, provider="", endpoint="https://minio.example.com")
    assert other.check().provider == "generic"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bucket": "b"}, "bucket name"),
        ({"bucket": "with/slash"}, "bucket name"),
        ({"credentials": S3Credentials("", Secret("x"))}, "credentials are empty"),
        ({"credentials": S3Credentials("x", Secret(""))}, "credentials are empty"),
        ({"bucket": "my bucket"}, "bucket name"),
        ({"bucket": "x" * 64}, "bucket name"),
        ({"bucket": "b\u00fccket"}, "bucket name"),
        ({"credentials": S3Credentials("x\n", Secret("x"))}, "line end"),
        ({"credentials": S3Credentials("x", Secret("\u00fc"))}, "line end"),
        ({"credentials": S3Credentials("x", Secret("x"), Secret("a b"))}, "line end"),
        ({"region": "eu\nwest"}, "no region"),
        ({"endpoint": "ftp://x"}, "no URL"),
        ({"endpoint": "minio:9000"}, "no URL"),
        ({"endpoint": "https://"}, "no URL"),
        ({"endpoint": "http://[::1"}, "no URL"),
        ({"endpoint": "http://127.0.0.1:99999"}, "no URL"),
        ({"endpoint": "http://127.0.0.1:0"}, "no URL"),
        ({"endpoint": "http://999.1.1.1"}, "no URL"),
        ({"endpoint": "http://a b"}, "no URL"),
        ({"endpoint": "https://host/a b"}, "no URL"),
        ({"endpoint": "https://user:hunter2@ho st"}, "the S3 endpoint is no URL"),
        ({"endpoint": "https://user:pw@host"}, "carries a credential"),
        ({"endpoint": "http://minio.example.com"}, "not encrypted"),
        ({"endpoint": "http://127.0.0.1.example.com"}, "not encrypted"),
        ({"provider": "gopher"}, "no known S3 provider"),
        ({"prefix": "a/../b"}, "no clean path"),
        ({"prefix": "/a"}, "no clean path"),
        ({"endpoint": "https://s3.us-west-004.backblazeb2.com", "region": "eu"}, "does not fit"),
    ],
)
def test_options_that_cannot_be_right_are_refused_before_a_byte_leaves(
    changes: dict[str, object], said: str
) -> None:
    with pytest.raises(errors.S3OptionsError, match=said) as caught:
        replace(OPTIONS, **changes).check()  # type: ignore[arg-type]
    assert caught.value.hint
    assert "pw" not in caught.value.message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "[::1]"])
def test_plain_http_is_for_this_machine_or_an_explicit_word(host: str) -> None:
    replace(OPTIONS, endpoint=f"http://{host}:9000").check()
    replace(OPTIONS, endpoint="http://minio.example.com", allow_http=True).check()


def test_no_credential_shows_in_any_repr() -> None:
    store = S3Storage.open(OPTIONS)
    shown = repr(OPTIONS) + repr(store._bucket._store) + repr(store._bucket._store.config)
    assert "hunter2" not in shown + store.url + store.identity


def test_credentials_come_from_the_environment_by_provider() -> None:
    aws = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "t"}
    b2 = {"B2_APPLICATION_KEY_ID": "c", "B2_APPLICATION_KEY": "d"}
    assert credentials_from_environment({}) is None
    assert credentials_from_environment(aws) == S3Credentials("a", Secret("b"), Secret("t"))
    assert credentials_from_environment(aws | b2) == S3Credentials("a", Secret("b"), Secret("t"))
    assert credentials_from_environment(aws | b2, "b2") == S3Credentials("c", Secret("d"))
    assert credentials_from_environment(b2) == S3Credentials("c", Secret("d"))
    with pytest.raises(errors.S3OptionsError, match="B2_APPLICATION_KEY is not set"):
        credentials_from_environment({"B2_APPLICATION_KEY_ID": "c"})


def test_a_credentials_file_is_private_and_says_what_it_lacks(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("# mine\n[default]\naws_access_key_id = a\naws_secret_access_key='b=='\n")
    file.chmod(0o644)
    with pytest.raises(PreconditionError, match="0644"):
        credentials_from_file(file)
    file.chmod(0o600)
    assert credentials_from_file(file) == S3Credentials("a", Secret("b=="))
    file.write_text("export B2_APPLICATION_KEY_ID=c\nexport B2_APPLICATION_KEY=d\n")
    assert credentials_from_file(file) == S3Credentials("c", Secret("d"))
    file.write_text("hunter2\n")
    with pytest.raises(errors.S3OptionsError, match="line 1") as caught:
        credentials_from_file(file)
    assert "hunter2" not in caught.value.message
    file.write_text("")
    with pytest.raises(errors.S3OptionsError, match="no credentials"):
        credentials_from_file(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(errors.S3OptionsError, match="is no text"):
        credentials_from_file(file)
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("folder", "pipe"):
        with pytest.raises(errors.S3OptionsError, match="no regular file"):
            credentials_from_file(tmp_path / name)
    with pytest.raises(PreconditionError, match="cannot be looked at"):
        credentials_from_file(file / "below")


def answered(status: int, code: str) -> GenericError:
    return GenericError(
        f"Error performing GET http://h/b/k in 1ms - Server returned non-2xx status code: {status} "
        f"Some Words: <Error><Code>{code}</Code><Message>as it is</Message></Error>\n\nDebug source"
    )


@pytest.mark.parametrize(
    ("error", "kind", "transient"),
    [
        (answered(404, "NoSuchBucket"), errors.NoSuchBucketError, False),
        (answered(403, "InvalidAccessKeyId"), errors.UnknownKeyIdError, False),
        (answered(403, "SignatureDoesNotMatch"), errors.WrongSecretError, False),
        (answered(403, "AccessDenied"), errors.AccessDeniedError, False),
        (answered(403, "SomethingNew"), errors.AccessDeniedError, False),
        (answered(301, "PermanentRedirect"), errors.WrongRegionError, False),
        (answered(400, "AuthorizationHeaderMalformed"), errors.WrongRegionError, False),
        (answered(400, "InvalidArgument"), errors.StorageError, False),
        (answered(501, "NotImplemented"), errors.StorageError, False),
        (answered(500, "InternalError"), errors.StoreThrottledError, True),
        (answered(503, "SlowDown"), errors.StoreThrottledError, True),
        (answered(429, "TooManyRequests"), errors.StoreThrottledError, True),
        (answered(400, "RequestTimeout"), errors.StoreThrottledError, True),
        (GenericError("error sending request kind: Connect,"), errors.StoreUnreachableError, True),
        (GenericError("kind: Connect dns error"), errors.StoreUnreachableError, True),
        (GenericError("HttpError { kind: Timeout }"), errors.StoreUnreachableError, True),
        (GenericError("error decoding response body"), errors.StoreUnreachableError, True),
        (
            GenericError("kind: Connect invalid peer certificate: UnknownIssuer"),
            errors.StoreUnreachableError,
            False,
        ),
        (InvalidPathError('"a//b" has an empty path segment'), errors.StorageError, False),
        (AlteredError(), errors.StoreUnreachableError, True),
    ],
)  # fmt: skip
def test_each_cause_is_its_own_error_with_a_sentence_and_a_hint(
    error: Exception, kind: type[errors.StorageError], transient: bool
) -> None:
    failure = classify(error)
    assert failure.transient is transient
    assert not failure.absent
    made = to_error(failure, provider="b2", store="s3://b", key="k")
    if kind is errors.StorageError:
        assert isinstance(made, errors.StorageError)
    else:
        assert type(made) is kind
    assert (made.provider, made.store, made.key) == ("b2", "s3://b", "k")
    assert made.cause in made.message
    assert made.hint
    assert "Debug source" not in made.message


def test_the_causes_a_user_mixes_up_have_five_different_sentences() -> None:
    causes = {
        classify(error).cause
        for error in (
            answered(404, "NoSuchBucket"),
            answered(403, "InvalidAccessKeyId"),
            answered(403, "SignatureDoesNotMatch"),
            answered(301, "PermanentRedirect"),
            answered(403, "AccessDenied"),
            GenericError("kind: Connect"),
        )
    }
    assert len(causes) == 6


def test_only_no_such_key_means_absent() -> None:
    assert classify(FileNotFoundError(str(answered(404, "NoSuchKey")))).absent
    for text in ("Object not found: 404 page of a proxy", str(answered(404, "NoSuchBucket"))):
        assert not classify(FileNotFoundError(text)).absent


async def test_a_missing_bucket_never_reads_as_an_absent_key() -> None:
    async with s3_standin.running(bucket="another") as standin:
        store = connect(standin)
        with pytest.raises(errors.NoSuchBucketError):
            await store.get("core/keyring")
        with pytest.raises(errors.NoSuchBucketError):
            await store.list("")


async def test_a_404_that_is_no_s3_answer_never_reads_as_an_absent_key() -> None:
    async with s3_standin.running() as standin:
        standin.always = lambda request: Answer(404, b"<html>nothing here</html>")
        with pytest.raises(errors.StorageError):
            await connect(standin).get("core/keyring")


async def test_retries_stop_at_the_last_attempt_and_say_how_many() -> None:
    async with s3_standin.running() as standin:
        standin.always = lambda request: s3_standin.error(503, "SlowDown")
        store = connect(standin, retry=RetryPolicy(attempts=5))
        with pytest.raises(errors.StoreThrottledError, match="after 5 attempts"):
            await store.get("k")
        assert (standin.requests, store.retries) == (5, 4)


async def test_what_will_not_change_is_not_retried() -> None:
    async with s3_standin.running() as standin:
        standin.always = lambda request: s3_standin.error(403, "AccessDenied")
        with pytest.raises(errors.AccessDeniedError):
            await connect(standin).apply([Put("k", b"")])
        assert standin.requests == 1


async def test_the_deadline_ends_the_retries_before_the_attempts_do() -> None:
    clock, waits = ManualClock(), []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.advance(seconds)

    policy = RetryPolicy(attempts=100, first_seconds=1, cap_seconds=8, deadline_seconds=20)
    retrier = Retrier(policy, "b2", "s3://b", clock, sleep, jitter=lambda: 1.0)

    async def fail() -> None:
        raise answered(500, "InternalError")

    with pytest.raises(errors.StoreThrottledError):
        await retrier.run(fail, "k")
    assert waits == [1, 2, 4, 8]
    assert retrier.retries == 4


def test_jitter_spreads_a_pause_over_its_whole_step() -> None:
    chances = itertools.cycle([0.0, 0.5, 1.0])
    retrier = Retrier(
        RetryPolicy(first_seconds=1, cap_seconds=3), "b2", "s", ManualClock(),
        jitter=lambda: next(chances),
    )  # fmt: skip
    assert [retrier.pause_seconds(number) for number in (1, 2, 3, 4)] == [0, 1, 3, 0]


async def test_a_put_answered_with_another_digest_is_read_back_before_it_is_believed() -> None:
    async with s3_standin.running() as standin:
        corrupt = {"left": 2}

        def corrupting(request: Request) -> Answer | None:
            if request.method == "PUT" and corrupt["left"]:
                corrupt["left"] -= 1
                standin.objects[request.key] = request.body + b"?"
                return Answer(200, headers={"ETag": standin.etag(request.body + b"?")})
            return None

        standin.always = corrupting
        store = connect(standin)
        await store.apply([Put("k", b"value")])
        assert standin.objects["k"] == b"value"
        assert store.retries == 2
        corrupt["left"] = 1000
        with pytest.raises(errors.StorageError, match="other bytes than were sent"):
            await store.apply([Put("k", b"new value")])
        assert await store.get("k") != b"new value"


@pytest.mark.parametrize("tag", ['"opaque"', f'"{"0" * 32}-2"', ""])
async def test_a_put_whose_tag_is_no_digest_is_read_back_before_it_is_believed(tag: str) -> None:
    async with s3_standin.running() as standin:
        standin.always = lambda request: (
            Answer(200, headers={"ETag": tag}) if request.method == "PUT" else None
        )
        with pytest.raises(errors.StorageError):
            await connect(standin).apply([Put("k", b"value")])


async def test_a_put_that_failed_is_not_remembered_as_what_the_store_holds() -> None:
    async with s3_standin.running() as standin:
        store = S3Storage.open(replace(OPTIONS, endpoint=standin.endpoint), cache_bytes=1 << 20)
        await store.apply([Put("a", b"old"), Put("b", b"old")])
        standin.always = lambda request: (
            s3_standin.error(403, "AccessDenied") if request.method == "PUT" else None
        )
        with pytest.raises(errors.AccessDeniedError):
            await store.apply([Put("a", b"new"), Put("b", b"new")])
        assert (await store.get("a"), await store.get("b")) == (b"old", b"old")


async def test_operations_stop_at_the_first_failure() -> None:
    async with s3_standin.running() as standin:
        standin.always = lambda request: (
            s3_standin.error(403, "AccessDenied") if request.key == "b" else None
        )
        with pytest.raises(errors.AccessDeniedError, match="'b'"):
            await connect(standin).apply([Put("a", b"1"), Put("b", b"2"), Put("c", b"3")])
        assert standin.objects == {"a": b"1"}


async def test_a_cached_read_sends_nothing_and_never_suspends() -> None:
    async with s3_standin.running() as standin:
        options = replace(OPTIONS, endpoint=standin.endpoint)
        store = S3Storage.open(options, cache_bytes=1 << 20)
        await store.apply([Put("a", b"1")])
        sent = standin.requests
        with pytest.raises(StopIteration):
            store.get("a").send(None)
        assert standin.requests == sent
        await store.apply([Delete("a")])
        assert await store.get("a") is None


async def test_without_a_cache_each_read_asks_the_provider() -> None:
    async with s3_standin.running() as standin:
        store = connect(standin)
        await store.apply([Put("a", b"1")])
        standin.objects["a"] = b"altered behind our back"
        assert await store.get("a") == b"altered behind our back"


async def test_a_put_that_seemed_to_fail_leaves_no_probe_behind() -> None:
    async with s3_standin.running() as standin:

        def refuse(request: Request) -> Answer | None:
            if request.method != "PUT":
                return None
            standin.objects[request.key] = request.body
            return s3_standin.error(403, "AccessDenied")

        standin.always = refuse
        with pytest.raises(errors.AccessDeniedError, match="put was refused"):
            await connect(standin).check_access()
        assert standin.objects == {}


async def test_an_unknown_code_is_shown_with_the_providers_words_in_one_line() -> None:
    failure = classify(
        GenericError("status code: 418 x: <Code>Teapot</Code><Message>a\n b</Message>")
    )
    assert failure.cause == "the provider answered 418 Teapot: a b"


async def test_a_reader_caches_nothing_and_refuses_to_write() -> None:
    async with s3_standin.running() as standin:
        options = replace(OPTIONS, endpoint=standin.endpoint)
        store = S3Storage.open(options, read_only=True, cache_bytes=1 << 20)
        standin.objects["a"] = b"1"
        assert await store.get("a") == b"1"
        standin.objects["a"] = b"2"
        assert await store.get("a") == b"2"
        with pytest.raises(errors.ReadOnlyStoreError):
            await store.apply([Put("a", b"3")])
        with pytest.raises(errors.ReadOnlyStoreError):
            await store.check_access()


@pytest.mark.row("A5.3")
@pytest.mark.parametrize("step", ["list", "put", "get", "delete"])
async def test_the_access_check_names_the_step_that_is_refused(step: str) -> None:
    async with s3_standin.running() as standin:

        def refuse(request: Request) -> Answer | None:
            kind = {"PUT": "put", "DELETE": "delete"}.get(request.method, "")
            kind = kind or ("get" if request.key else "list")
            return s3_standin.error(403, "AccessDenied") if kind == step else None

        standin.always = refuse
        with pytest.raises(errors.AccessDeniedError, match=f"{step} was refused"):
            await connect(standin).check_access()


@pytest.mark.row("A5.3")
async def test_the_access_check_leaves_nothing_and_believes_nothing() -> None:
    async with s3_standin.running() as standin:
        assert await connect(standin).check_access() == ("list", "put", "get", "delete")
        assert standin.objects == {}
        standin.always = lambda request: Answer(204) if request.method == "DELETE" else None
        with pytest.raises(errors.StorageError, match="still finds"):
            await connect(standin).check_access()
        standin.always = lambda request: Answer(200, EMPTY_PAGE) if not request.key else None
        with pytest.raises(errors.StorageError, match="list does not show"):
            await connect(standin).check_access()


async def test_a_listing_out_of_order_is_an_error_and_no_shorter_listing() -> None:
    async with s3_standin.running() as standin:
        standin.objects = {"p/a": b"1", "p/b": b"2"}
        rows = "".join(standin._row(name) for name in ("p/b", "p/a"))
        page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
        answers = iter([Answer(200, page.encode()), Answer(200, EMPTY_PAGE)])
        standin.always = lambda request: None if request.key else next(answers)
        with pytest.raises(errors.StorageError, match="not in order"):
            _ = [info async for info in connect(standin).list_objects()]


async def test_an_endpoint_where_nobody_listens_is_said_to_be_unreachable() -> None:
    store = S3Storage.open(replace(OPTIONS, retry=RetryPolicy(attempts=2)), sleep=no_wait)
    with pytest.raises(errors.StoreUnreachableError, match="no connection"):
        await store.check_access()


async def test_a_name_of_more_than_1024_bytes_is_refused_here() -> None:
    store = S3Storage.open(replace(OPTIONS, prefix="p" * 100))
    with pytest.raises(errors.InvalidKeyError, match="1024 bytes"):
        await store.apply([Put("ü" * 470, b"")])


async def test_objects_with_unclean_names_below_the_prefix_are_an_error_and_not_left_out() -> None:
    async with s3_standin.running() as standin:
        standin.objects = {"a": b"1", "b//c": b"2"}
        with pytest.raises(errors.StorageError):
            _ = [info async for info in connect(standin).list_objects()]
