"""The live load: five services and an operator, each a process of its own, with a ledger."""
