// Sends a message with the types of openapi-typescript, and openapi-fetch.

import createClient from "openapi-fetch";

import type { paths } from "./openapi-typescript/schema";

async function main(): Promise<void> {
  const { GATEWAY = "", KEY = "", FROM = "" } = process.env;
  const client = createClient<paths>({ baseUrl: GATEWAY, headers: { authorization: `Bearer ${KEY}` } });

  const { error } = await client.POST("/v1/sms/send", { body: { to: "101", from: FROM, body: "Hello" } });
  if (error?.code !== "invalid_phone_number" || error.field !== "to") throw new Error(JSON.stringify(error));

  const { data: sent } = await client.POST("/v1/sms/send", {
    body: { to: "+16505550111", from: FROM, body: "From openapi-typescript" },
    params: { header: { "Idempotency-Key": "openapi-typescript" } },
  });
  if (sent === undefined) throw new Error("the message was rejected");
  const { data: message } = await client.GET("/v1/sms/status/{messageId}", { params: { path: { messageId: sent.messageId } } });
  if (message?.from !== FROM) throw new Error(JSON.stringify(message));

  const { data } = await client.GET("/v1/events");
  const connected = data?.events.find((event) => event.type === "rc_connected");
  if (data === undefined || connected?.extensionId === undefined) throw new Error(JSON.stringify(data));
  console.log(`${error.code}, then ${sent.status} ${sent.messageId}, ${data.events.length} events`);
}

void main();
