"""The people behind visits: who is whose browser, what one person did, and forgetting them."""
