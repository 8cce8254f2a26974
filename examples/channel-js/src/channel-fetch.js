// The same by `fetch`, as a ready-made client would: componentize-js carries it over `wasi:http`.

import { describe } from "./descriptor.js";
import { message, url } from "./request.js";
import { judge, unanswered } from "./reply.js";

export const channel = {
  describe: () => describe("discord-fetch"),

  // The contract knows no promise: the call lasts until this one is kept.
  async send(context, { notification }) {
    const config = JSON.parse(context.config);
    let response, body;
    try {
      response = await fetch(url(config), {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(message(notification, config)),
      });
      body = await response.text();
    } catch (error) {
      // `fetch` tells no reasons: not granted, unreachable and cut off all arrive as one error.
      return unanswered({ tag: "unreachable", val: String(error.message) });
    }
    return judge(response.status, response.headers, body);
  },
};
