// Updates the page: a stream of ledger entries, and the whole view again after each entry.
"use strict";

const byId = (id) => document.getElementById(id);
// The selected number.
let own = null;
let fetching = false;
// Whether the view changed while it was fetched.
let outdated = false;
let usersShown = "";
let conversationsShown = "";

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function showUsers(view) {
  const numbers = view.accounts.flatMap((account) => account.users.flatMap((user) => user.numbers));
  own ??= numbers.find((number) => number.canReceive)?.phoneNumber ?? null;
  // Rebuilt only after a change, so that the keyboard focus stays.
  const shown = JSON.stringify([view.accounts, own]);
  if (shown === usersShown) return;
  usersShown = shown;
  const all = [];
  for (const account of view.accounts) {
    all.push(make("h3", `${account.name} (${account.id})`));
    for (const user of [...account.users, { name: "No user", numbers: account.numbers }]) {
      if (!user.extensionId && user.numbers.length === 0) continue;
      const about = user.extensionId ? `${user.name}, ext. ${user.extension} · ${user.sessions} session${user.sessions === 1 ? "" : "s"}` : user.name;
      all.push(make("div", about, "soft"));
      for (const number of user.numbers) {
        const button = make("button", undefined, "number");
        button.type = "button";
        button.disabled = !number.canReceive;
        button.setAttribute("aria-pressed", String(number.phoneNumber === own));
        button.append(make("strong", number.phoneNumber));
        const campaign = number.canReceive ? `campaign: ${number.campaign ?? "none"}` : "no SMS";
        button.append(make("div", `${number.label || "Number"} · ${campaign}`, "soft"));
        button.addEventListener("click", async () => {
          own = number.phoneNumber;
          await refresh();
          document.querySelector("button.number[aria-pressed=true]")?.focus();
        });
        all.push(button);
      }
    }
  }
  byId("users").replaceChildren(...all);
  byId("own").textContent = own ?? "…";
  byId("to").textContent = own ?? "…";
}

// Pictures that browsers show. Other files are links.
const PICTURES = ["image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp", "image/svg+xml"];

function showFile(file) {
  const name = file.name ?? file.contentType;
  const about = `${name} · ${file.contentType} · ${file.size.toLocaleString("en")} bytes`;
  const link = make("a", undefined, "file");
  link.href = file.url;
  link.target = "_blank";
  link.rel = "noreferrer";
  if (PICTURES.includes(file.contentType)) {
    const picture = make("img");
    picture.src = file.url;
    picture.alt = name;
    link.append(picture);
  }
  link.append(make("small", about));
  return link;
}

function showConversations(view) {
  const box = byId("talk");
  const shown = JSON.stringify([own, view.messages.filter((message) => message.own === own)]);
  // Rebuilt only after a change, so that pictures are not loaded again.
  if (shown === conversationsShown) return;
  conversationsShown = shown;
  const conversations = new Map();
  for (const message of view.messages) {
    if (message.own !== own) continue;
    if (!conversations.has(message.conversation)) conversations.set(message.conversation, []);
    conversations.get(message.conversation).push(message);
  }
  const all = [];
  for (const messages of conversations.values()) {
    all.push(make("h3", `with ${messages[0].others.join(", ")}`));
    for (const message of messages) {
      const bubble = make("div", message.text, message.outbound ? "bubble out" : "bubble");
      bubble.append(...message.files.map(showFile));
      const status = [message.status, message.error].filter(Boolean).join(" ");
      bubble.append(make("small", `${message.at.slice(11, 19)} · ${status}`));
      all.push(bubble);
    }
  }
  if (all.length === 0) all.push(make("p", "No messages yet.", "soft"));
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  box.replaceChildren(...all);
  const toEnd = () => { box.scrollTop = box.scrollHeight; };
  if (!atEnd) return;
  toEnd();
  // The height of a picture is known once it is loaded.
  for (const picture of box.querySelectorAll("img")) picture.addEventListener("load", toEnd);
}

function showSubscriptions(view) {
  const all = view.subscriptions.map((one) => {
    const row = make("div", undefined, "row");
    row.append(make("strong", one.status, one.status === "Active" ? "" : "bad"));
    row.append(` ${one.address}`);
    const hours = Math.round(one.expiresIn / 360) / 10;
    row.append(make("div", `extension ${one.extensionId} · expires in ${hours} h · ${one.failures} failures`, "soft"));
    for (const filter of one.filters) row.append(make("div", filter, "soft"));
    return row;
  });
  if (all.length === 0) all.push(make("p", "No subscriptions.", "soft"));
  byId("subscriptions").replaceChildren(...all);
}

async function refresh() {
  if (fetching) { outdated = true; return; }
  fetching = true;
  try {
    do {
      outdated = false;
      const view = await (await fetch("/_sim/view")).json();
      const moved = view.offsetSeconds ? `, advanced by ${view.offsetSeconds} s` : "";
      byId("clock").textContent = `${view.now.slice(0, 19).replace("T", " ")} UTC${moved}`;
      showUsers(view);
      showConversations(view);
      showSubscriptions(view);
    } while (outdated);
  } catch {
    byId("live").textContent = "unreachable";
  } finally {
    fetching = false;
  }
}

function addEntries(entries) {
  const rows = entries.slice(-200).map((entry) => {
    const { seq, at, kind, ...fields } = entry;
    const row = make("li");
    row.append(make("span", `${at.slice(11, 19)} `, "soft"), make("strong", kind));
    const text = Object.entries(fields).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
    row.append(make("div", text.join(" · "), "soft"));
    return row;
  });
  const ledger = byId("ledger");
  ledger.prepend(...rows.reverse());
  while (ledger.children.length > 500) ledger.lastElementChild.remove();
}

function readFile(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve({
      contentType: file.type || "application/octet-stream",
      fileName: file.name,
      base64: reader.result.slice(reader.result.indexOf(",") + 1),
    }));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}

byId("inbound").addEventListener("submit", async (event) => {
  event.preventDefault();
  const files = byId("files");
  let media;
  try {
    media = await Promise.all(Array.from(files.files, readFile));
  } catch (error) {
    byId("problem").textContent = `A file cannot be read: ${error.message}`;
    return;
  }
  const body = { from: byId("from").value.trim(), to: own, text: byId("text").value, media, deliver: !byId("lost").checked };
  const reply = await fetch("/_sim/inbound", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  byId("problem").textContent = reply.ok ? "" : (await reply.json()).error;
  if (reply.ok) {
    byId("text").value = "";
    files.value = "";
  }
});

byId("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    byId("inbound").requestSubmit();
  }
});

const stream = new EventSource("/_sim/live");
let first = true;
stream.addEventListener("open", () => { byId("live").textContent = "live"; first = true; });
stream.addEventListener("error", () => { byId("live").textContent = "reconnecting"; });
stream.addEventListener("message", (event) => {
  const { entries, again } = JSON.parse(event.data);
  if (first || again) byId("ledger").replaceChildren();
  first = false;
  addEntries(entries);
  refresh();
});
