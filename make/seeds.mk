# The names of the migration document (mission rows A1-A7), as thin calls of zvault.
# No logic here: a target fails when the property it stands for does not hold.
# SITE, SHARES_FILE, TOKEN_FILE name files; ARGS is passed on.
SITE ?= zvault.toml
ZVAULT := $(BIN)/zvault
BROUGHT = --site $(SITE) $(if $(SHARES_FILE),--shares-file $(SHARES_FILE)) $(if $(TOKEN_FILE),--token-file $(TOKEN_FILE))

.PHONY: stage7 stage8 stage9 vault-secure-backup vault-secure-status vault-secure-test
.PHONY: vault-prod-backup vault-tls-renew smoke-stage9 rollback-stage8 rollback-stage9

stage7: setup ## stage 7: file storage, unsealed by hand
	$(ZVAULT) stage up --stage 7 $(BROUGHT) $(ARGS)

stage8: setup ## stage 8: unsealed by the agent; migrates when stage 7 is active
	$(ZVAULT) stage up --stage 8 --backup $(BROUGHT) $(ARGS)

stage9: setup ## stage 9: S3, TLS, audit; migrates when stage 8 is active
	$(ZVAULT) stage up --stage 9 --backup $(BROUGHT) $(ARGS)

vault-secure-backup vault-prod-backup: setup ## a backup of the active store, read back and opened offline
	$(ZVAULT) stage backup $(BROUGHT) $(ARGS)

vault-secure-status: setup ## what is active; fails unless it is unsealed
	$(ZVAULT) status --require-unsealed --site $(SITE) $(ARGS)

vault-secure-test: setup ## stage 8's properties, AppRole login included
	$(ZVAULT) smoke --stage 8 --site $(SITE) $(ARGS)

vault-tls-renew: setup ## a new certificate from the private CA, shown by the running server
	$(ZVAULT) stage certificate --site $(SITE) $(ARGS)

smoke-stage9: setup ## stage 9's properties, one by one
	$(ZVAULT) smoke --stage 9 --site $(SITE) $(ARGS)

rollback-stage8: setup ## back from stage 8 to stage 7
	$(ZVAULT) rollback --to 7 --backup --yes $(BROUGHT) $(ARGS)

rollback-stage9: setup ## back from stage 9 to stage 8
	$(ZVAULT) rollback --to 8 --backup --yes $(BROUGHT) $(ARGS)
