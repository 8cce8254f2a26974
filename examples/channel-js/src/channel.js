// Posts to a Discord webhook by the contract's own `http`.

import { send as exchange } from "campanile:plugin/http@0.1.1";

import { describe } from "./descriptor.js";
import { message, url } from "./request.js";
import { judge, unanswered } from "./reply.js";

export const channel = {
  describe: () => describe("discord"),

  send(context, { notification }) {
    const config = JSON.parse(context.config);
    const request = {
      method: "POST",
      url: url(config),
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
