# What risk-engine may read: its own secrets, Redis's password and goszakup's token, nobody else's.
path "zakupai/data/services/risk-engine/*" {
  capabilities = ["read"]
}

path "zakupai/data/shared/redis" {
  capabilities = ["read"]
}

path "zakupai/data/shared/goszakup" {
  capabilities = ["read"]
}
