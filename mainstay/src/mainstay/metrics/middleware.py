"""The middleware of django-prometheus in less time: the same metrics, with the same values.

The children of labelled metrics are cached, and headers are read from META: `labels()` and `request.headers` are slow.
"""

from functools import cache
from timeit import default_timer
from typing import Any

from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin
from django_prometheus.middleware import Metrics

from mainstay.metrics import slots

slots.init()


@cache
def labelled(metric: Any, *labels: str) -> Any:
    """The child of a metric, which the metric keeps as long."""
    return metric.labels(*labels)


class ViewMetricsMiddleware(MiddlewareMixin):
    """Counts requests and responses by view, in place of PrometheusAfterMiddleware: the last of MIDDLEWARE.

    `mainstay.middleware.observe` comes before it and refuses methods that would be values of labels without a bound.
    """

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        self.metrics = Metrics.get_instance()

    def process_request(self, request: Any) -> None:
        metrics, meta = self.metrics, request.META
        labelled(metrics.requests_by_method, request.method).inc()
        labelled(metrics.requests_by_transport, request.scheme).inc()
        if meta.get("HTTP_X_REQUESTED_WITH") == "XMLHttpRequest":
            metrics.requests_ajax.inc()
        metrics.requests_body_bytes.observe(int(meta.get("CONTENT_LENGTH") or 0))
        request.view_started = default_timer()

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        labelled(self.metrics.requests_by_view_transport_method, _view(request), request.scheme, request.method).inc()

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        if hasattr(response, "template_name"):
            labelled(self.metrics.responses_by_templatename, _template_name(response.template_name)).inc()
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        labelled(self.metrics.exceptions_by_type, type(exception).__name__).inc()
        labelled(self.metrics.exceptions_by_view, _view(request)).inc()
        self._observe_latency(request)

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        metrics, status = self.metrics, str(response.status_code)
        labelled(metrics.responses_by_status, status).inc()
        labelled(metrics.responses_by_status_view_method, status, _view(request), request.method).inc()
        labelled(metrics.responses_by_charset, response.charset).inc()
        if response.streaming:
            metrics.responses_streaming.inc()
        else:
            metrics.responses_body_bytes.observe(len(response.content))
        self._observe_latency(request)
        return response

    def _observe_latency(self, request: Any) -> None:
        latency = labelled(self.metrics.requests_latency_by_view_method, _view(request), request.method)
        latency.observe(default_timer() - request.view_started)


def _template_name(template: Any) -> str:
    """A bounded value: the representation of a template object has its address."""
    if isinstance(template, (list, tuple)):
        return str([_template_name(each) for each in template])
    if isinstance(template, str):
        return template
    return str(getattr(getattr(template, "template", None), "name", None) or "<unnamed template>")


def _view(request: HttpRequest) -> str:
    match = request.resolver_match
    return match.view_name if match else "<unnamed view>"
