// The notebook's door: anywidget calls `render` for each place where the board is shown.
import { View } from "./view.js";

let count = 0;

export default {
  render({ model, el }) {
    const name = `${Date.now()}-${count++}`;
    const root = document.createElement("div");
    el.append(root);
    const send = (question) => { try { model.send({ ...question, view: name }); } catch (error) { console.debug("the kernel is gone", error); } };
    const view = new View(root, { heading: model.get("heading"), note: model.get("note"), observes: model.get("observes"), tab: model.get("tab"), ask: send });
    root.view = view;
    const listener = (message) => view.take(message);
    model.on("msg:custom", listener);
    const lost = () => { if (model.comm_live === false) { view.lost = "the kernel is gone; run the cell again"; view.state(); } };
    model.on("comm_live_update", lost);
    return () => { model.off("msg:custom", listener); model.off("comm_live_update", lost); view.destroy(); };
  },
};
