
"use strict";
(() => {
  // Names come from files that may be anybody's: they go into the page as text alone (textContent, fillText), and no
  // object is indexed by them.
  const data = JSON.parse(document.getElementById("data").textContent);
  const count = data.classes.length;
  const canvas = document.getElementById("cells");
  const readout = document.getElementById("cell");
  const list = document.getElementById("cell-videos");
  const named = 30;                                   // up to so many classes, rows and columns carry names
  const most = 200;                                   // videos listed of a cell
  const matrix = new Uint32Array(count * count);
  const totals = new Uint32Array(count);
  data.labels.forEach((label, place) => {
    matrix[label * count + data.predictions[place]] += 1;
    totals[label] += 1;
  });

  let base = null;                                    // the matrix without its cursor
  let side = 0, left = 0, top = 0, ratio = 1;         // of the cells, in CSS pixels; device pixels in one of them
  let row = -1, column = -1, pinned = false;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function fit(pen, text, width) {
    if (pen.measureText(text).width <= width) return text;
    const letters = Array.from(text);
    while (letters.length && pen.measureText(letters.join("") + "…").width > width) letters.pop();
    return letters.join("") + "…";
  }

  function draw() {
    const width = canvas.clientWidth;
    if (!width) return;
    ratio = window.devicePixelRatio || 1;
    const pen = document.createElement("canvas").getContext("2d");
    const size = Math.max(10, Math.min(13, width / 55));
    pen.font = size + "px system-ui, sans-serif";
    const longest = count <= named ? Math.max(...data.classes.map((text) => pen.measureText(text).width)) : 0;
    left = top = count <= named ? Math.ceil(Math.min(longest, width * 0.28)) + 8 : 1;
    side = Math.min(width - left - 1, count <= 4 ? 110 * count : Infinity);
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round((top + side + 1) * ratio);
    canvas.style.height = top + side + 1 + "px";
    canvas.dataset.cells = JSON.stringify([left, top, side]);
    base = pen.canvas;
    base.width = canvas.width;
    base.height = canvas.height;
    pen.scale(ratio, ratio);
    pen.font = size + "px system-ui, sans-serif";
    paintCells(pen);
    if (count <= named) paintNames(pen, size);
    pen.strokeStyle = colour("--line");
    pen.lineWidth = 1;
    pen.strokeRect(left - 0.5, top - 0.5, side + 1, side + 1);
    show();
  }

  // Edges on whole device pixels, so that neighbouring cells leave no seams.
  const edge = (start, place) => Math.round((start + place * side / count) * ratio) / ratio;

  function box(i, j) {
    const x = edge(left, j), y = edge(top, i);
    return [x, y, edge(left, j + 1) - x, edge(top, i + 1) - y];
  }

  function paintCells(pen) {
    const right = colour("--right"), wrong = colour("--wrong"), ink = colour("--ink"), paper = colour("--paper");
    pen.fillStyle = colour("--band");
    pen.fillRect(left, top, side, side);
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < count; j++) {
        const videos = matrix[i * count + j];
        if (!videos) continue;
        const strength = 0.12 + 0.88 * Math.sqrt(videos / totals[i]);
        const [x, y, w, h] = box(i, j);
        pen.globalAlpha = strength;
        pen.fillStyle = i === j ? right : wrong;
        pen.fillRect(x, y, w, h);
        pen.globalAlpha = 1;
        if (count <= named && pen.measureText(String(videos)).width < w - 2) {
          pen.fillStyle = strength > 0.72 ? paper : ink;
          pen.fillText(String(videos), x + w / 2, y + h / 2 + 0.5);
        }
      }
    }
  }

  function paintNames(pen, size) {
    pen.fillStyle = colour("--ink");
    const step = side / count;
    if (step < size) return;
    data.classes.forEach((text, place) => {
      const short = fit(pen, text, left - 8);
      pen.textBaseline = "middle";
      pen.textAlign = "right";
      pen.fillText(short, left - 6, top + (place + 0.5) * step);
      pen.save();
      pen.translate(left + (place + 0.5) * step, top - 6);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "left";
      pen.fillText(short, 0, 0);
      pen.restore();
    });
  }

  // The matrix, and on it the row, the column and the cell under the cursor.
  function show() {
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(base, 0, 0);
    if (row < 0) return;
    pen.scale(ratio, ratio);
    const [x, y, w, h] = box(row, column);
    pen.fillStyle = colour("--ink");
    pen.globalAlpha = 0.09;
    pen.fillRect(left, y, side, h);
    pen.fillRect(x, top, w, side);
    pen.globalAlpha = 1;
    pen.strokeStyle = colour("--ink");
    pen.lineWidth = 1.5;
    pen.strokeRect(x - 0.75, y - 0.75, w + 1.5, h + 1.5);
  }

  const percent = (share) => (100 * share).toFixed(1) + " %";
  const thousands = (number) => number.toLocaleString("en");
  const videosOf = (number) => thousands(number) + (number === 1 ? " video" : " videos");

  function quoted(text) {
    const element = document.createElement("strong");
    const isolated = document.createElement("bdi");
    isolated.textContent = text;
    element.append(isolated);
    return element;
  }

  function describe() {
    if (row < 0) {
      readout.textContent = "";
      return;
    }
    const videos = matrix[row * count + column], total = totals[row];
    const share = total ? " (" + percent(videos / total) + ")" : "";
    const predicted = row === column ? [", predicted right: "] : [", predicted ", quoted(data.classes[column]), ": "];
    readout.replaceChildren(
      "True ", quoted(data.classes[row]), ...predicted, thousands(videos) + " of " + videosOf(total) + share + ".");
  }

  function listVideos() {
    const names = [];
    data.labels.forEach((label, place) => {
      if (label === row && data.predictions[place] === column) names.push(data.videos[place]);
    });
    list.replaceChildren(...names.slice(0, most).map((text) => {
      const item = document.createElement("li");
      const isolated = document.createElement("bdi");
      isolated.textContent = text;
      item.append(isolated);
      return item;
    }));
    if (names.length > most) {
      const item = document.createElement("li");
      item.textContent = "and " + thousands(names.length - most) + " more";
      list.append(item);
    }
  }

  function select(i, j) {
    if (i === row && j === column) return;
    row = i;
    column = j;
    show();
    describe();
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    const j = Math.floor((event.clientX - box.left - left) / side * count);
    const i = Math.floor((event.clientY - box.top - top) / side * count);
    return i >= 0 && i < count && j >= 0 && j < count ? [i, j] : null;
  }

  canvas.addEventListener("pointermove", (event) => {
    const found = place(event);
    if (found && !pinned) select(...found);
  });
  canvas.addEventListener("pointerleave", () => {
    if (!pinned && document.activeElement !== canvas) select(-1, -1);
  });
  canvas.addEventListener("click", (event) => {
    const found = place(event);
    if (!found) return;
    const again = pinned && found[0] === row && found[1] === column;
    select(...found);
    pinned = !again;
    if (pinned) listVideos(); else list.replaceChildren();
  });

  const moves = new Map([
    ["ArrowUp", (i, j) => [i - 1, j]], ["ArrowDown", (i, j) => [i + 1, j]],
    ["ArrowLeft", (i, j) => [i, j - 1]], ["ArrowRight", (i, j) => [i, j + 1]],
    ["Home", (i) => [i, 0]], ["End", (i) => [i, count - 1]],
    ["PageUp", (i, j) => [0, j]], ["PageDown", (i, j) => [count - 1, j]],
  ]);
  const inside = (number) => Math.max(0, Math.min(count - 1, number));

  canvas.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const move = moves.get(event.key);
    if (move) {
      const [i, j] = row < 0 ? [0, 0] : move(row, column);
      pinned = false;
      list.replaceChildren();
      select(inside(i), inside(j));
    } else if (event.key === "Enter" && row >= 0) {
      pinned = true;
      listVideos();
    } else if (event.key === "Escape") {
      pinned = false;
      list.replaceChildren();
      select(-1, -1);
    } else {
      return;
    }
    event.preventDefault();
  });

  // Sorts the table of classes by the column whose head was pressed; again: the other way round.
  const table = document.getElementById("class-table");
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);
  const order = new Intl.Collator("en", { numeric: true });

  heads.forEach((head, index) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      const text = (line) => line.cells[index].textContent;
      const compare = head.classList.contains("number")
        ? (a, b) => parseFloat(text(a)) - parseFloat(text(b))
        : (a, b) => order.compare(text(a), text(b));
      const lines = Array.from(body.rows).sort((a, b) => (up ? compare(a, b) : compare(b, a)));
      body.append(...lines);
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
    });
  });

  draw();
  new ResizeObserver(() => { if (canvas.clientWidth * (window.devicePixelRatio || 1) !== canvas.width) draw(); }).observe(canvas);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  window.matchMedia("print").addEventListener("change", draw);
})();
