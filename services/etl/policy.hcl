# What etl may read: its own secrets and goszakup's token, nobody else's.
path "zakupai/data/services/etl/*" {
  capabilities = ["read"]
}

path "zakupai/data/shared/goszakup" {
  capabilities = ["read"]
}
