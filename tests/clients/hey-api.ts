// Sends a message with the client of hey-api.

import { getMessage, listEvents, sendSms } from "./hey-api";
import { client } from "./hey-api/client.gen";

async function main(): Promise<void> {
  const { GATEWAY = "", KEY = "", FROM = "" } = process.env;
  client.setConfig({ baseUrl: GATEWAY, auth: KEY });

  const { error } = await sendSms({ body: { to: "101", from: FROM, body: "Hello" } });
  if (error?.code !== "invalid_phone_number" || error.field !== "to") throw new Error(JSON.stringify(error));

  const { data: sent } = await sendSms({
    body: { to: "+16505550111", from: FROM, body: "From hey-api" },
    headers: { "Idempotency-Key": "hey-api" },
    throwOnError: true,
  });
  const { data: message } = await getMessage({ path: { messageId: sent.messageId }, throwOnError: true });
  if (message.from !== FROM) throw new Error(JSON.stringify(message));

  const { data } = await listEvents({ throwOnError: true });
  const connected = data.events.find((event) => event.type === "rc_connected");
  if (connected?.extensionId === undefined) throw new Error(JSON.stringify(data));
  console.log(`${error.code}, then ${sent.status} ${sent.messageId}, ${data.events.length} events`);
}

void main();
