"""Run by `make examples`, against the bindings that are generated there."""

import json
import unittest
from dataclasses import replace
from unittest.mock import patch

import channel
import reply
import request
from wit_world.imports import http
from wit_world.imports.types import (
    Action,
    ActionStyle,
    Content,
    Context,
    Delivery,
    Notification,
    Places,
    Priority,
    Recipient,
    SecretKey,
)

NOTIFICATION = Notification(
    id="ntf_1",
    kind="error",
    priority=Priority.CRITICAL,
    content=Content("Disk full", "db-3 is at 100 %", None, None, []),
    actions=[
        Action("open", "Open", "https://status.example.com/", ActionStyle.PRIMARY),
        Action("mute", "Mute", None, ActionStyle.PLAIN),
    ],
    attachments=[],
    data=None,
    metadata=[],
    correlation_id=None,
    group_key=None,
    created_ms=0,
    expires_ms=None,
)


def delivery(notification: Notification) -> Delivery:
    return Delivery("dlv_1_0", 1, Recipient("", None, None, None, None, []), notification)


def answer(status: int, body: str = "", headers: tuple = ()) -> str:
    outcome = reply.judge(http.Response(status, list(headers), body.encode(), False))
    return f"{type(outcome).__name__}: {outcome.value}"


class Messages(unittest.TestCase):
    maxDiff = None

    def test_everything_that_ntfy_can_show_is_told(self):
        message = request.message({"topic": "ops", "tags": ["db"]}, delivery(NOTIFICATION))
        self.assertEqual(
            message,
            {
                "topic": "ops",
                "message": "db-3 is at 100 %",
                "title": "Disk full",
                "priority": 5,
                "tags": ["rotating_light", "db"],
                "sequence_id": "dlv_1_0",
                "click": "https://status.example.com/",
                "actions": [{"action": "view", "label": "Open", "url": "https://status.example.com/"}],
            },
        )

    def test_markdown_is_preferred(self):
        content = Content(None, "x", None, "**x**", [])
        message = request.message({"topic": "ops"}, delivery(replace(NOTIFICATION, content=content, actions=[])))
        self.assertEqual((message["message"], message["markdown"]), ("**x**", True))

    def test_a_long_text_is_cut_between_characters(self):
        self.assertEqual(request.cut("ääää", 7), "ää…")
        self.assertEqual(request.cut("ä" * 2048, 4096), "ä" * 2048)


class Replies(unittest.TestCase):
    def test_every_answer_has_its_meaning(self):
        self.assertEqual(answer(200, '{"id":"abc"}'), "Outcome_Sent: Receipt(provider_id='abc', facts=[])")
        for status, body, end in [
            (200, "[]", "Outcome_Sent: Receipt(provider_id=None"),
            (429, '{"code":42901,"error":"limit reached"}', "Outcome_RateLimited: RateLimit(after_ms=None"),
            (503, "<html>", "Outcome_Retry: Retry(after_ms=None, trouble=<Trouble.SERVER: 1>"),
            (413, '{"code":41301}', "Outcome_Rejected: Rejection(blame=<Blame.MESSAGE: 0>, code='41301'"),
            (403, '{"code":40301,"error":"forbidden"}', "Outcome_Rejected: Rejection(blame=<Blame.CHANNEL: 1>"),
        ]:
            with self.subTest(status=status):
                self.assertTrue(answer(status, body).startswith(end), answer(status, body))

    def test_a_proxy_may_say_when_to_come_back(self):
        self.assertIn("after_ms=7000", answer(503, "", [("retry-after", "7")]))

    def test_no_answer_is_tried_again_unless_trying_cannot_help(self):
        ends = [
            type(reply.unanswered(error("why"))).__name__
            for error in (
                http.Error_Denied,
                http.Error_Invalid,
                http.Error_Exhausted,
                http.Error_Unreachable,
                http.Error_Interrupted,
                http.Error_Timeout,
            )
        ]
        self.assertEqual(ends, ["Outcome_Rejected"] * 2 + ["Outcome_Retry"] * 4)


class Calls(unittest.TestCase):
    def test_it_describes_itself(self):
        descriptor = channel.Channel().describe()
        self.assertEqual(descriptor.about.name, "ntfy")
        self.assertIn("topic", json.loads(descriptor.about.config_schema)["required"])
        self.assertEqual(descriptor.about.secrets, [SecretKey("/token", Places.AUTH)])

    def requested(self, **more: str) -> tuple:
        config = json.dumps({"server": "https://ntfy.example.com", "topic": "ops", **more})
        context = Context("push", config, 0, 1000, [])
        with patch("wit_world.imports.http.send", return_value=http.Response(200, [], b'{"id":"abc"}', False)) as send:
            outcome = channel.Channel().send(context, delivery(NOTIFICATION))
        (request,) = send.call_args.args
        return request, outcome

    def test_a_delivery_is_one_request(self):
        request, outcome = self.requested()
        self.assertEqual((request.method, request.url), ("POST", "https://ntfy.example.com"))
        self.assertEqual(json.loads(request.body[0].value)["topic"], "ops")
        self.assertEqual(request.auth, http.Auth_None_())
        self.assertEqual(outcome.value.provider_id, "abc")

    def test_the_handle_of_a_token_is_left_to_the_host(self):
        request, _ = self.requested(token="csec_abc")
        self.assertEqual(request.auth, http.Auth_Bearer("csec_abc"))


if __name__ == "__main__":
    unittest.main()
