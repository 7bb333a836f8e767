"""From a handler's dict, or an error, to HTTP: each protocol's form, by botocore's models.

Codes are those of botocore 1.44. A status from the model wins (``ThrottlingException`` is 400 for
CloudTrail, which models none, and 429 for Bedrock, which models it).
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as Xml

from botocore.model import OperationModel, Shape, StructureShape
from botocore.validate import ParamValidator, ValidationErrors

from tests.aws.calls import Answer, AwsError, Violation
from tests.aws.eventstream import CONTENT_TYPE, frame

_JSON_TYPES = {"json": "application/x-amz-json-{}", "rest-json": "application/json"}
_CHECKED = 50
_NOTHING = StructureShape("Nothing", {"type": "structure", "members": {}})


class _Validator(ParamValidator):
    """Botocore's validator, but only for the first items of a long list: pages are long."""

    def _validate_list(self, param: Any, shape: Shape, errors: ValidationErrors, name: str) -> None:
        short = param[:_CHECKED] if isinstance(param, list) else param
        super()._validate_list(short, shape, errors, name)


def validate(what: str, shape: Shape | None, value: dict[str, Any]) -> None:
    """Raise Violation unless the value fits the shape; no shape means no members."""
    errors = _Validator().validate(value, shape or _NOTHING)
    if errors.has_errors():
        raise Violation(f"{what}: {errors.generate_report()}")


def success(operation: OperationModel, value: dict[str, Any]) -> Answer:
    """Return the answer 200; raise Violation for one that AWS could not have given."""
    model, shape = operation.service_model, operation.output_shape
    payload = shape.serialization.get("payload") if shape else None
    if payload and operation.has_event_stream_output:
        return _stream(operation, payload, value)
    validate(f"answer of {operation.name}", shape, value)
    if payload and shape.members[payload].type_name == "blob":
        return Answer(body=value[payload], headers=_headers(shape, value))
    if model.resolved_protocol in _JSON_TYPES:
        body = json.dumps(_to_json(model.resolved_protocol, operation.output_shape, value))
        return Answer(body=body.encode(), headers=_json_headers(operation))
    return Answer(body=_to_xml(operation, value), headers={"Content-Type": "text/xml"})


def error(operation: OperationModel, problem: AwsError) -> Answer:
    """Return the error in the form of the operation's protocol."""
    model = operation.service_model
    modelled = _modelled_error(operation, problem.code)
    status = modelled.get("httpStatusCode", problem.status)
    if model.resolved_protocol not in _JSON_TYPES:
        return Answer(status, _xml_error(operation, problem), {"Content-Type": "text/xml"})
    headers = _json_headers(operation) | {"x-amzn-ErrorType": problem.code}
    if "awsQueryCompatible" in model.metadata and "code" in modelled:
        headers["x-amzn-query-error"] = f"{modelled['code']};Sender"
    body = {"__type": problem.code, "message": problem.message}
    return Answer(status, json.dumps(body).encode(), headers)


def _modelled_error(operation: OperationModel, code: str) -> dict[str, Any]:
    for shape in operation.error_shapes:
        if shape.name == code:
            return shape.metadata.get("error", {})
    return {}


def _json_headers(operation: OperationModel) -> dict[str, str]:
    metadata = operation.service_model.metadata
    form = _JSON_TYPES[operation.service_model.resolved_protocol]
    return {"Content-Type": form.format(metadata.get("jsonVersion", ""))}


def _to_json(protocol: str, shape: Shape | None, value: Any) -> Any:
    match shape.type_name if shape else "":
        case "timestamp":
            return _timestamp(shape.serialization.get("timestampFormat"), value)
        case "blob":
            return base64.b64encode(value).decode()
        case "list" if shape.member.type_name in ("structure", "list", "timestamp"):
            return [_to_json(protocol, shape.member, item) for item in value]
        case "structure":
            return {k: _to_json(protocol, shape.members[k], item) for k, item in value.items()}
    return value


def _headers(shape: Shape, value: dict[str, Any]) -> dict[str, str]:
    return {
        shape.members[name].serialization["name"]: str(item)
        for name, item in value.items()
        if shape.members[name].serialization.get("location") == "header"
    }


def _stream(operation: OperationModel, payload: str, value: dict[str, Any]) -> Answer:
    """Return the events of a list as frames; an exception of the model is sent as an exception."""
    shape = operation.output_shape.members[payload]
    body = b""
    for event in value[payload]:
        validate(f"stream of {operation.name}", shape, event)
        ((name, item),) = event.items()
        is_error = shape.members[name].metadata.get("exception", False)
        kind = "exception" if is_error else "event"
        headers = {
            f":{kind}-type": name,
            ":content-type": "application/json",
            ":message-type": kind,
        }
        text = json.dumps(_to_json("rest-json", shape.members[name], item))
        body += frame(headers, text.encode())
    headers = _headers(operation.output_shape, {k: v for k, v in value.items() if k != payload})
    return Answer(body=body, headers=headers | {"Content-Type": CONTENT_TYPE})


def _timestamp(form: str | None, value: Any) -> Any:
    """Return epoch seconds, or text where the model says so; numbers and text pass unchanged."""
    if not isinstance(value, datetime):
        return value
    utc = value.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%SZ") if form == "iso8601" else utc.timestamp()


def _to_xml(operation: OperationModel, value: dict[str, Any]) -> bytes:
    root = Xml.Element(f"{operation.name}Response")
    shape = operation.output_shape
    wrapper = shape.serialization.get("resultWrapper") if shape else None
    if operation.service_model.resolved_protocol == "ec2":
        Xml.SubElement(root, "requestId").text = str(uuid4())
    else:
        metadata = Xml.SubElement(root, "ResponseMetadata")
        Xml.SubElement(metadata, "RequestId").text = str(uuid4())
    _fill(Xml.SubElement(root, wrapper) if wrapper else root, shape, value)
    return Xml.tostring(root, encoding="utf-8")


def _fill(element: Xml.Element, shape: Shape | None, value: Any) -> None:
    match shape.type_name if shape else "":
        case "structure":
            for name, item in value.items():
                member = shape.members[name]
                child = Xml.SubElement(element, member.serialization.get("name", name))
                _fill(child, member, item)
        case "list":
            for item in value:
                tag = shape.member.serialization.get("name", "member")
                _fill(Xml.SubElement(element, tag), shape.member, item)
        case "timestamp":
            element.text = _timestamp("iso8601", value)
        case "boolean":
            element.text = str(value).lower()
        case _:
            element.text = str(value)


def _xml_error(operation: OperationModel, problem: AwsError) -> bytes:
    """Return S3's bare ``Error``, EC2's ``Response/Errors/Error`` or else ``ErrorResponse``."""
    problem_xml = Xml.Element("Error")
    Xml.SubElement(problem_xml, "Code").text = problem.code
    Xml.SubElement(problem_xml, "Message").text = problem.message
    match operation.service_model.resolved_protocol:
        case "rest-xml":
            root = problem_xml
        case "ec2":
            root = Xml.Element("Response")
            Xml.SubElement(root, "Errors").append(problem_xml)
        case _:
            root = Xml.Element("ErrorResponse")
            root.append(problem_xml)
    return Xml.tostring(root, encoding="utf-8")
