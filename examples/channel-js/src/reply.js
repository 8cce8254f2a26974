// Reply → outcome. Pure.
//
// https://docs.discord.com/developers/topics/opcodes-and-status-codes
// https://docs.discord.com/developers/topics/rate-limits

const REASON_MAX = 200;

export function judge(status, headers, body) {
  const { id, message, code, retry_after: retryAfter } = parsed(body);
  if (status >= 200 && status < 300) {
    return { tag: "sent", val: { providerId: typeof id === "string" ? id : undefined, facts: [] } };
  }
  const seconds = retryAfter ?? Number(headers.get("retry-after"));
  const afterMs = seconds > 0 ? Math.min(Math.ceil(seconds * 1000), 0xffffffff) : undefined;
  const told = {
    code: code === undefined ? undefined : String(code),
    reason: `Discord answered ${status}${message ? `: ${String(message).slice(0, REASON_MAX)}` : ""}`,
  };
  if (status === 429) {
    const scope = headers.get("x-ratelimit-scope") === "global" ? "account" : "channel";
    return { tag: "rate-limited", val: { afterMs, scope, ...told } };
  }
  if (status >= 500) {
    return { tag: "retry", val: { afterMs, trouble: "server", ...told } };
  }
  if (status === 408) {
    return { tag: "retry", val: { afterMs, trouble: "timeout", ...told } };
  }
  // 400 and 413 are about this message; an unknown webhook (404), a wrong token (401), … about the channel.
  const blame = status === 400 || status === 413 ? "message" : "channel";
  return { tag: "rejected", val: { blame, ...told } };
}

// There was no answer. `denied` and `invalid` stay so until somebody changes the configuration.
export function unanswered({ tag, val }) {
  if (tag === "denied" || tag === "invalid") {
    return { tag: "rejected", val: { blame: "channel", code: tag, reason: val } };
  }
  const trouble = tag === "timeout" ? "timeout" : tag === "exhausted" ? "other" : "unreachable";
  return { tag: "retry", val: { trouble, code: tag, reason: val } };
}

function parsed(body) {
  try {
    return Object(JSON.parse(body));
  } catch {
    return {};
  }
}
