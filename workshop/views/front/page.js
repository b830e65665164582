// The web page's door: one WebSocket, opened again when it breaks.
import { View } from "./view.js";

const given = new URLSearchParams(location.search);
const root = document.getElementById("board");
let socket = null, waiting = [];

function ask(question) {
  const text = JSON.stringify(question);
  if (socket?.readyState === WebSocket.OPEN) socket.send(text);
  else if (question.ask !== "whole" && question.ask !== "here" && question.ask !== "bye") waiting.push(text);
}

const view = new View(root, {
  heading: root.dataset.heading, note: root.dataset.note, observes: root.dataset.observes === "true", ask,
  embed: given.has("embed"), tab: given.get("tab") ?? "workloads", theme: given.get("theme") ?? undefined,
});
root.view = view;

function open() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/live?token=${encodeURIComponent(given.get("token") ?? "")}`);
  socket.addEventListener("open", () => { view.lost = ""; ask({ ask: "whole" }); for (const text of waiting.splice(0)) socket.send(text); });
  socket.addEventListener("message", (event) => view.take(JSON.parse(event.data)));
  socket.addEventListener("close", () => { view.lost = "the board's server has gone; start `workshop board` again"; view.state(); setTimeout(open, 1500); });
}
open();
