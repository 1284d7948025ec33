"""A secret_id is replaced while services log in; nothing fails, nothing old works afterwards."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import BaoVault
from zakupai_common.secret import Secret
from zakupai_common.testing import FakeVault, RealVault
from zakupai_common.testing.controls import Role, VaultControls, deliver
from zakupai_common.vault.connection import VaultConnection
from zakupai_common.vault.errors import (
    RequestRefusedError,
    RotationError,
    SettingsError,
    VaultClientError,
)
from zakupai_common.vault.private_file import write_private
from zakupai_common.vault.rotation import RotationPlace, _Rotation, rotate_secret_id

PAGE = Path(__file__).parent.parent.parent / "docs" / "client" / "rotation.md"


def place_of(role: Role, files: Path) -> RotationPlace:
    return RotationPlace(
        role.name, files / f"{role.name}.role-id", files / f"{role.name}.secret-id"
    )


@pytest.fixture
def operator(vault: VaultControls) -> Iterator[VaultConnection]:
    assert isinstance(vault, FakeVault | RealVault)
    connection = VaultConnection(vault.address)
    connection.use(vault.root_token)
    yield connection
    connection.close()


def logs_in(operator: VaultConnection, role: Role, secret_id: Secret[str]) -> bool:
    service = operator.sibling()
    try:
        service.approle_login(role.role_id, secret_id)
    except RequestRefusedError:
        return False
    else:
        return True
    finally:
        service.close()


@pytest.mark.row("C8")
def test_the_new_one_works_and_the_old_one_does_not(
    vault: VaultControls, operator: VaultConnection, name: str, files: Path
) -> None:
    role = vault.make_role(name, [])
    deliver(vault, role, files)
    place = place_of(role, files)
    old = Secret(place.secret_id_file.read_text())
    during: list[bool] = []
    done = rotate_secret_id(
        operator,
        place,
        overlap_seconds=7,
        wait=lambda seconds: during.append(seconds == 7 and logs_in(operator, role, old)),
    )
    new = Secret(place.secret_id_file.read_text())
    assert during == [True], "both work during the overlap"
    assert logs_in(operator, role, new)
    assert not logs_in(operator, role, old)
    assert len(done.destroyed_accessors) == 1
    assert done.new_accessor not in done.destroyed_accessors
    assert not place.note_file.exists()


@pytest.mark.row("C8")
def test_a_service_that_logs_in_all_the_time_never_fails(
    openbao: BaoVault, name: str, files: Path
) -> None:
    vault = openbao.controls
    role = vault.make_role(name, [])
    settings = deliver(vault, role, files)
    place, stop = place_of(role, files), threading.Event()
    logins: list[str] = []

    def service() -> None:
        from zakupai_common.vault.auth import login_of

        connection = VaultConnection.of(settings)
        log_in = login_of(settings)
        while not stop.is_set():
            try:
                log_in(connection)
                logins.append("")
            except VaultClientError as error:
                logins.append(str(error))
        connection.close()

    thread = threading.Thread(target=service)
    thread.start()
    operator = VaultConnection(vault.address)
    operator.use(vault.root_token)
    try:
        for _ in range(5):
            before = len(logins)
            rotate_secret_id(
                operator, place, wait=lambda _, before=before: until_more(logins, before)
            )
    finally:
        stop.set()
        thread.join()
        operator.close()
    assert set(logins) == {""}
    assert len(logins) > 10


def until_more(logins: list[str], before: int) -> None:
    from tests.client.waiting import until

    until(lambda: len(logins) > before + 2)


class KilledError(BaseException):
    """kill -9, as far as the program can tell."""


def requests_of_a_rotation(tmp_path: Path) -> int:
    with FakeVault() as vault:
        role = vault.make_role("r", [])
        deliver(vault, role, tmp_path)
        operator = VaultConnection(vault.address)
        operator.use(vault.root_token)
        rotate_secret_id(operator, place_of(role, tmp_path))
        operator.close()
        return len(vault.requests)


@pytest.mark.parametrize("effect", ["before", "after"])
def test_killed_at_any_request_the_next_run_leaves_one_secret_id(
    effect: str, files: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each request of a rotation is its last one, once before and once after its effect."""
    count = requests_of_a_rotation(tmp_path_factory.mktemp("count"))
    assert count > 5
    for last in range(count):
        directory = tmp_path_factory.mktemp("rotation")
        with FakeVault() as vault:
            role = vault.make_role("r", [])
            deliver(vault, role, directory)
            place = place_of(role, directory)
            operator = DyingConnection(vault.address, last, effect)
            operator.use(vault.root_token)
            try:
                rotate_secret_id(operator, place)
            except KilledError:
                pass
            finally:
                operator.close()
            whole = VaultConnection(vault.address)
            whole.use(vault.root_token)
            assert logs_in(whole, role, Secret(place.secret_id_file.read_text()))
            rotate_secret_id(whole, place)
            whole.close()
            assert list(vault.state.secret_ids) == [place.secret_id_file.read_text()]


class DyingConnection(VaultConnection):
    """Dies at its n-th request; a service's connection dies with it."""

    def __init__(self, address: str, last: int, effect: str) -> None:
        super().__init__(address)
        self._left, self._effect = [last], effect

    def sibling(self) -> VaultConnection:
        other = DyingConnection(self.address, 0, self._effect)
        other._left = self._left
        return other

    def call(self, call, *, hide=()):  # type: ignore[no-untyped-def]
        self._left[0] -= 1
        if self._left[0] >= 0:
            return super().call(call, hide=hide)
        if self._effect == "after" and self._left[0] == -1:
            super().call(call, hide=hide)
        raise KilledError


def test_a_new_one_that_does_not_log_in_is_taken_back(
    vault: VaultControls, operator: VaultConnection, name: str, files: Path
) -> None:
    """The role id that is proven with belongs to the role, so break the proof from the side."""
    role = vault.make_role(name, [])
    deliver(vault, role, files)
    place = place_of(role, files)
    old = place.secret_id_file.read_text()

    class Refused(VaultConnection):
        def approle_login(self, *arguments: object, **options: object):  # type: ignore[no-untyped-def]
            raise RequestRefusedError("invalid role or secret ID")

    operator.sibling = lambda: Refused(vault.address)  # type: ignore[method-assign]
    with pytest.raises(RotationError, match="not proven: invalid role"):
        rotate_secret_id(operator, place)
    del operator.sibling  # type: ignore[attr-defined]
    assert place.secret_id_file.read_text() == old
    assert logs_in(operator, role, Secret(old))
    assert not place.note_file.exists() or accessors(operator, role) == 1
    rotate_secret_id(operator, place)
    assert accessors(operator, role) == 1


def test_the_token_of_the_proof_is_ended(
    vault: VaultControls, operator: VaultConnection, name: str, files: Path
) -> None:
    role = vault.make_role(name, [])
    deliver(vault, role, files)
    rotate_secret_id(operator, place_of(role, files))
    assert vault.live_tokens(role) == 0


def test_a_secret_id_that_stays_though_its_destruction_was_answered_is_no_success(
    vault: VaultControls,
    operator: VaultConnection,
    name: str,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    role = vault.make_role(name, [])
    deliver(vault, role, files)
    place = place_of(role, files)
    old = Secret(place.secret_id_file.read_text())
    ask = _Rotation._ask

    def answered_only(rotation: _Rotation, method: str, path: str, body: Any = None) -> Any:
        if path.endswith("/destroy"):
            return None
        return ask(rotation, method, path, body)

    monkeypatch.setattr(_Rotation, "_ask", answered_only)
    with pytest.raises(RotationError, match="still there"):
        rotate_secret_id(operator, place)
    assert logs_in(operator, role, Secret(place.secret_id_file.read_text()))
    monkeypatch.undo()
    rotate_secret_id(operator, place)
    assert not logs_in(operator, role, old)
    assert accessors(operator, role) == 1


def accessors(operator: VaultConnection, role: Role) -> int:
    path = f"/v1/auth/approle/role/{role.name}/secret-id"
    answer = operator.call(lambda: operator.hvac.adapter.list(path))
    return len(answer["data"]["keys"])


def test_files_of_another_role_and_single_use_secret_ids_are_refused(
    vault: VaultControls, operator: VaultConnection, name: str, files: Path
) -> None:
    role = vault.make_role(name, [])
    other = vault.make_role(f"{name}-other", [])
    deliver(vault, role, files)
    old = (files / f"{name}.secret-id").read_text()
    place = RotationPlace(other.name, files / f"{name}.role-id", files / f"{name}.secret-id")
    with pytest.raises(SettingsError, match="does not hold the role_id"):
        rotate_secret_id(operator, place)
    once = vault.make_role(f"{name}-once", [], secret_id_uses=1)
    write_private(files / "once", once.role_id)
    with pytest.raises(RotationError, match="work once"):
        rotate_secret_id(
            operator, RotationPlace(once.name, files / "once", files / "once.secret-id")
        )
    assert (files / f"{name}.secret-id").read_text() == old
    assert not (files / "once.secret-id").exists()


def token_of_the_documented_policy(vault: RealVault, role: str) -> Secret[str]:
    stanza = re.compile(r"^    path .*$", re.M)
    policy = "\n".join(stanza.findall(PAGE.read_text())).replace("role/calc/", f"role/{role}/")
    client = vault.hvac
    client.sys.create_or_update_policy(f"{role}-rotation", policy)
    made = client.auth.token.create(policies=[f"{role}-rotation"], ttl="5m")
    client.adapter.close()
    return Secret(made["auth"]["client_token"])


@pytest.mark.row("C8")
def test_the_command_rotates_and_says_so(openbao: BaoVault, name: str, files: Path) -> None:
    vault = openbao.controls
    role = vault.make_role(name, [])
    settings = deliver(vault, role, files)
    write_private(files / "token", token_of_the_documented_policy(vault, name))
    assert settings.secret_id_file is not None
    old = settings.secret_id_file.read_text()
    command = [sys.executable, "-m", "zakupai_common.vault.rotate_command", "--role", name]
    command += ["--role-id-file", str(settings.role_id_file), "--token-file", str(files / "token")]
    command += ["--secret-id-file", str(settings.secret_id_file), "--json"]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"VAULT_ADDR": vault.address}
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["role"] == name
    new = settings.secret_id_file.read_text()
    assert new != old
    assert new not in ran.stdout
    write_private(files / "token", Secret("dead-token"))
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"VAULT_ADDR": vault.address}
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "denies" in ran.stderr
    assert "dead-token" not in ran.stderr
    assert settings.secret_id_file.read_text() == new
