"""The life of the front door itself."""

import http.client
import json
import os
import stat
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.certificates import make_pki
from zvault.base.process import ProcessIdentity, identify, is_alive
from zvault.ops.frontdoor.door import FrontDoor, Observation
from zvault.ops.frontdoor.errors import (
    FrontDoorBusyError,
    FrontDoorCheckError,
    FrontDoorDownError,
    FrontDoorMissingError,
    FrontDoorPortError,
    FrontDoorSettingsError,
)
from zvault.ops.frontdoor.settings import FrontDoorSettings

CANARY = "hvs.canary-token-that-must-not-be-logged"


def ask(url: str, path: str = "/v1/sys/health") -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    assert parts.hostname
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.request("GET", path, headers={"X-Vault-Token": CANARY})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, dict(response.getheaders()), body


def process_of(seen: Observation) -> ProcessIdentity:
    assert seen.pid is not None
    process = identify(seen.pid)
    assert process is not None
    return process


def test_both_sites_are_open_after_start_and_the_process_is_its_own_session(
    door: FrontDoor,
) -> None:
    seen = door.start()
    assert (seen.running, seen.config_matches) == (True, True)
    assert (seen.plaintext_open, seen.tls_open) == (True, True)
    process = process_of(seen)
    assert os.getsid(process.pid) == process.pid
    door.stop()
    assert not is_alive(process)
    assert door.observe() == Observation(running=False)


def test_start_twice_leaves_the_running_door_alone(door: FrontDoor) -> None:
    assert door.start().pid == door.start().pid


def test_a_door_with_other_settings_is_named_and_not_replaced(
    door: FrontDoor, settings: FrontDoorSettings
) -> None:
    pid = door.start().pid
    with pytest.raises(FrontDoorBusyError):
        FrontDoor(replace(settings, hold_seconds=30)).start()
    assert door.observe().pid == pid


def test_a_taken_port_is_named_and_nothing_keeps_running(
    door: FrontDoor, settings: FrontDoorSettings, tmp_path: Path
) -> None:
    door.start()
    other = FrontDoor(replace(settings, run_dir=tmp_path / "other"))
    with pytest.raises(FrontDoorPortError, match="already in use"):
        other.start()
    assert not other.observe().running


def test_a_configuration_that_caddy_refuses_is_named(settings: FrontDoorSettings) -> None:
    settings.certificate_file.write_text("no certificate")
    door = FrontDoor(settings)
    with pytest.raises(FrontDoorDownError, match="certificate"):
        door.start()
    assert not door.observe().running


def test_a_held_request_is_answered_503_with_retry_after_when_the_time_is_over(
    settings: FrontDoorSettings,
) -> None:
    door = FrontDoor(replace(settings, hold_seconds=1))
    door.start()
    try:
        started = time.monotonic()
        status, headers, body = ask(settings.plaintext_url)
        assert time.monotonic() - started >= 1
        assert (status, headers["Retry-After"]) == (503, "5")
        assert json.loads(body) == {"errors": ["no unsealed server answered within 1 s"]}
    finally:
        door.stop()


def test_closed_plaintext_is_refused_and_says_where_to_go(
    door: FrontDoor, settings: FrontDoorSettings
) -> None:
    door.start()
    door.allow_plaintext(False)
    status, headers, body = ask(settings.plaintext_url)
    assert (status, headers["Connection"]) == (403, "close")
    assert json.loads(body) == {"errors": ["plaintext is refused here: use https"]}
    seen = door.observe()
    assert (seen.plaintext_open, seen.tls_open) == (False, True)
    assert seen.plaintext.seen == 0


def test_closed_plaintext_stays_closed_over_stop_kill_and_start(door: FrontDoor) -> None:
    door.start()
    door.allow_plaintext(False)
    door.stop()
    seen = door.start()
    assert not seen.plaintext_open
    process = process_of(seen)
    os.kill(process.pid, 9)
    while is_alive(process):
        time.sleep(0.01)
    assert not door.observe().running
    assert not door.start().plaintext_open


def test_opening_a_door_that_is_not_there_is_not_reported_as_done(door: FrontDoor) -> None:
    door.settings.run_dir.mkdir(mode=0o700)
    with pytest.raises(FrontDoorCheckError):
        door.allow_plaintext(True)


def test_no_token_reaches_the_log_or_any_file_of_the_door(settings: FrontDoorSettings) -> None:
    door = FrontDoor(replace(settings, hold_seconds=1))
    door.start()
    ask(settings.plaintext_url)
    ask(settings.plaintext_url, f"/v1/{CANARY}/../%zz")
    door.allow_plaintext(False)
    ask(settings.plaintext_url)
    door.stop()
    files = [path for path in settings.run_dir.rglob("*") if path.is_file()]
    assert settings.log_file in files
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]


def test_everything_of_the_door_is_private_but_the_address_file(door: FrontDoor) -> None:
    door.start()
    door.write_address_file(door.settings.tls_url)
    assert stat.S_IMODE(door.settings.run_dir.stat().st_mode) == 0o700
    for path in door.settings.run_dir.iterdir():
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    assert stat.S_IMODE(door.settings.address_file.stat().st_mode) == 0o644


def test_a_very_long_run_directory_works(settings: FrontDoorSettings, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    door = FrontDoor(replace(settings, run_dir=deep))
    try:
        assert door.start().running
    finally:
        door.stop()


def test_a_certificate_of_another_ca_is_not_called_started(
    settings: FrontDoorSettings, tmp_path: Path
) -> None:
    door = FrontDoor(replace(settings, ca_file=make_pki(tmp_path / "other-tls").ca))
    try:
        with pytest.raises(FrontDoorCheckError, match="certificate"):
            door.start()
    finally:
        door.stop()


def test_a_renewed_certificate_is_served_after_a_reload(
    door: FrontDoor, settings: FrontDoorSettings, tmp_path: Path
) -> None:
    pid = door.start().pid
    renewed = make_pki(tmp_path / "renewed")
    for old, new in (
        (settings.ca_file, renewed.ca),
        (settings.certificate_file, renewed.certificate),
        (settings.key_file, renewed.key),
    ):
        old.write_bytes(new.read_bytes())
    assert not door.observe().tls_open
    seen = door.reload()
    assert (seen.pid, seen.tls_open) == (pid, True)


def test_a_reload_with_a_broken_certificate_is_an_error_and_the_door_goes_on(
    door: FrontDoor, settings: FrontDoorSettings
) -> None:
    door.start()
    good = settings.certificate_file.read_text()
    settings.certificate_file.write_text("nothing")
    with pytest.raises(FrontDoorDownError, match="400"):
        door.reload()
    settings.certificate_file.write_text(good)
    assert door.observe().tls_open


def test_missing_files_and_a_readable_key_are_named_before_anything_starts(
    settings: FrontDoorSettings, tmp_path: Path
) -> None:
    with pytest.raises(FrontDoorSettingsError, match="absent"):
        FrontDoor(replace(settings, ca_file=tmp_path / "absent")).start()
    with pytest.raises(FrontDoorMissingError, match="absent"):
        FrontDoor(replace(settings, caddy=tmp_path / "absent")).start()
    settings.key_file.chmod(0o644)
    with pytest.raises(Exception, match="0644"):
        FrontDoor(settings).start()
    assert not settings.run_dir.exists()


def test_a_damaged_state_file_is_named(door: FrontDoor) -> None:
    door.settings.run_dir.mkdir()
    door.settings.state_file.write_text("{")
    with pytest.raises(FrontDoorSettingsError, match="damaged"):
        door.observe()
    door.settings.state_file.unlink()


def test_the_address_file_takes_only_the_doors_own_sites(door: FrontDoor) -> None:
    with pytest.raises(FrontDoorSettingsError, match="none of this"):
        door.write_address_file("http://127.0.0.1:1")
    door.write_address_file(door.settings.plaintext_url)
    assert door.read_address_file() == door.settings.plaintext_url


def test_the_rendered_configuration_is_valid_to_caddy_itself(
    door: FrontDoor, settings: FrontDoorSettings
) -> None:
    door.start()
    assert settings.caddy is not None
    answer = subprocess.run(
        [settings.caddy, "validate", "--config", settings.config_file],
        capture_output=True,
        cwd=settings.run_dir,
        env={"HOME": str(settings.run_dir)},
    )
    assert answer.returncode == 0, answer.stderr
