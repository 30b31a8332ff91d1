"""The verbs over records that are there already: update, tag, delete, restore, export, undo."""
