"use strict";
for (const gallery of document.querySelectorAll(".gallery")) {
  const pictures = [...gallery.querySelectorAll(".picture")];
  for (const picture of pictures) openable(picture);
  if (gallery.classList.contains("filtered") && pictures.length) addFilter(gallery, pictures);
}

const cut = new ResizeObserver((entries) => {
  for (const { target } of entries) target.classList.toggle("cut", target.scrollWidth > target.clientWidth + 1);
});
for (const wide of document.querySelectorAll(".wide")) cut.observe(wide);

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});

function addFilter(gallery, pictures) {
  const classesOf = new Map(pictures.map((picture) => [picture, JSON.parse(picture.dataset.classes)]));
  const names = [...new Set([...classesOf.values()].flat())];
  const label = document.createElement("label");
  label.className = "filter";
  label.append("Show");
  const choice = document.createElement("select");
  for (const name of [null, ...names]) {
    const shown = name === null ? pictures : pictures.filter((picture) => classesOf.get(picture).includes(name));
    const option = new Option(`${name === null ? "all" : name} (${shown.length})`, name === null ? "all" : `class ${name}`);
    choice.append(option);
  }
  const count = document.createElement("span");
  count.setAttribute("aria-live", "polite");
  choice.addEventListener("change", () => {
    const name = choice.selectedIndex ? names[choice.selectedIndex - 1] : null;
    let shown = 0;
    for (const picture of pictures) {
      picture.hidden = name !== null && !classesOf.get(picture).includes(name);
      picture.style.display = picture.hidden ? "none" : "";
      shown += !picture.hidden;
    }
    count.textContent = `${shown} of ${pictures.length}`;
  });
  label.append(choice, count);
  gallery.querySelector(".pictures").before(label);
}

function openable(picture) {
  const images = [...picture.querySelectorAll("img")];
  const button = document.createElement("button");
  button.type = "button";
  picture.querySelector(".views").before(button);
  button.append(picture.querySelector(".views"));
  button.setAttribute("aria-label", `Enlarge: ${images[0].alt}`);
  button.addEventListener("click", () => enlarge(picture, images));
}

function enlarge(picture, images) {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", images[0].alt);
  const large = document.createElement("div");
  large.className = "large";
  large.append(...images.map((image) => image.cloneNode()));
  const caption = document.createElement("p");
  caption.append(...[...picture.querySelectorAll("figcaption span")].map((line) => line.cloneNode(true)));
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.append(large, caption, close);
  document.body.append(dialog);
  dialog.showModal();
}
