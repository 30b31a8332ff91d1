"""What people did on an organisation's websites, as a condition, and who fulfils it."""
