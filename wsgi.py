"""The pages and the API, for any WSGI server."""

from webapp.app import create_app
from webapp.process import begin_process
from webapp.settling import settle

begin_process("web")
app = create_app()
settle(app)
