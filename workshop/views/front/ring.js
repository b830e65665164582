// The notebook's door to the Raft ring.
import { RaftRing } from "./ringview.js";

export default {
  render({ model, el }) {
    const root = document.createElement("div");
    el.append(root);
    const view = new RaftRing(root, (question) => model.send(question), model.get("live"));
    root.view = view;
    const listener = (message) => view.take(message);
    model.on("msg:custom", listener);
    model.send({ ask: "whole" });
    return () => { model.off("msg:custom", listener); view.destroy(); };
  },
};
