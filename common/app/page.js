"use strict";
const $ = (id) => document.getElementById(id);
const canvas = $("canvas"), pen = canvas.getContext("2d");
const PEN_WIDTH = 26; // of the canvas's 540 rows
const MOST_BARS = 20;
const LIVE = 120; // ms between two looks at a stroke that is being drawn
const AGAIN = 5; // times that a busy server is asked again
let pointer = null, last = null; // the one that draws, and where it was
let about = null, newest = 0, waiting = false, looked = 0;

function clear() {
  pen.fillStyle = "white";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pointer = null;
  waiting = false;
  newest += 1; // an answer that is still on its way is not shown
  $("picture").onload = null;
  $("picture").hidden = true;
  hint(about.task === "mnist" ? "draw here, or drop a picture" : "choose a photo, or drop one here");
  show({ answer: "", sure: true, items: [] });
}

function hint(text) {
  $("hint").textContent = text;
  $("hint").hidden = false;
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
}

function stroke(event) {
  const here = place(event);
  pen.lineWidth = PEN_WIDTH;
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = "black";
  pen.beginPath();
  pen.moveTo(...last);
  pen.lineTo(...here);
  pen.stroke();
  last = here;
}

canvas.addEventListener("pointerdown", (event) => {
  if (about?.task !== "mnist" || event.button || pointer !== null) return; // a palm beside the pen draws nothing
  if (!$("picture").hidden) clear();
  pointer = event.pointerId;
  canvas.setPointerCapture(pointer);
  $("hint").hidden = true;
  looked = performance.now();
  last = place(event);
  stroke(event);
});
canvas.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer) return;
  for (const one of event.getCoalescedEvents?.() ?? [event]) stroke(one);
  if (!waiting && performance.now() - looked > LIVE) sendCanvas();
});
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    sendCanvas();
  });
}

function sendCanvas() {
  looked = performance.now();
  const text = atob(canvas.toDataURL("image/png").split(",")[1]); // toBlob() waits for an idle browser, up to a second
  classify(new Blob([Uint8Array.from(text, (character) => character.charCodeAt(0))]));
}

async function classify(blob) {
  const number = ++newest;
  waiting = true;
  const result = await ask(blob, number);
  if (number !== newest) return; // a newer picture is on its way
  waiting = false;
  show(result);
}

async function ask(blob, number) {
  try {
    const response = await request("classify", number, { method: "POST", body: blob });
    if (response.status === 500) return { error: "the server failed; its terminal says why" };
    return await response.json();
  } catch {
    return { error: "the server does not answer; is it still running?" };
  }
}

async function request(path, number, options) {
  for (let again = AGAIN; ; again -= 1) {
    const response = await fetch(path, options), seconds = Number(response.headers.get("Retry-After"));
    if (response.status !== 503 || !again || number !== newest) return response;
    show({ answer: `the server is busy; asking again in ${seconds} s`, sure: false });
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    if (number !== newest) return response; // what was asked is no longer wanted
  }
}

function take(blob) {
  if (!blob || !about) return;
  clear();
  $("hint").hidden = true;
  const url = URL.createObjectURL(blob), picture = $("picture");
  picture.onload = () => { picture.hidden = false; URL.revokeObjectURL(url); };
  picture.onerror = () => {
    hint("your browser cannot show this file");
    URL.revokeObjectURL(url);
  };
  picture.src = url;
  classify(blob);
}

function show(result) {
  const answer = $("answer"), items = result.items ?? [];
  answer.className = result.error ? "error" : result.sure ? "" : "unsure";
  answer.textContent = result.error ?? result.answer;
  $("items").className = items.length > 1 ? "small" : "";
  $("items").replaceChildren(...items.flatMap((item) => {
    const most = Math.max(...item.probabilities), best = about.classes[item.probabilities.indexOf(most)];
    return items.length > 1 ? [figure(item.seen, `${best}, ${(100 * most).toFixed(0)} %`)] :
      [figure(item.seen, "what the network sees"),
        ...(item.decided ? [figure(item.decided, "the pixels that decided")] : [])]; // an exported network cannot say
  }));
  $("bars").hidden = items.length > 1;
  bars(items.length === 1 ? items[0].probabilities : null);
}

function figure(source, text) {
  const result = document.createElement("figure"), image = new Image();
  image.src = source;
  image.alt = text;
  result.append(image, text);
  return result;
}

function bars(probabilities) {
  const rows = $("bars").children;
  const least = probabilities ? [...probabilities].sort((a, b) => b - a)[MOST_BARS - 1] ?? 0 : 0; // to be shown
  about?.classes.forEach((name, i) => {
    const share = probabilities?.[i] ?? 0;
    rows[i].hidden = rows.length > MOST_BARS && (probabilities ? !share || share < least : i >= MOST_BARS);
    rows[i].classList.toggle("best", share > 0 && share === Math.max(...probabilities));
    rows[i].querySelector("i").style.width = `${100 * share}%`;
    rows[i].querySelector("span").textContent = share >= 0.001 ? `${(100 * share).toFixed(1)} %` : "";
  });
}

$("clear").addEventListener("click", () => about && clear());
$("file").addEventListener("change", (event) => { take(event.target.files[0]); event.target.value = ""; });
for (const kind of ["dragover", "drop", "dragleave"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("board").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));

async function start() {
  const response = await request("about", newest);
  if (!response.ok) throw response;
  about = await response.json();
  const digits = about.task === "mnist" && about.classes.join("") === "0123456789";
  const ink = about.task === "mnist" ? "Which of these is it?" : "What is in the photo?";
  $("heading").textContent = document.title = digits ? "Which digit is it?" : ink;
  $("title").textContent = about.title;
  $("bars").className = Math.max(...about.classes.map((name) => name.length)) < 3 ? "narrow" : "";
  $("bars").replaceChildren(...about.classes.map((name) => {
    const row = document.createElement("div");
    row.className = "bar";
    row.append(...["b", "i", "span"].map((tag) => document.createElement(tag)));
    row.firstChild.textContent = row.firstChild.title = name;
    return row;
  }));
  $("examples").replaceChildren(...about.examples.map((name) => {
    const button = document.createElement("button"), image = new Image();
    button.type = "button";
    image.src = `examples/${name}`;
    image.alt = `example ${name}`;
    button.append(image);
    button.addEventListener("click", async () => {
      clear();
      const number = newest, response = await request(image.src, number), blob = await response.blob();
      if (number !== newest) return; // something else was chosen meanwhile
      if (response.ok) take(blob); else show(JSON.parse(await blob.text()));
    });
    return button;
  }));
  clear();
}
start().catch(() => show({ error: "the server does not answer; is it still running?" }));
