# What the gateway may read: its own secrets, Redis' password, and the key under which it speaks to
# each service.
path "zakupai/data/services/gateway/*" {
  capabilities = ["read"]
}
path "zakupai/data/services/+/identity" {
  capabilities = ["read"]
}
path "zakupai/data/shared/redis" {
  capabilities = ["read"]
}
