"""The pages and the API, for any WSGI server."""

from webapp.app import create_app

app = create_app()
