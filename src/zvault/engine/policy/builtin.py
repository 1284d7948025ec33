"""The policies that exist without anybody writing them.

What lives here: names with a meaning of their own and the text of ``default``, in our words.
``default`` is stored once and may be edited; ``root`` is never stored; the internal ones can
neither be written nor given to a token. Source: ``docs/formats/policies.md``.
"""

ROOT = "root"
DEFAULT = "default"
RESPONSE_WRAPPING = "response-wrapping"
CONTROL_GROUP = "control-group"
INTERNAL = frozenset({RESPONSE_WRAPPING, CONTROL_GROUP})

DEFAULT_POLICY = """\
# A token may look at, renew and revoke itself.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# It may ask what it can do.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
  capabilities = ["read"]
}

# It may read its own entity.
path "identity/entity/id/{{identity.entity.id}}" {
  capabilities = ["read"]
}
path "identity/entity/name/{{identity.entity.name}}" {
  capabilities = ["read"]
}

# A lease's id is proof enough to look at the lease and to renew it.
path "sys/renew" {
  capabilities = ["update"]
}
path "sys/leases/renew" {
  capabilities = ["update"]
}
path "sys/leases/lookup" {
  capabilities = ["update"]
}

# Its cubbyhole is its own.
path "cubbyhole/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# Wrapped answers.
path "sys/wrapping/wrap" {
  capabilities = ["update"]
}
path "sys/wrapping/lookup" {
  capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}

# General tools.
path "sys/tools/hash" {
  capabilities = ["update"]
}
path "sys/tools/hash/*" {
  capabilities = ["update"]
}

# Requests that wait for approval.
path "sys/control-group/request" {
  capabilities = ["update"]
}

# Signing in to OpenID Connect applications.
path "identity/oidc/provider/+/authorize" {
  capabilities = ["read", "update"]
}
"""

RESPONSE_WRAPPING_POLICY = """\
path "cubbyhole/response" {
  capabilities = ["create", "read"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}
"""
