// The notebook's door to the glass box: requests on the left, the way of the chosen one on the right.
import { Pipeline } from "./pipeline.js";

export default {
  render({ model, el }) {
    const root = document.createElement("div");
    el.append(root);
    const view = new Pipeline(root, model.get("heading"));
    root.view = view;
    const listener = (message) => view.take(message);
    model.on("msg:custom", listener);
    model.send({ ask: "whole" });
    return () => { model.off("msg:custom", listener); view.destroy(); };
  },
};
