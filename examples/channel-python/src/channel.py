"""Publishes to a topic of an ntfy server."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.channel import Descriptor, Length, LengthUnit, Limits
from wit_world.imports import http
from wit_world.imports.types import About, Context, Delivery, Need, Outcome, Piece_Text, Places, SecretKey

import reply
import request

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "server": {
            "type": "string",
            "format": "uri",
            "pattern": "^https?://",
            "default": "https://ntfy.sh",
            "description": "Base URL of the server.",
        },
        "topic": {
            "type": "string",
            "pattern": "^[-_A-Za-z0-9]{1,64}$",
            "description": "Topic to publish to. Without access control its name is as good as a password.",
        },
        "token": {
            "type": "string",
            "description": "Access token, where the topic needs one.",
        },
        "tags": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "maxItems": 10,
            "default": [],
            "description": "Tags of every message, besides the one of its kind.",
        },
    },
    "required": ["topic"],
    "additionalProperties": False,
}


class Channel(exports.Channel):
    def describe(self) -> Descriptor:
        about = About(
            name="ntfy",
            version="0.1.0",
            summary="Publishes to a topic of an ntfy server",
            homepage="https://docs.ntfy.sh/publish/",
            license="MIT OR Apache-2.0",
            config_schema=json.dumps(SCHEMA),
            # The config holds a handle; `auth` has the host put the token in its place where a request leaves.
            secrets=[SecretKey("/token", Places.AUTH)],
            needs=[Need("http", ["config:/server"], True, "publishes every notification to the server in its config")],
            extra=[],
        )
        limits = Limits(
            title=None,
            body=Length(request.MESSAGE_BYTES_MAX, LengthUnit.BYTES),
            attachments=None,
            attachment_size=None,
            attachments_size=None,
            batch=None,
        )
        return Descriptor(about, None, ["markdown", "actions"], limits, None)

    def send(self, context: Context, delivery: Delivery) -> Outcome:
        config = json.loads(context.config)
        message = request.message(config, delivery)
        auth = http.Auth_Bearer(config["token"]) if "token" in config else http.Auth_None_()
        try:
            response = http.send(
                http.Request(
                    method="POST",
                    url=config["server"],
                    headers=[("content-type", "application/json")],
                    body=[Piece_Text(json.dumps(message))],
                    auth=auth,
                    redirects=0,
                    timeout_ms=None,
                )
            )
        except Err as error:
            return reply.unanswered(error.value)
        return reply.judge(response)
