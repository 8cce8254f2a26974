// What the plugin says of itself, whichever way it sends.

const schema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  properties: {
    webhook: { type: "string", pattern: "^[0-9]{1,20}$", description: "Id of the webhook: the first part after `/webhooks/` in its URL." },
    token: { type: "string", description: "Token of the webhook: the second part." },
    server: {
      type: "string",
      format: "uri",
      pattern: "^https?://[^/?#]+$",
      default: "https://discord.com",
      description: "Where Discord's API is, without a path.",
    },
    username: { type: "string", minLength: 1, maxLength: 80, description: "Name to post as." },
    thread: { type: "string", pattern: "^[0-9]{1,20}$", description: "Id of the thread to post to." },
  },
  required: ["webhook", "token"],
  additionalProperties: false,
};

export function describe(name) {
  return {
    about: {
      name,
      version: "0.1.0",
      summary: "Posts to a Discord webhook",
      homepage: "https://docs.discord.com/developers/resources/webhook#execute-webhook",
      license: "MIT OR Apache-2.0",
      configSchema: JSON.stringify(schema),
      // The config holds a handle; the host puts the token in its place where a request leaves, in URLs only.
      secrets: [{ key: "/token", places: { url: true } }],
      needs: [
        {
          capability: "http",
          scope: ["config:/server"],
          required: true,
          reason: "posts every notification to the webhook in its config",
        },
      ],
      extra: [],
    },
    features: ["markdown", "actions"],
    limits: { title: { max: 256, unit: "utf16" }, body: { max: 4096, unit: "utf16" } },
  };
}
