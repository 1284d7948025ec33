"""The private CA: what it signs serves, what does not fit is named, nothing is overwritten."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from zvault.base.atomic_file import write_atomic
from zvault.base.clock import ManualClock
from zvault.base.errors import PreconditionError, UsageError
from zvault.ops.tls.authority import issue, make_authority
from zvault.ops.tls.check import check_files, check_pair, problem_of
from zvault.ops.tls.errors import TlsBadPairError, TlsExistsError, TlsFileError
from zvault.ops.tls.files import TlsPaths, load_authority, load_pair
from zvault.ops.tls.renewal import init, renew, utc

DAY = 86_400


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def paths(tmp_path: Path, clock: ManualClock) -> TlsPaths:
    made = TlsPaths.in_directory(tmp_path / "tls")
    init(made, ["vault.example.kz", "10.0.0.7"], clock, name="test CA")
    return made


def test_a_fresh_pair_is_good_and_names_loopback_and_the_given_hosts(
    paths: TlsPaths, clock: ManualClock
) -> None:
    wanted = ["localhost", "127.0.0.1", "::1", "vault.example.kz", "10.0.0.7"]
    report = check_files(paths, utc(clock), wanted, min_days=30)
    assert report.problems == ()
    assert set(report.hosts) == set(wanted)
    assert report.days_left == 90


def test_keys_are_private_and_certificates_are_not(paths: TlsPaths) -> None:
    for path in (paths.key, paths.ca_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.certificate.stat().st_mode) == 0o644


def test_nothing_is_overwritten(paths: TlsPaths, clock: ManualClock) -> None:
    before = paths.ca.read_bytes()
    with pytest.raises(TlsExistsError):
        init(paths, [], clock, name="another")
    assert paths.ca.read_bytes() == before


def test_renewing_keeps_ca_key_and_names_and_changes_the_serial(
    paths: TlsPaths, clock: ManualClock
) -> None:
    before, ca = check_files(paths, utc(clock)), paths.ca.read_bytes()
    clock.advance(80 * DAY)
    after = renew(paths, None, clock)
    assert paths.ca.read_bytes() == ca
    assert (after.spki_pin, set(after.hosts)) == (before.spki_pin, set(before.hosts))
    assert after.serial != before.serial
    assert after.days_left == 90


def test_a_pair_that_is_not_on_the_disk_afterwards_is_no_success(
    paths: TlsPaths, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zvault.ops.tls.renewal.write_pair", lambda paths, pair: None)
    with pytest.raises(TlsFileError, match="did not keep"):
        renew(paths, None, clock)


def test_a_new_key_is_made_on_request_and_fits(paths: TlsPaths, clock: ManualClock) -> None:
    before = check_files(paths, utc(clock))
    after = renew(paths, ["other.example.kz"], clock, new_key=True)
    assert after.spki_pin != before.spki_pin
    assert "vault.example.kz" not in after.hosts
    assert problem_of(paths, utc(clock), ["other.example.kz"]) == ""


def test_of_a_new_pair_the_certificate_is_renamed_last(
    paths: TlsPaths, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def noted(path: Path, content: bytes, mode: int) -> None:
        written.append(path)
        write_atomic(path, content, mode)

    monkeypatch.setattr("zvault.ops.tls.files.write_atomic", noted)
    renew(paths, None, clock, new_key=True)
    assert written == [paths.key, paths.certificate]


@pytest.mark.parametrize(("days", "said"), [(65, "less than 30"), (91, "expired")])
def test_time_running_out_is_said(
    paths: TlsPaths, clock: ManualClock, days: int, said: str
) -> None:
    clock.advance(days * DAY)
    assert said in problem_of(paths, utc(clock), min_days=30)


def test_a_clock_before_the_certificate_is_said(paths: TlsPaths, clock: ManualClock) -> None:
    clock.advance(-2 * DAY)
    assert "not valid yet" in problem_of(paths, utc(clock))


def test_another_ca_does_not_vouch(paths: TlsPaths, clock: ManualClock) -> None:
    other = make_authority("test CA", utc(clock))
    problems = check_pair(load_pair(paths), other.certificate, utc(clock)).problems
    assert any("does not vouch" in problem for problem in problems)


def test_a_key_of_another_certificate_is_named(paths: TlsPaths, clock: ManualClock) -> None:
    stranger = issue(load_authority(paths), [], utc(clock))
    mixed = replace(load_pair(paths), key=stranger.key)
    problems = check_pair(mixed, load_authority(paths).certificate, utc(clock)).problems
    assert problems == ("the key is not the certificate's key",)


def test_a_name_that_is_not_in_it_is_named(paths: TlsPaths, clock: ManualClock) -> None:
    assert "not for vault.other" in problem_of(paths, utc(clock), ["vault.other"])


def test_names_are_compared_as_names(paths: TlsPaths, clock: ManualClock) -> None:
    assert problem_of(paths, utc(clock), ["VAULT.Example.kz", "0:0:0:0:0:0:0:1"]) == ""


def test_a_certificate_never_outlives_its_ca_and_an_expired_ca_issues_nothing(
    paths: TlsPaths, clock: ManualClock
) -> None:
    clock.advance(3600 * DAY)
    assert renew(paths, None, clock).days_left == 50
    clock.advance(60 * DAY)
    with pytest.raises(TlsBadPairError, match="expired"):
        renew(paths, None, clock)


def test_a_key_that_others_can_read_is_refused(paths: TlsPaths, clock: ManualClock) -> None:
    paths.ca_key.chmod(0o644)
    with pytest.raises(PreconditionError, match="0644"):
        renew(paths, None, clock)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\n"])
def test_files_that_are_none_are_named(paths: TlsPaths, clock: ManualClock, content: bytes) -> None:
    paths.ca.write_bytes(content)
    with pytest.raises(TlsFileError, match=r"ca\.pem"):
        renew(paths, None, clock)


def test_a_missing_ca_key_is_named(paths: TlsPaths, clock: ManualClock) -> None:
    paths.ca_key.unlink()
    with pytest.raises(PreconditionError, match=r"ca-key\.pem"):
        renew(paths, None, clock)


@pytest.mark.parametrize("host", ["", "a b", "exa_mple..kz", "x" * 300, "кз", "http://x"])
def test_what_is_no_host_is_refused(host: str, clock: ManualClock) -> None:
    with pytest.raises(UsageError):
        issue(make_authority("ca", utc(clock)), [host], utc(clock))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TlsFileError, match="cannot be written"):
        init(TlsPaths.in_directory(tmp_path / "file" / "tls"), [], clock, name="ca")
