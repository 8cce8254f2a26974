import assert from "node:assert/strict";
import { test } from "node:test";

import { describe } from "../src/descriptor.js";
import { judge, unanswered } from "../src/reply.js";
import { cut, message, url } from "../src/request.js";

const notification = {
  kind: "warning",
  content: { title: "Disk almost full", text: "db-3 is at *91 %* @everyone", parts: [] },
  actions: [
    { id: "open", label: "Open", url: "https://status.example.com/", style: "primary" },
    { id: "mute", label: "Mute", style: "plain" },
  ],
  createdMs: 1_767_225_600_000n,
};

test("the token is a secret that is good for URLs and nothing else", () => {
  const { configSchema, secrets } = describe("discord").about;
  assert.deepEqual(secrets, [{ key: "/token", places: { url: true } }]);
  assert.ok(JSON.parse(configSchema).required.includes("token"));
  const config = { server: "https://discord.com", webhook: "7", token: "csec_abc" };
  assert.equal(url(config), "https://discord.com/api/webhooks/7/csec_abc?wait=true");
  assert.equal(url({ ...config, thread: "8" }), "https://discord.com/api/webhooks/7/csec_abc?wait=true&thread_id=8");
});

test("a text is shown as it was written, with its links, and rings nobody", () => {
  assert.deepEqual(message(notification, { username: "Campanile" }), {
    username: "Campanile",
    embeds: [
      {
        title: "Disk almost full",
        description: "db-3 is at \\*91 %\\* @everyone\n\n[Open](<https://status.example.com/>)",
        timestamp: "2026-01-01T00:00:00.000Z",
        color: 0xf1c40f,
      },
    ],
    allowed_mentions: { parse: [] },
  });
});

test("Markdown is handed on as it is", () => {
  const content = { text: "x", markdown: "**x**", parts: [] };
  const { embeds } = message({ ...notification, kind: "order.shipped", content, actions: [] }, {});
  assert.deepEqual(embeds, [{ description: "**x**", timestamp: "2026-01-01T00:00:00.000Z" }]);
});

test("a long text is cut and its links are kept", () => {
  const content = { text: "🔔".repeat(3000), parts: [] };
  const [{ description }] = message({ ...notification, content }, {}).embeds;
  assert.ok(description.length <= 4096);
  assert.ok(description.endsWith("🔔…\n\n[Open](<https://status.example.com/>)"), description.slice(-60));
  assert.equal(cut("🔔🔔", 3), "🔔…");
});

test("every answer has its meaning", () => {
  const ends = [
    [200, {}, '{"id":"1234"}'],
    [200, {}, '{"id":1234}'],
    [204, {}, ""],
    [429, {}, '{"message":"You are being rate limited.","retry_after":0.65,"global":false}'],
    [429, { "retry-after": "2", "x-ratelimit-scope": "global" }, "not JSON"],
    [503, {}, "upstream"],
    [400, {}, '{"code":50035,"message":"Invalid Form Body"}'],
    [401, {}, '{"code":50027,"message":"Invalid Webhook Token"}'],
    [404, {}, '{"code":10015,"message":"Unknown Webhook"}'],
  ].map(([status, headers, body]) => judge(status, new Map(Object.entries(headers)), body));
  assert.deepEqual(ends, [
    { tag: "sent", val: { providerId: "1234", facts: [] } },
    { tag: "sent", val: { providerId: undefined, facts: [] } },
    { tag: "sent", val: { providerId: undefined, facts: [] } },
    {
      tag: "rate-limited",
      val: { afterMs: 650, scope: "channel", code: undefined, reason: "Discord answered 429: You are being rate limited." },
    },
    { tag: "rate-limited", val: { afterMs: 2000, scope: "account", code: undefined, reason: "Discord answered 429" } },
    { tag: "retry", val: { afterMs: undefined, trouble: "server", code: undefined, reason: "Discord answered 503" } },
    { tag: "rejected", val: { blame: "message", code: "50035", reason: "Discord answered 400: Invalid Form Body" } },
    { tag: "rejected", val: { blame: "channel", code: "50027", reason: "Discord answered 401: Invalid Webhook Token" } },
    { tag: "rejected", val: { blame: "channel", code: "10015", reason: "Discord answered 404: Unknown Webhook" } },
  ]);
});

test("no answer is tried again, unless trying cannot help", () => {
  const end = ({ tag, val }) => `${tag} ${val.trouble ?? val.blame}`;
  assert.deepEqual(
    ["denied", "invalid", "exhausted", "unreachable", "interrupted", "timeout"].map((tag) => end(unanswered({ tag, val: "why" }))),
    ["rejected channel", "rejected channel", "retry other", "retry unreachable", "retry unreachable", "retry timeout"],
  );
});
