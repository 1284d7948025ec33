"""Vault's configuration, in HCL and JSON, to values."""

import json
from pathlib import Path

import pytest

from zvault.base.errors import PreconditionError, UsageError
from zvault.base.gotime import SECOND_NS
from zvault.base.secret import Secret
from zvault.engine.audit.declared import DeclaredDevice
from zvault.hcl.errors import HclError
from zvault.server.config import ServerConfig
from zvault.server.config_fields import ConfigError
from zvault.server.config_files import load
from zvault.server.settings import FileSettings, InmemSettings, S3Settings, TlsSettings

MINIMUM = 'storage "inmem" {}\nlistener "tcp" { tls_disable = 1 }\n'


def parse(extra: str = "", base: str = MINIMUM) -> ServerConfig:
    return ServerConfig.parse(base + extra)


def test_the_least_configuration_has_vaults_defaults() -> None:
    config = parse()
    assert config.storage == InmemSettings()
    assert config.default_lease_ttl_ns == config.max_lease_ttl_ns == 768 * 3600 * SECOND_NS
    listener = config.listeners[0]
    assert (listener.kind, listener.address, listener.tls) == ("tcp", "127.0.0.1:8200", None)
    assert listener.limits.max_request_bytes == 33_554_432
    assert listener.limits.max_request_seconds == 90
    assert not config.prometheus
    assert config.warnings == []


def test_the_configuration_that_hvacs_suite_writes_is_read() -> None:
    text = {
        "backend": {"inmem": {}},
        "listener": {
            "tcp": {"tls_cert_file": "c.pem", "tls_key_file": "k.pem", "address": "127.0.0.1:1234"}
        },
        "disable_mlock": True,
        "default_lease_ttl": "768h",
        "max_lease_ttl": "768h",
    }
    config = ServerConfig.parse(json.dumps(text))
    assert config.storage == InmemSettings()
    assert config.listeners[0].address == "127.0.0.1:1234"
    assert config.listeners[0].tls == TlsSettings(Path("c.pem"), Path("k.pem"))
    assert config.warnings == []


LISTENERS = [
    'listener "tcp" { address = "a:1" tls_disable = true }\n'
    'listener "tcp" { address = "b:2" tls_disable = "1" }',
    json.dumps(
        {
            "listener": [
                {"tcp": {"address": "a:1", "tls_disable": True}},
                {"tcp": {"address": "b:2", "tls_disable": 1}},
            ]
        }
    ),
    json.dumps(
        {
            "listener": {
                "tcp": [
                    {"address": "a:1", "tls_disable": "true"},
                    {"address": "b:2", "tls_disable": "1"},
                ]
            }
        }
    ),
]


@pytest.mark.parametrize("text", LISTENERS)
def test_several_listeners_in_every_shape(text: str) -> None:
    storage = '"storage": {"inmem": {}}, ' if text.startswith("{") else 'storage "inmem" {}\n'
    text = "{" + storage + text[1:] if text.startswith("{") else storage + text
    config = ServerConfig.parse(text)
    assert [listener.address for listener in config.listeners] == ["a:1", "b:2"]
    assert all(listener.tls is None for listener in config.listeners)


def test_storage_wins_over_backend() -> None:
    config = parse('backend "file" { path = "x" }\n')
    assert config.storage == InmemSettings()


def test_a_file_store_needs_a_path() -> None:
    listener = 'listener "tcp" { tls_disable = 1 }\n'
    config = parse(base='storage "file" { path = "data" }\n' + listener)
    assert config.storage == FileSettings(Path("data"))
    with pytest.raises(ConfigError, match=r'line 1: storage "file" needs path'):
        parse(base='storage "file" {}\n' + listener)


S3 = """
storage "s3" {
  bucket = "vault"
  path = "a/b"
  endpoint = "http://127.0.0.1:1"
  region = "eu"
  access_key = "AK"
  secret_key = "very-secret"
  s3_force_path_style = "true"
  disable_ssl = "true"
  max_parallel = 128
}
listener "tcp" { tls_disable = 1 }
"""


def test_an_s3_store_is_read_and_its_secret_is_not_printed() -> None:
    config = ServerConfig.parse(S3)
    assert isinstance(config.storage, S3Settings)
    assert config.storage.secret_key == Secret("very-secret")
    assert (config.storage.bucket, config.storage.path) == ("vault", "a/b")
    assert config.storage.disable_ssl
    assert config.storage.force_path_style
    assert "very-secret" not in repr(config)
    assert config.holds_secrets


def test_credentials_in_a_file_that_others_can_read_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.hcl"
    file.write_text(S3)
    file.chmod(0o644)
    with pytest.raises(PreconditionError, match="0644"):
        load([file])
    file.chmod(0o600)
    assert load([file]).holds_secrets


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "storage backend must be specified"),
        ('storage "inmem" {}', "no listener"),
        ('storage "etcd" {}\nlistener "tcp" { tls_disable = 1 }', "unknown storage type etcd"),
        (MINIMUM + 'storage "inmem" {}', "line 3: storage is there twice"),
        ('storage "inmem" {}\nlistener "tcp" {}', "line 2: listener needs tls_cert_file"),
        ('storage "inmem" {}\nlistener "quic" {}', 'line 2: listener "quic"'),
        (MINIMUM + 'max_lease_ttl = "1h"', "line 3: max_lease_ttl makes the default"),
        (MINIMUM + 'default_lease_ttl = "x"', "line 3: default_lease_ttl must be a duration"),
        (MINIMUM + 'default_lease_ttl = "-1h"', "line 3: default_lease_ttl must not be negative"),
        (MINIMUM + "disable_cache = 5", "line 3: disable_cache must be true or false"),
        (MINIMUM + 'log_level = "loud"', "line 3: log_level must be one of"),
        (MINIMUM + 'seal "awskms" {}', 'line 3: seal "awskms" is not offered'),
        (MINIMUM + 'ha_storage "raft" {}', "line 3: ha_storage is not offered"),
        (MINIMUM + "pid_file = [1]", "line 3: pid_file must be a string"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        ServerConfig.parse(text)
    assert words in refused.value.message


LISTENER_ERRORS = [
    ('address = "nonsense"', 'must be "host:port"'),
    ('address = "a:99999"', 'must be "host:port"'),
    ('tls_disable = "perhaps"', "tls_disable must be true or false"),
    ('tls_min_version = "tls10"', "tls_min_version must be one of"),
    ('tls_cipher_suites = "x"', "tls_cipher_suites is not offered"),
    ('proxy_protocol_behavior = "use_always"', "proxy_protocol_behavior is not offered"),
    ('x_forwarded_for_authorized_addrs = "nobody"', "must be a list of addresses"),
    ('custom_response_headers { "default" = { "X-Vault-Foo" = ["a"] } }', "X-Vault-Foo is no"),
    ('custom_response_headers { "default" = { "A" = ["b\\nC: d"] } }', "A is no response header"),
    (
        "tls_require_and_verify_client_cert = true\ntls_disable = false\n"
        'tls_cert_file = "c"\ntls_key_file = "k"',
        "needs tls_client_ca_file",
    ),
]


@pytest.mark.parametrize(("field", "words"), LISTENER_ERRORS)
def test_a_listener_field_that_cannot_be_honoured_is_refused(field: str, words: str) -> None:
    default = "" if "tls_disable" in field else "tls_disable = 1\n"
    with pytest.raises(ConfigError) as refused:
        ServerConfig.parse(f'storage "inmem" {{}}\nlistener "tcp" {{\n{default}{field}\n}}')
    assert words in refused.value.message


def test_a_listener_is_read_whole() -> None:
    config = ServerConfig.parse(
        """
        storage "inmem" {}
        listener "tcp" {
          address = "[::1]:8200"
          tls_cert_file = "c" tls_key_file = "k" tls_client_ca_file = "a"
          tls_require_and_verify_client_cert = "true"
          tls_min_version = "tls13"
          max_request_size = 1024
          max_request_duration = "10s"
          http_idle_timeout = "1m"
          require_request_header = true
          x_forwarded_for_authorized_addrs = ["127.0.0.1", "10.0.0.0/8"]
          x_forwarded_for_hop_skips = "1"
          x_forwarded_for_reject_not_present = false
          telemetry { unauthenticated_metrics_access = true }
          custom_response_headers { "default" = { "X-Frame-Options" = ["DENY"] } }
        }
        telemetry { prometheus_retention_time = "24h" disable_hostname = true }
        """
    )
    listener = config.listeners[0]
    assert listener.tls == TlsSettings(
        Path("c"), Path("k"), "tls13", "tls13", Path("a"), require_client_cert=True
    )
    assert listener.limits.max_request_bytes == 1024
    assert listener.limits.max_request_seconds == 10
    assert listener.limits.idle_seconds == 60
    assert listener.require_request_header
    assert listener.unauthenticated_metrics
    assert listener.forwarded_for.hop_skips == 1
    assert not listener.forwarded_for.reject_not_present
    assert len(listener.forwarded_for.authorized) == 2
    assert listener.custom_headers == {"default": {"X-Frame-Options": "DENY"}}
    assert config.prometheus
    assert config.warnings == []


@pytest.mark.parametrize(
    "field",
    [
        'role = "metrics_only"',
        'chroot_namespace = "team/"',
        "redact_version = true",
        'redact_addresses = "true"',
        "redact_cluster_name = 1",
    ],
)
def test_a_listener_that_would_let_in_or_tell_more_than_it_was_told_to_does_not_start(
    field: str,
) -> None:
    with pytest.raises(ConfigError, match="not offered"):
        parse(base=f'storage "inmem" {{}}\nlistener "tcp" {{\ntls_disable = 1\n{field}\n}}\n')


@pytest.mark.parametrize(
    "field", ['role = "default"', 'chroot_namespace = ""', "redact_version = false"]
)
def test_a_listener_takes_the_words_that_narrow_nothing(field: str) -> None:
    text = f'storage "inmem" {{}}\nlistener "tcp" {{\ntls_disable = 1\n{field}\n}}\n'
    assert parse(base=text).warnings == []


def test_a_listener_can_close_the_ceremonies_of_shareholders() -> None:
    base = 'storage "inmem" {}\nlistener "tcp" {\ntls_disable = 1\n%s\n}\n'
    assert parse(base=base % "").listeners[0].closed_paths == ()
    rekey = parse(base=base % "disable_unauthed_rekey_endpoints = true").listeners[0]
    assert rekey.closed_paths == ("sys/rekey/", "sys/rekey-recovery-key/")
    root = parse(base=base % "disable_unauthed_generate_root_endpoints = true").listeners[0]
    assert root.closed_paths == ("sys/generate-root/",)


def test_unknown_fields_warn_with_their_line_at_every_depth() -> None:
    config = ServerConfig.parse(
        'storage "file" {\n path = "d"\n colour = "x"\n}\n'
        'listener "tcp" {\n tls_disable = 1\n shape = "y"\n}\n'
        'flavour = "z"\ntelemetry { size = 1 }\n'
    )
    assert sorted(config.warnings) == [
        "unknown or unsupported field colour found in configuration at line 3",
        "unknown or unsupported field flavour found in configuration at line 9",
        "unknown or unsupported field shape found in configuration at line 7",
        "unknown or unsupported field size found in configuration at line 10",
    ]


def test_what_is_asked_for_and_not_offered_is_said() -> None:
    assert parse("ui = true\n").warnings == ["ui: this server has no web interface"]
    assert parse("ui = false\n").warnings == []
    warnings = parse('service_registration "consul" {}\n').warnings
    assert warnings == ["service_registration: this server has no service registration"]


def test_prometheus_is_off_with_a_retention_of_zero() -> None:
    assert not parse('telemetry { prometheus_retention_time = "0s" }').prometheus
    assert parse("telemetry { }").prometheus


def test_a_syntax_error_names_its_place() -> None:
    with pytest.raises(HclError, match="At 3:"):
        parse("x = = 1")


def test_several_files_and_a_folder_are_one_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.hcl").write_text('storage "inmem" {}\nlog_level = "debug"\n')
    (tmp_path / "b.json").write_text(
        '{"listener": {"tcp": {"tls_disable": 1}}, "log_level": "error"}'
    )
    (tmp_path / "c.txt").write_text("not a configuration {{{")
    assert load([tmp_path]).log.level == "error"
    assert load([tmp_path / "b.json", tmp_path / "a.hcl"]).log.level == "debug"


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.hcl"
    bad.write_text("storage")
    for path, words in [(bad, str(bad)), (tmp_path / "absent", "does not exist")]:
        with pytest.raises(ConfigError) as refused:
            load([path])
        assert words in refused.value.message
    bad.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load([bad])
    with pytest.raises(ConfigError):
        load([])


def test_a_file_store_is_synced_unless_the_dangerous_field_says_otherwise() -> None:
    base = 'storage "file" { path = "d" %s }\nlistener "tcp" { tls_disable = 1 }\n'
    safe = parse(base=base % "")
    assert isinstance(safe.storage, FileSettings)
    assert (safe.storage.fsync, safe.warnings) == (True, [])
    unsafe = parse(base=base % "zvault_unsafe_no_fsync = true")
    assert isinstance(unsafe.storage, FileSettings)
    assert not unsafe.storage.fsync
    assert len(unsafe.warnings) == 1
    assert "power cut" in unsafe.warnings[0]


@pytest.mark.parametrize(
    "text",
    [
        'audit "file" "one/" {\n description = "d"\n local = true\n'
        ' options { file_path = "a.log" hmac_accessor = false }\n}\n'
        'audit "socket" "two" { options = { address = "h:1" } }',
        'audit { type = "file" path = "one" description = "d" local = "true"\n'
        ' options { file_path = "a.log" hmac_accessor = "false" } }\n'
        'audit "socket" "two" { options { address = "h:1" } }',
        json.dumps(
            {
                "audit": [
                    {
                        "file": {
                            "one": {
                                "description": "d",
                                "local": True,
                                "options": {"file_path": "a.log", "hmac_accessor": False},
                            }
                        }
                    },
                    {"socket": {"two": {"options": {"address": "h:1"}}}},
                ]
            }
        )[1:-1],
    ],
)
def test_audit_stanzas_are_read_in_every_shape(text: str) -> None:
    if text.startswith('"'):
        listener = {"listener": {"tcp": {"tls_disable": 1}}, "storage": {"inmem": {}}}
        text = json.dumps(listener)[:-1] + "," + text + "}"
    else:
        text = MINIMUM + text
    config = ServerConfig.parse(text)
    assert config.warnings == []
    assert list(config.audit) == [
        DeclaredDevice("one/", "file", "d", {"file_path": "a.log", "hmac_accessor": "false"}, True),
        DeclaredDevice("two/", "socket", "", {"address": "h:1"}),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('audit "file" { options { file_path = "x" } }', "needs a type and a path"),
        ('audit "file" "a" { file_path = "x" }', "file_path is no field of an audit device"),
        (
            'audit "file" "a" { options { file_path = "x" } }\n'
            'audit "file" "a/" { options { file_path = "y" } }',
            'names the path "a/" twice',
        ),
    ],
)
def test_an_audit_stanza_that_is_not_understood_is_no_warning(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ServerConfig.parse(MINIMUM + text)
