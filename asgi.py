"""The edge, for any ASGI server: beacons and event streams, and nothing that could keep them waiting."""

from webapp.config import get_settings
from webapp.edge import Edge, TracedEdge
from webapp.process import begin_process

begin_process("edge")
app = TracedEdge(Edge()) if get_settings().otlp_endpoint else Edge()
