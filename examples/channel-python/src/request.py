"""Delivery → message. Pure.

https://docs.ntfy.sh/publish/#publish-as-json
"""

from wit_world.imports.types import Delivery, Priority

# A longer message would become an attachment.
MESSAGE_BYTES_MAX = 4096
ACTIONS_MAX = 3

PRIORITIES = {Priority.LOW: 2, Priority.NORMAL: 3, Priority.HIGH: 4, Priority.CRITICAL: 5}
# Tags that ntfy shows as an emoji.
KINDS = {"success": "white_check_mark", "warning": "warning", "error": "rotating_light"}


def message(config: dict, delivery: Delivery) -> dict:
    notification = delivery.notification
    content = notification.content
    body = {
        "topic": config["topic"],
        "message": cut(content.markdown or content.text, MESSAGE_BYTES_MAX),
        "priority": PRIORITIES[notification.priority],
        # The same over all attempts: a repeated message takes the place of the first (ntfy 2.16 and later).
        "sequence_id": delivery.id,
    }
    if content.markdown:
        body["markdown"] = True
    if content.title:
        body["title"] = content.title
    tags = ([KINDS[notification.kind]] if notification.kind in KINDS else []) + config.get("tags", [])
    if tags:
        body["tags"] = tags
    links = [action for action in notification.actions if action.url][:ACTIONS_MAX]
    if links:
        body["click"] = links[0].url
        body["actions"] = [{"action": "view", "label": action.label, "url": action.url} for action in links]
    return body


def cut(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8, never half a character."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    mark = "…"
    return encoded[: limit - len(mark.encode())].decode(errors="ignore") + mark
