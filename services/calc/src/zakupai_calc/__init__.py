"""calc: VAT, margin, penalty and profit of a lot, in exact decimals, with their history."""
