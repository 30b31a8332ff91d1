"""Traces for OpenTelemetry, sent by OTLP over HTTP where OTEL_EXPORTER_OTLP_ENDPOINT says so.

Without it nothing of OpenTelemetry is imported and every function here does nothing. Spans name routes and
statements; no address with its query, no parameter, no address of a person is in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from webapp.config import get_settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import Span, Tracer

_tracer: Tracer | None = None


def begin(process: str) -> None:
    """Trace this process from now on, if that is wanted. Call it after any fork: a thread sends the spans."""
    endpoint = get_settings().otlp_endpoint
    if endpoint and _tracer is None:
        _begin(process, endpoint)


def end() -> None:
    """Send what waits, for processes that end without Python's own clean-up."""
    if _tracer is None:
        return
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.force_flush()


@contextmanager
def span(
    name: str, kind: str, attributes: Mapping[str, Any], carrier: Mapping[str, str] | None = None
) -> Iterator[Any]:
    """A span around the block, or None when nothing is traced; `kind` is "server", "consumer" or "internal".

    It continues the trace that `carrier` (headers, a message's options) names, if it names one.
    """
    if _tracer is None:
        yield None
        return
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind

    parent = extract(carrier) if carrier else None
    with _tracer.start_as_current_span(name, parent, SpanKind[kind.upper()], dict(attributes)) as current:
        yield current


def end_request(current: Span | None, status: int) -> None:
    """Say how a request was answered."""
    if current is None:
        return
    from opentelemetry.trace import StatusCode

    current.set_attribute("http.response.status_code", status)
    if status >= 500:
        current.set_status(StatusCode.ERROR)


def carry(options: MutableMapping[str, Any]) -> None:
    """Let whoever reads these options continue the present trace."""
    if _tracer is not None:
        from opentelemetry.propagate import inject

        inject(options)


def trace_fields() -> dict[str, str]:
    """The present trace's id, for logs; nothing when nothing is traced."""
    if _tracer is None:
        return {}
    from opentelemetry.trace import format_trace_id, get_current_span

    context = get_current_span().get_span_context()
    return {"trace_id": format_trace_id(context.trace_id)} if context.is_valid else {}


def _begin(process: str, endpoint: str) -> None:
    global _tracer
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
    from opentelemetry.instrumentation.redis import RedisInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": f"footfall-{process}"}))
    provider.sampler = _within_work(provider.sampler)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces")))
    trace.set_tracer_provider(provider)
    PsycopgInstrumentor().instrument(skip_dep_check=True)
    RedisInstrumentor().instrument(skip_dep_check=True)
    _tracer = trace.get_tracer("footfall")


def _within_work(usual: Sampler) -> Sampler:
    """Statements and commands are traced inside a request or an actor only: looking into queues would drown them."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler, SamplingResult
    from opentelemetry.trace import SpanKind, get_current_span

    class WithinWork(Sampler):
        def should_sample(  # type: ignore[no-untyped-def]
            self, parent_context, trace_id, name, kind=None, *more, **others
        ) -> SamplingResult:
            is_lone = kind is SpanKind.CLIENT and not get_current_span(parent_context).get_span_context().is_valid
            sampler = ALWAYS_OFF if is_lone else usual
            return sampler.should_sample(parent_context, trace_id, name, kind, *more, **others)

        def get_description(self) -> str:
            return f"WithinWork({usual.get_description()})"

    return WithinWork()
