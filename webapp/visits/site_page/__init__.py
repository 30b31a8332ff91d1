"""A site's page: numbers, chart and lists, with filters that stand in the address."""
