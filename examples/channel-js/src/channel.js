// Posts to a Discord webhook.

import { send as exchange } from "campanile:plugin/http@0.1.0";

import { message } from "./request.js";
import { judge, unanswered } from "./reply.js";

const schema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  properties: {
    url: {
      type: "string",
      format: "uri",
      pattern: "^https?://[^?#]+$",
      description: "URL of the webhook, without query; it is as good as a password.",
    },
    username: { type: "string", minLength: 1, maxLength: 80, description: "Name to post as." },
    thread: { type: "string", pattern: "^[0-9]{1,20}$", description: "Id of the thread to post to." },
  },
  required: ["url"],
  additionalProperties: false,
};

export const channel = {
  describe() {
    return {
      about: {
        name: "discord",
        version: "0.1.0",
        summary: "Posts to a Discord webhook",
        homepage: "https://docs.discord.com/developers/resources/webhook#execute-webhook",
        license: "MIT OR Apache-2.0",
        configSchema: JSON.stringify(schema),
        secrets: [],
        needs: [
          {
            capability: "http",
            scope: ["config:/url"],
            required: true,
            reason: "posts every notification to the webhook in its config",
          },
        ],
        extra: [],
      },
      features: ["markdown", "actions"],
      limits: { title: { max: 256, unit: "utf16" }, body: { max: 4096, unit: "utf16" } },
    };
  },

  send(context, { notification }) {
    const config = JSON.parse(context.config);
    // `wait`: without it Discord answers before it knows whether the message can be stored.
    const thread = config.thread ? `&thread_id=${config.thread}` : "";
    const request = {
      method: "POST",
      url: `${config.url}?wait=true${thread}`,
      headers: [["content-type", "application/json"]],
      body: [{ tag: "text", val: JSON.stringify(message(notification, config)) }],
      auth: { tag: "none" },
      redirects: 0,
    };
    let response;
    try {
      response = exchange(request);
    } catch (error) {
      // A `result` arrives as an exception that carries the WIT error as `payload`; anything else is a defect.
      if (error.payload === undefined) throw error;
      return unanswered(error.payload);
    }
    return judge(response.status, new Map(response.headers), new TextDecoder().decode(response.body));
  },
};
