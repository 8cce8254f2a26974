// Posts every notification to a webhook.

import { send as exchange } from "campanile:plugin/http@{{contract}}";

const schema = {
  type: "object",
  properties: { url: { type: "string", format: "uri", pattern: "^https?://", description: "Where to post to." } },
  required: ["url"],
  additionalProperties: false,
};

export const channel = {
  describe() {
    return {
      about: {
        name: "{{name}}",
        version: "0.1.0",
        summary: "Posts every notification to a webhook",
        configSchema: JSON.stringify(schema),
        secrets: [],
        needs: [
          {
            capability: "http",
            scope: ["config:/url"],
            required: true,
            reason: "posts every notification to the URL in its config",
          },
        ],
        extra: [],
      },
      features: [],
      limits: {},
    };
  },

  send(context, { id, notification }) {
    const { url } = JSON.parse(context.config);
    const { title, text } = notification.content;
    const request = {
      method: "POST",
      url,
      headers: [
        ["content-type", "application/json"],
        ["idempotency-key", id],
      ],
      body: [{ tag: "text", val: JSON.stringify({ title: title ?? null, text }) }],
      auth: { tag: "none" },
      redirects: 0,
    };
    let response;
    try {
      response = exchange(request);
    } catch (error) {
      // A `result` arrives as an exception that carries the error as `payload`; anything else is a defect.
      if (error.payload === undefined) throw error;
      return unanswered(error.payload);
    }
    return judge(response);
  },
};

export function judge({ status, headers }) {
  if (status >= 200 && status < 300) return { tag: "sent", val: { facts: [] } };
  const told = { code: `http-${status}`, reason: `provider answered ${status}` };
  const seconds = Number(new Map(headers).get("retry-after"));
  const afterMs = seconds > 0 ? Math.min(Math.ceil(seconds * 1000), 0xffffffff) : undefined;
  if (status === 429) return { tag: "rate-limited", val: { afterMs, scope: "channel", ...told } };
  if (status >= 500) return { tag: "retry", val: { afterMs, trouble: "server", ...told } };
  if (status === 408 || status === 425) return { tag: "retry", val: { afterMs, trouble: "timeout", ...told } };
  // What is wrong with this message alone, and what would be wrong with every other.
  return { tag: "rejected", val: { blame: [400, 413, 422].includes(status) ? "message" : "channel", ...told } };
}

// There was no answer. `denied` and `invalid` stay so until somebody changes the configuration.
function unanswered({ tag, val }) {
  if (tag === "denied" || tag === "invalid") return { tag: "rejected", val: { blame: "channel", code: tag, reason: val } };
  const trouble = tag === "timeout" ? "timeout" : tag === "exhausted" ? "other" : "unreachable";
  return { tag: "retry", val: { trouble, code: tag, reason: val } };
}
