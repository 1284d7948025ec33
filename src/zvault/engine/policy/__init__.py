"""ACL policies: text to rules, rules to a decision. Pure: no storage, no clock, no suspension."""
