"""From HTTP to an operation and its parameters, by botocore's own service models.

No operation is described by hand: paths, names and types come from the models that the client uses
to write the request. The parameters are returned as a caller of boto3 would pass them, timestamps as
aware datetimes, and are then checked by botocore's validator.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.utils import parse_timestamp

from tests.aws.calls import HttpRequest, Violation

_SERVICES = {
    "cloudtrail": "cloudtrail",
    "monitoring": "cloudwatch",
    "logs": "logs",
    "bedrock": "bedrock",
    "bedrock-runtime": "bedrock-runtime",
    "sts": "sts",
    "iam": "iam",
    "organizations": "organizations",
    "pricing": "pricing",
    "s3": "s3",
    "sns": "sns",
    "ec2": "ec2",
    "servicequotas": "service-quotas",
}
# The runtime signs like its control plane but has another host: here it has other paths.
_RUNTIME = "/model/"
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")


class Scope(NamedTuple):
    """Who signs, and for which region and service: this distinguishes services on one port."""

    access_key: str
    region: str
    service: str


def scope(http: HttpRequest) -> Scope:
    """Read the credential scope of the signature; the signature itself is not checked."""
    match = _CREDENTIAL.search(http.headers.get("Authorization", ""))
    if match is None:
        raise Violation(f"{http.method} {http.path}: not signed with Signature Version 4")
    key, region, signing_name = match.groups()
    if signing_name not in _SERVICES:
        raise Violation(f"{http.method} {http.path}: no service is signed as {signing_name!r} here")
    if signing_name == "bedrock" and http.path.startswith(_RUNTIME):
        signing_name = "bedrock-runtime"
    return Scope(key, region, _SERVICES[signing_name])


@cache
def service_model(service: str) -> ServiceModel:
    # A separate loader: clients modify the models of theirs (S3's addresses).
    return ServiceModel(Loader().load_service_model(service, "service-2"), service_name=service)


def parse(service: str, http: HttpRequest) -> tuple[OperationModel, dict[str, Any]]:
    """Return the operation and its parameters; raise Violation for another protocol or operation."""
    model = service_model(service)
    return _PARSERS[model.resolved_protocol](model, http)


def _parse_json(model: ServiceModel, http: HttpRequest) -> tuple[OperationModel, dict[str, Any]]:
    prefix, _, name = http.headers.get("X-Amz-Target", "").rpartition(".")
    if prefix != model.metadata["targetPrefix"]:
        kind = http.headers.get("Content-Type")
        raise Violation(f"{model.service_name}: the json protocol is spoken here, not {kind}")
    operation = _operation(model, name)
    return operation, from_json(operation.input_shape, json.loads(http.plain_body or b"{}"))


def _parse_query(model: ServiceModel, http: HttpRequest) -> tuple[OperationModel, dict[str, Any]]:
    fields = dict(parse_qsl(http.body.decode(), keep_blank_values=True))
    operation = _operation(model, fields.get("Action", ""))
    protocol = model.resolved_protocol
    return operation, _from_query(protocol, operation.input_shape, fields, "") or {}


def _parse_rest(model: ServiceModel, http: HttpRequest) -> tuple[OperationModel, dict[str, Any]]:
    query = dict(parse_qsl(http.query, keep_blank_values=True))
    route = _route(model, http, query)
    shape, params = route.operation.input_shape, {}
    places: dict[str, Any] = {"querystring": query}
    if model.resolved_protocol == "rest-json":
        params = _read_body(shape, http.body)
        places["header"] = http.headers
    labels = places["uri"] = route.path.fullmatch(http.path).groupdict()
    for name, member in shape.members.items() if shape else ():
        sent = places.get(member.serialization.get("location"), {})
        text = sent.get(member.serialization.get("name", name))
        if text is not None:
            params[name] = _scalar(member, unquote(text) if sent is labels else text)
    return route.operation, params


def _read_body(shape: Shape | None, body: bytes) -> dict[str, Any]:
    payload = shape.serialization.get("payload") if shape else None
    if not body:
        return {}
    if payload and shape.members[payload].type_name == "blob":
        return {payload: body}
    return from_json(shape, json.loads(body))


_PARSERS = {
    "json": _parse_json,
    "query": _parse_query,
    "ec2": _parse_query,
    "rest-json": _parse_rest,
    "rest-xml": _parse_rest,
}


def _operation(model: ServiceModel, name: str) -> OperationModel:
    if name not in model.operation_names:
        raise Violation(f"{model.service_name} has no operation {name!r}")
    return model.operation_model(name)


class _Route(NamedTuple):
    """The address of a REST service's operation, and what a request to it must have.

    S3 has many operations at one address (PutObject, CopyObject). Constants in the query and the
    required ``parameters`` (lower-case names in query or headers) distinguish them.
    """

    method: str
    path: re.Pattern[str]
    constants: dict[str, str]
    parameters: set[str]
    operation: OperationModel

    def fits(self, http: HttpRequest, query: dict[str, str]) -> bool:
        sent = {name.lower() for name in (*query, *http.headers)}
        return (
            self.method == http.method
            and self.constants.items() <= query.items()
            and self.parameters <= sent
            and self.path.fullmatch(http.path) is not None
        )


def _route(model: ServiceModel, http: HttpRequest, query: dict[str, str]) -> _Route:
    fitting = [route for route in _routes(model.service_name) if route.fits(http, query)]
    if not fitting:
        raise Violation(f"{model.service_name} has no operation at {http.method} {http.path}")
    return max(fitting, key=lambda route: len(route.constants) + len(route.parameters))


@cache
def _routes(service: str) -> list[_Route]:
    model = service_model(service)
    operations = [model.operation_model(name) for name in model.operation_names]
    return [_route_of(operation) for operation in operations]


def _route_of(operation: OperationModel) -> _Route:
    path, _, query = operation.http["requestUri"].partition("?")
    pattern = re.sub(r"\{(\w+)\+\}", r"(?P<\1>.+)", path)
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
    constants = dict(parse_qsl(query, keep_blank_values=True))
    shape = operation.input_shape
    required = [shape.members[name] for name in shape.required_members] if shape else []
    parameters = {
        member.serialization["name"].lower()
        for member in required
        if member.serialization.get("location") in ("querystring", "header")
    }
    return _Route(
        operation.http["method"], re.compile(pattern + "/?"), constants, parameters, operation
    )


def from_json(shape: Shape | None, value: Any) -> Any:
    """Convert timestamps to datetimes; leave everything else unchanged."""
    if shape is None:
        return value
    if shape.type_name == "timestamp":
        return parse_timestamp(value)
    if shape.type_name == "list" and isinstance(value, list):
        return [from_json(shape.member, item) for item in value]
    if shape.type_name == "structure" and isinstance(value, dict):
        return {key: from_json(shape.members.get(key), item) for key, item in value.items()}
    return value


def _scalar(shape: Shape, text: str) -> Any:
    match shape.type_name:
        case "integer" | "long":
            return int(text)
        case "float" | "double":
            return float(text)
        case "boolean":
            return text == "true"
        case "timestamp":
            return parse_timestamp(text)
    return text


def _from_query(protocol: str, shape: Shape | None, fields: dict[str, str], at: str) -> Any:
    """Return the value at the dotted name ``at``, or None."""
    if shape is None:
        return None
    if shape.type_name == "structure":
        found = {
            name: _from_query(protocol, member, fields, _query_name(protocol, member, name, at))
            for name, member in shape.members.items()
        }
        return {name: value for name, value in found.items() if value is not None} or None
    if shape.type_name == "list":
        return _list_from_query(protocol, shape, fields, at)
    return _scalar(shape, fields[at]) if at in fields else None


def _list_from_query(protocol: str, shape: Shape, fields: dict[str, str], at: str) -> Any:
    flat = protocol == "ec2" or shape.serialization.get("flattened")
    prefix = at if flat else f"{at}.{shape.member.serialization.get('name', 'member')}"
    items: list[Any] = []
    while True:
        item = _from_query(protocol, shape.member, fields, f"{prefix}.{len(items) + 1}")
        if item is None:
            return items or None
        items.append(item)


def _query_name(protocol: str, member: Shape, name: str, at: str) -> str:
    own = member.serialization.get("name", name)
    if protocol == "ec2":
        own = member.serialization.get("queryName") or own[:1].upper() + own[1:]
    return f"{at}.{own}" if at else own
