"""People: timelines, identities, what is known of one, and erasing."""
