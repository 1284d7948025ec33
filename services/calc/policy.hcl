# What calc may read: its own secrets, nobody else's.
path "zakupai/data/services/calc/*" {
  capabilities = ["read"]
}
