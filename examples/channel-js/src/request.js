// Content → request. Pure.
//
// https://docs.discord.com/developers/resources/webhook#execute-webhook
// https://docs.discord.com/developers/resources/message#embed-object-embed-limits

const TITLE_MAX = 256;
const DESCRIPTION_MAX = 4096;

// A colour for each of the common kinds; none for the caller's own words.
const COLOURS = { info: 0x3498db, success: 0x2ecc71, warning: 0xf1c40f, error: 0xe74c3c };

// `token` is a handle here. `wait`: without it Discord answers before it knows whether the message can be stored.
export function url({ server, webhook, token, thread }) {
  return `${server}/api/webhooks/${webhook}/${token}?wait=true${thread ? `&thread_id=${thread}` : ""}`;
}

export function message({ kind, content, actions, createdMs }, { username }) {
  const links = actions.filter(({ url }) => url).map(({ label, url }) => `[${escape(label)}](<${url}>)`);
  const tail = links.length > 0 ? `\n\n${links.join(" · ")}` : "";
  const body = content.markdown ?? escape(content.text);
  const embed = {
    // Links last, whole or not at all: half a link is worse than none.
    description: tail.length < DESCRIPTION_MAX ? cut(body, DESCRIPTION_MAX - tail.length) + tail : cut(body, DESCRIPTION_MAX),
    timestamp: new Date(Number(createdMs)).toISOString(),
  };
  if (content.title) embed.title = cut(content.title, TITLE_MAX);
  if (Object.hasOwn(COLOURS, kind)) embed.color = COLOURS[kind];
  return {
    ...(username && { username }),
    embeds: [embed],
    // Content rings nobody, whatever mentions stand in it.
    allowed_mentions: { parse: [] },
  };
}

// What Discord would read as Markdown in a text that is none.
export function escape(text) {
  return text.replace(/[\\*_~`|<>[\]]/g, "\\$&").replace(/^[#+-]/gm, "\\$&");
}

// At most `max` code units, never half a character.
export function cut(text, max) {
  if (text.length <= max) return text;
  const end = max - 1;
  const last = text.charCodeAt(end - 1);
  return `${text.slice(0, last >= 0xd800 && last <= 0xdbff ? end - 1 : end)}…`;
}
