"""The edge, for any ASGI server: beacons and event streams, and nothing that could keep them waiting."""

from webapp.edge import Edge
from webapp.process import begin_process

begin_process("edge")
app = Edge()
