"""billing: users, plans, payments and API keys of ZakupAI."""
