#!/bin/sh
# The key file from shares and password, proven against the store. Arguments go to zvault:
# --shares-file FILE, --password-file FILE, ...
cd "$(dirname "$0")/../../.." && exec .venv/bin/zvault keyfile create --password-file monitoring/vault/.unseal-password "$@"
