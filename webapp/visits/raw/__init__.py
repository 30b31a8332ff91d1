"""Raw rows: what was counted, as it was, compressed by column."""
