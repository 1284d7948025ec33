"""What a service is told: complete or refused, nothing secret, no .env outside development."""

from pathlib import Path

import pytest

from zakupai_common.web.settings import SECRET_NAMES, SettingsError, settings_from_environment

TOLD = {
    "ZAKUPAI_PORT": "8101",
    "ZAKUPAI_DATABASE_HOST": "db",
    "ZAKUPAI_DATABASE_NAME": "calc",
    "ZAKUPAI_RISK_ENGINE_URL": "http://127.0.0.1:8103",
}


def read(told: dict[str, str], folder: Path, **needs: bool) -> object:
    return settings_from_environment(told, folder=folder, **needs)


def test_settings_are_read(tmp_path: Path) -> None:
    found = settings_from_environment(TOLD, folder=tmp_path, database=True)
    assert (found.host, found.port) == ("127.0.0.1", 8101)
    assert (found.database_host, found.database_port, found.database_name) == ("db", 5432, "calc")
    assert found.urls == {"risk_engine": "http://127.0.0.1:8103"}


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    told = {"ZAKUPAI_PORT": "0", "ZAKUPAI_DATABASE_PORT": "٣", "ZAKUPAI_DATABASE_HOST": "db"}
    with pytest.raises(SettingsError) as refused:
        read(told, tmp_path, database=True, redis=True)
    for name in ("PORT", "DATABASE_PORT", "DATABASE_NAME", "REDIS_HOST"):
        assert f"ZAKUPAI_{name} " in str(refused.value)


@pytest.mark.parametrize("wrong", ["0", "-1", "3601", "2.5", "٣", "soon"])
def test_the_pace_of_reading_secrets_is_a_number_in_its_bounds(tmp_path: Path, wrong: str) -> None:
    name = "ZAKUPAI_SECRETS_REFRESH_SECONDS"
    assert settings_from_environment(TOLD, folder=tmp_path).secrets_refresh_seconds == 60
    told = settings_from_environment({**TOLD, name: "2"}, folder=tmp_path)
    assert told.secrets_refresh_seconds == 2
    with pytest.raises(SettingsError, match=name):
        read({**TOLD, name: wrong}, tmp_path)


def test_a_file_of_variables_is_refused_outside_development(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("")
    with pytest.raises(SettingsError, match=r"\.env"):
        read(TOLD, tmp_path)
    with pytest.raises(SettingsError, match=r"\.env"):
        read({**TOLD, "ZAKUPAI_ENVIRONMENT": "staging"}, tmp_path)
    read({**TOLD, "ZAKUPAI_ENVIRONMENT": "development"}, tmp_path)


OLD_NAMES = {
    "API_KEY",
    "DATABASE_PASSWORD",
    "DATABASE_URL",
    "GOSZAKUP_TOKEN",
    "JWT_SECRET_KEY",
    "OPENAI_API_KEY",
    "PGPASSWORD",
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "SESSION_SECRET",
    "TELEGRAM_BOT_TOKEN",
    "VAULT_SECRET_ID",
    "VAULT_TOKEN",
    "ZAKUPAI_API_KEY",
}
"""Written again: a name that is dropped from the list is missed here."""


@pytest.mark.parametrize("name", sorted(SECRET_NAMES | OLD_NAMES))
def test_a_secret_in_the_environment_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read({**TOLD, name: "hunter2"}, tmp_path)
    assert name in str(refused.value)
    assert "hunter2" not in str(refused.value)
    read({**TOLD, name: ""}, tmp_path)


def test_a_password_in_an_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ZAKUPAI_CALC_URL"):
        read({**TOLD, "ZAKUPAI_CALC_URL": "http://me:hunter2@calc"}, tmp_path)
