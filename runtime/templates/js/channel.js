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
    return judge(response, context.nowMs);
  },
};

// What a status means where the provider says nothing better: the table of the SDK for Rust.
export function judge({ status, headers }, nowMs) {
  if (status >= 200 && status < 300) return { tag: "sent", val: { facts: [] } };
  const told = { code: `http-${status}`, reason: `provider answered ${status}` };
  const after = headers.find(([name]) => name === "retry-after");
  const afterMs = after && retryAfterMs(after[1].trim(), Number(nowMs));
  const retry = (trouble) => ({ tag: "retry", val: { afterMs, trouble, ...told } });
  if (status === 429) return { tag: "rate-limited", val: { afterMs, scope: "channel", ...told } };
  if (status === 408 || status === 504) return retry("timeout");
  if ([409, 423, 425].includes(status)) return retry("other");
  if (status >= 500 && status < 600 && status !== 501 && status !== 505) return retry("server");
  // What is wrong with this message alone, and what would be wrong with every other.
  const blame = [400, 413, 414, 422, 431].includes(status) ? "message" : "channel";
  return { tag: "rejected", val: { blame, ...told } };
}

// `Retry-After` has seconds or a date; anything else says nothing.
function retryAfterMs(value, nowMs) {
  const isDate = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(value);
  const ms = isDate ? Date.parse(value) - nowMs : /^\d{1,19}(\.\d*)?$/.test(value) ? Math.ceil(value) * 1000 : NaN;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), 0xffffffff);
}

// There was no answer. `denied` and `invalid` stay so until somebody changes the configuration.
function unanswered({ tag, val }) {
  if (tag === "denied" || tag === "invalid") return { tag: "rejected", val: { blame: "channel", code: tag, reason: val } };
  const trouble = tag === "timeout" ? "timeout" : tag === "exhausted" ? "other" : "unreachable";
  return { tag: "retry", val: { trouble, code: tag, reason: val } };
}
