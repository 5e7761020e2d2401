"""The metrics of requests, compared with those of django-prometheus' own middleware."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from asgiref.sync import async_to_sync
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncRequestFactory, RequestFactory
from django.urls import include, path
from prometheus_client import REGISTRY
from pytest_django import Settings

from mainstay.metrics.middleware import ViewMetricsMiddleware

pytestmark = pytest.mark.urls(__name__)

OURS = ["mainstay.middleware.observe", "mainstay.metrics.middleware.ViewMetricsMiddleware"]
THEIRS = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def plain(_: HttpRequest) -> HttpResponse:
    return HttpResponse("plain", status=201)


def latin(_: HttpRequest) -> HttpResponse:
    return HttpResponse("latin", content_type="text/plain; charset=latin-1")


def template(request: HttpRequest) -> HttpResponse:
    return TemplateResponse(request, "404.html")


def templates(request: HttpRequest) -> HttpResponse:
    return TemplateResponse(request, ["missing.html", "404.html"])


def streaming(_: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter([b"streaming"]))


def broken(_: HttpRequest) -> HttpResponse:
    raise ArithmeticError


def not_found(_: HttpRequest) -> HttpResponse:
    raise Http404


VIEWS = (plain, latin, template, templates, streaming, broken, not_found)
urlpatterns = [
    *(path(f"{view.__name__}/", view, name=view.__name__) for view in VIEWS),
    path("", include("service.urls")),  # to which the error pages link
]


def samples() -> Samples:
    """All values of django-prometheus' metrics of requests, except times."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in REGISTRY.collect()
        if family.name.startswith("django_http")
        for sample in family.samples
        if not sample.name.endswith("_created")
        and not ("latency" in sample.name and not sample.name.endswith("_count"))
    }


@contextmanager
def counted() -> Iterator[Samples]:
    """What a block adds to the samples."""
    before, difference = samples(), Samples()
    yield difference
    difference |= {
        name: value - before.get(name, 0) for name, value in samples().items() if value != before.get(name, 0)
    }


def answer(middleware: list[str], settings: Settings, request: HttpRequest) -> Samples:
    settings.MIDDLEWARE = middleware
    handler = WSGIHandler()
    with counted() as difference:
        handler.get_response(request)
    return difference


@pytest.mark.parametrize("view", [*(view.__name__ for view in VIEWS), "none"])
@pytest.mark.parametrize("kind", ["get", "post", "head", "ajax", "https"])
def test_requests_are_counted_as_django_prometheus_counts_them(view: str, kind: str, settings: Settings) -> None:
    def request() -> HttpRequest:
        factory, url = RequestFactory(), f"/{view}/"
        if kind == "post":
            return factory.post(url, {"a": "b" * 100})
        if kind == "head":
            return factory.head(url)
        return factory.get(
            url, secure=kind == "https", headers={"x-requested-with": "XMLHttpRequest"} if kind == "ajax" else None
        )

    theirs = answer(THEIRS, settings, request())
    ours = answer(OURS, settings, request())

    assert ours == theirs
    assert ours["django_http_requests_before_middlewares_total", frozenset()] == 1


@pytest.mark.parametrize("view", ["plain", "template", "broken", "none"])
def test_requests_are_counted_alike_under_asgi(view: str, settings: Settings) -> None:
    def answer_async(middleware: list[str]) -> Samples:
        settings.MIDDLEWARE = middleware
        handler = ASGIHandler()
        with counted() as difference:
            async_to_sync(handler.get_response_async)(AsyncRequestFactory().get(f"/{view}/"))
        return difference

    theirs = answer_async(THEIRS)
    ours = answer_async(OURS)

    assert ours == theirs
    assert ours["django_http_requests_before_middlewares_total", frozenset()] == 1


def test_a_response_before_the_view_is_counted_as_django_prometheus_counts_it(settings: Settings) -> None:
    common = "django.middleware.common.CommonMiddleware"

    def request() -> HttpRequest:
        return RequestFactory().get("/plain/", headers={"host": "evil.example"})

    theirs = answer([THEIRS[0], common, THEIRS[1]], settings, request())
    ours = answer([OURS[0], common, OURS[1]], settings, request())

    assert ours == theirs


def test_template_object_is_counted_under_a_bounded_name() -> None:
    middleware = ViewMetricsMiddleware(lambda _: HttpResponse())
    request = RequestFactory().get("/")

    with counted() as difference:
        for _ in range(3):
            template = engines["django"].from_string("page")
            middleware.process_template_response(request, TemplateResponse(request, template))

    name = "django_http_responses_total_by_templatename_total"
    assert difference == {(name, frozenset({("templatename", "<unnamed template>")})): 3}
