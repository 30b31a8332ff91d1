"""Footfall: a self-hosted customer desk."""

import os
import sys

if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
    # The Redis client imports OpenTelemetry's SDK wherever it is installed: a tenth of a second at every start, and
    # memory in every process. None in `sys.modules` is Python's own way to say that there is no such module.
    sys.modules.setdefault("opentelemetry", None)  # type: ignore[arg-type]
