// Runs the official JavaScript SDK against a simulator. Usage: node sdk.mjs http://localhost:9410
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { SDK } from "@ringcentral/sdk";
import FormData from "form-data";

const server = process.argv[2];
const seed = await control("GET", "/seed");
const [redirectUri] = seed.redirectUris;
const user = seed.users[0];
const [own, customer] = [user.numbers[1], "+16505550111"];
const extension = "/restapi/v1.0/account/~/extension/~";

async function control(method, path, body) {
  const reply = await fetch(`${server}/_sim${path}`, { method, body: body && JSON.stringify(body) });
  assert.ok(reply.ok, `${method} ${path}: ${reply.status}`);
  return reply.json();
}

async function ledger(kind) {
  return (await control("GET", "/ledger?since=0")).entries.filter((entry) => entry.kind === kind);
}

function client(options = {}) {
  const { clientId, clientSecret } = seed;
  const sdk = new SDK({ server, clientId, clientSecret, redirectUri, ...options });
  return { sdk, platform: sdk.platform() };
}

async function step(name, work) {
  // The limit is five token calls a minute, so each step starts in a new minute.
  await control("POST", "/clock", { advanceSeconds: 61 });
  try {
    await work();
  } catch (error) {
    console.error(`failed: ${name}`);
    throw error;
  }
  console.log(`ok: ${name}`);
}

const json = async (reply) => (await reply).json();
const { sdk, platform } = client();
await control("POST", "/reset");

await step("password login, with the extension in the user name", async () => {
  await platform.login({ username: user.username, extension: user.extension, password: user.password });
  assert.equal(String((await json(platform.get(extension))).id), user.extensionId);
  await platform.logout();
  assert.equal((await ledger("session_revoked")).length, 1);
});

await step("authorize URL, redirect and code with PKCE", async () => {
  const url = platform.loginUrl({ state: "s1", usePKCE: true });
  const { redirect } = await control("POST", "/authorize", { url, username: user.username });
  const back = platform.parseLoginRedirect(new URL(redirect).search);
  assert.equal(back.state, "s1");
  await platform.login({ code: back.code, redirect_uri: redirectUri });
  await platform.logout();
});

await step("a public client logs in without a secret", async () => {
  const open = client({ clientId: seed.publicClientId, clientSecret: undefined });
  const url = open.platform.loginUrl({ usePKCE: true });
  const { redirect } = await control("POST", "/authorize", { url, username: user.username });
  const { code } = open.platform.parseLoginRedirect(new URL(redirect).search);
  await open.platform.login({ code });
  await open.platform.refresh();
  await open.platform.logout();
});

await step("a rejected login reports its error", async () => {
  await assert.rejects(platform.login({ username: user.username, password: "wrong" }), /Invalid resource owner/);
});

await step("JWT login", async () => {
  await platform.login({ jwt: user.jwt });
  assert.equal((await json(platform.get("/restapi/v1.0/account/~"))).id, Number(user.accountId));
});

await step("ten calls with an expired token cause one refresh", async () => {
  const before = (await ledger("token_refreshed")).length;
  await control("POST", "/clock", { advanceSeconds: 3600 });
  const replies = await Promise.all(Array.from({ length: 10 }, () => platform.get(extension)));
  assert.ok(replies.every((reply) => reply.status === 200));
  assert.equal((await ledger("token_refreshed")).length, before + 1);
});

await step("phone numbers, repeated query keys", async () => {
  const list = await json(platform.get(`${extension}/phone-number`, { usageType: ["DirectNumber", "CompanyNumber"] }));
  assert.deepEqual(list.records.filter((r) => r.features.includes("SmsSender")).map((r) => r.phoneNumber), [own]);
});

let sent;
await step("SMS", async () => {
  sent = await json(platform.post(`${extension}/sms`, {
    from: { phoneNumber: own }, to: [{ phoneNumber: customer }], text: "hello from the SDK",
  }));
  assert.equal(sent.messageStatus, "Queued");
  await control("POST", "/clock", { advanceSeconds: 5 });
  assert.equal((await json(platform.get(`${extension}/message-store/${sent.id}`))).messageStatus, "Delivered");
});

await step("MMS, and its content", async () => {
  const form = new FormData();
  const body = { from: { phoneNumber: own }, to: [{ phoneNumber: customer }], text: "look" };
  form.append("json", Buffer.from(JSON.stringify(body)), { filename: "request.json", contentType: "application/json" });
  form.append("attachment", Buffer.from([0, 13, 10, 255, 45, 45]), { filename: "a.png", contentType: "image/png" });
  const message = await json(platform.post(`${extension}/mms`, form));
  const attachment = message.attachments.find((one) => one.type === "MmsAttachment");
  const content = await (await platform.get(attachment.uri)).arrayBuffer();
  assert.deepEqual([...new Uint8Array(content)], [0, 13, 10, 255, 45, 45]);
});

await step("message store and sync", async () => {
  await control("POST", "/inbound", { from: customer, to: own, text: "inbound" });
  const list = await json(platform.get(`${extension}/message-store`, { messageType: ["SMS", "Fax"], direction: "Inbound" }));
  assert.deepEqual(list.records.map((record) => record.subject), ["inbound"]);
  const full = await json(platform.get(`${extension}/message-sync`, { syncType: "FSync", messageType: "SMS" }));
  assert.equal(full.records.length, 3);
  await control("POST", "/clock", { advanceSeconds: 60 });
  await platform.put(`${extension}/message-store/${list.records[0].id}`, { readStatus: "Read" });
  const { syncToken } = full.syncInfo;
  const changed = await json(platform.get(`${extension}/message-sync`, { syncType: "ISync", syncToken }));
  assert.deepEqual(changed.records.filter((r) => r.direction === "Inbound").map((r) => r.readStatus), ["Read"]);
  const both = await platform.get(`${extension}/message-store/${list.records[0].id},${sent.id}`);
  assert.equal(both.status, 207);
  const parts = await sdk.client().multipart(both);
  assert.deepEqual(await Promise.all(parts.map(async (part) => (await part.json()).subject)), ["inbound", "hello from the SDK"]);
  await assert.rejects(
    platform.get(`${extension}/message-sync`, { syncType: "ISync", syncToken: "stale" }),
    (error) => error.response.status === 400,
  );
});

await step("a subscription, its handshake, an event", async () => {
  let arrived;
  const event = new Promise((resolve) => { arrived = resolve; });
  const receiver = createServer((request, reply) => {
    let body = "";
    request.on("data", (chunk) => { body += chunk; });
    request.on("end", () => {
      const token = request.headers["validation-token"];
      reply.writeHead(200, { "Content-Type": "application/json", ...(token && { "Validation-Token": token }) });
      reply.end();
      if (!token) arrived({ token: request.headers["verification-token"], body: JSON.parse(body) });
    });
  });
  await new Promise((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const made = await json(platform.post("/restapi/v1.0/subscription", {
    eventFilters: [`${extension}/message-store/instant?type=SMS`],
    deliveryMode: {
      transportType: "WebHook", verificationToken: "vt", address: `http://127.0.0.1:${receiver.address().port}/hook`,
    },
  }));
  assert.equal(made.status, "Active");
  await control("POST", "/inbound", { from: customer, to: own, text: "to the webhook" });
  const { token, body } = await event;
  assert.equal(token, "vt");
  assert.equal(body.body.subject, "to the webhook");
  await platform.post(`/restapi/v1.0/subscription/${made.id}/renew`);
  assert.equal((await platform.delete(`/restapi/v1.0/subscription/${made.id}`)).status, 204);
  receiver.closeAllConnections();
  receiver.close();
});

await step("429 reports its delay, and the SDK can wait", async () => {
  const fault = (retryAfter) => control("PUT", "/faults", [
    { match: { path: "/extension/~" }, times: 1, do: { rateLimit: { retryAfter, penaltyRestarts: false } } },
  ]);
  await fault(7);
  let reported;
  platform.once("rateLimitError", (error) => { reported = error.retryAfter; });
  await assert.rejects(platform.get(extension), (error) => error.response.status === 429 && error.retryAfter === 7000);
  assert.equal(reported, 7000);
  await fault(1);
  assert.equal((await platform.get(extension, undefined, { handleRateLimit: true })).status, 200);
  await control("DELETE", "/faults");
});

await step("logout ends the session", async () => {
  const tokens = { ...(await platform.auth().data()) };
  await platform.logout();
  assert.equal(await platform.loggedIn(), false);
  await assert.rejects(async () => {
    await platform.auth().setData(tokens);
    await platform.refresh();
  }, /Token revoked/);
});
console.log("all done");
