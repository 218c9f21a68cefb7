"use strict";
// A field's bytes light up when it is pointed at or focused, and a byte's field when the byte is; a click keeps them lit.
for (const opened of document.querySelectorAll(".opened")) {
  const pane = opened.querySelector(".hex");
  const bytes = opened.querySelectorAll(".bytes > span");
  const fields = opened.querySelectorAll(".field");
  let kept = null;
  const light = (field, look) => {
    for (const each of opened.querySelectorAll(".lit")) each.classList.remove("lit");
    if (!field) return;
    field.classList.add("lit");
    const first = Number(field.dataset.first), last = Number(field.dataset.last);
    for (let at = first; at <= last; at++) bytes[at].classList.add("lit");
    if (look && bytes[first]) {
      const top = bytes[first].offsetTop - pane.clientHeight / 3;
      if (pane.scrollHeight > pane.clientHeight) pane.scrollTop = Math.max(top, 0);
    }
  };
  for (const field of fields) {
    field.addEventListener("pointerenter", () => light(field, true));
    field.addEventListener("pointerleave", () => light(kept, false));
    field.addEventListener("focus", () => light(field, true));
    field.addEventListener("blur", () => light(kept, false));
    field.addEventListener("click", (event) => {
      kept = kept === field ? null : field;
      light(kept, true);
      if (field.tagName === "A") event.preventDefault();
    });
  }
  bytes.forEach((span, at) => {
    span.addEventListener("pointerenter", () => {
      const leaf = [...fields].find((each) => each.tagName === "A" && Number(each.dataset.first) === at);
      if (leaf) light(leaf, false);
    });
    span.addEventListener("pointerleave", () => light(kept, false));
  });
}
// A link to a message opens it.
const open = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let each = target; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
  target.scrollIntoView({ block: "start" });
};
addEventListener("hashchange", open);
open();
// On paper everything is open.
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details")) each.open = true;
});
