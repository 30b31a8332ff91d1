"""Weekly reports of a site: in the app, and by mail to those who asked for it."""
