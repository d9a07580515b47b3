// Sends a message with the TypeScript client of openapi-generator.

import { Configuration, type ErrorResponse, ErrorResponseFromJSON, EventsAndWebhooksApi, MessagesApi, ResponseError } from "./typescript-fetch";

async function main(): Promise<void> {
  const { GATEWAY = "", KEY = "", FROM = "" } = process.env;
  const configuration = new Configuration({ basePath: GATEWAY, accessToken: KEY });
  const messages = new MessagesApi(configuration);

  let error: ErrorResponse | undefined;
  try {
    await messages.sendSms({ sendRequest: { to: "101", from: FROM, body: "Hello" } });
  } catch (thrown) {
    if (!(thrown instanceof ResponseError)) throw thrown;
    error = ErrorResponseFromJSON(await thrown.response.json());
  }
  if (error?.code !== "invalid_phone_number" || error.field !== "to") throw new Error(JSON.stringify(error));

  const sendRequest = { to: "+16505550111", from: FROM, body: "From typescript-fetch" };
  const sent = await messages.sendSms({ sendRequest, idempotencyKey: "typescript-fetch" });
  const message = await messages.getMessage({ messageId: sent.messageId });
  if (message.from !== FROM) throw new Error(JSON.stringify(message));

  const { events } = await new EventsAndWebhooksApi(configuration).listEvents();
  const connected = events.find((event) => event.type === "rc_connected");
  if (connected?.extensionId === undefined) throw new Error(JSON.stringify(events));
  console.log(`${error.code}, then ${sent.status} ${sent.messageId}, ${events.length} events`);
}

void main();
