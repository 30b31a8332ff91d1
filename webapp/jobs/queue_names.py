"""Which queues there are, and who takes from them."""

WORKING_QUEUES = ("jobs", "imports")
"""They do what people asked for."""
SYSTEM_QUEUES = ("default", "results", "dead_letters")
"""They look after the work: without them nothing would be sent or written down."""
VISITS_QUEUE = "visits"
QUEUES = (*WORKING_QUEUES, *SYSTEM_QUEUES, VISITS_QUEUE)
