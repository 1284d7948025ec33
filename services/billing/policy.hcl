# What billing may read: its own secrets, nobody else's.
path "zakupai/data/services/billing/*" {
  capabilities = ["read"]
}
