// Checks the published file of a draw in the browser, by the rules of docs/draw.md. It needs nothing but WebCrypto.
//
// <section data-draw="URL of the file" data-commitment data-round data-root data-entry>   as published; empty: unknown.
//                                          data-round is "0" for a draw without beacon; data-entry is the shopper's order
//   <input data-draw-noted="commitment">   (also round, root) values that the shopper noted at the time; optional
//   <button type="button" data-draw-start hidden>
//   <progress data-draw-progress hidden>
//   <li data-draw-check="commitment" data-state>   one for each of CHECKS; data-state becomes ok, fault, or for the beacon
//                                          unverified: its signature is not verified here. Elements within it that have
//                                          data-draw-when="ok" (fault, unverified) are shown in that state
//   <p data-draw-result="ok" hidden>       one of ok, fault, malformed, unreachable, insecure (no HTTPS: no WebCrypto) is shown
//   <p data-draw-entry-is="ranked" hidden> one of ranked, set_aside, missing is shown, if the file has no fault
//   <b data-draw-value="rank">             filled: rank, entries, ranked, randomness, round
//
// It can be loaded as a module or deferred. Each start sends `draw:checked` from the section, with {result, faults, seconds}.
"use strict";

{
  const CHECKS = ["commitment", "beacon", "entries", "root", "set_aside", "ranks"];
  const COLUMNS = "entry,sku,quantity,set_aside,rank";
  const CHUNK = 256; // leaves hashed at once; a power of two, since each chunk is a subtree
  const [LONGEST_HEADER, LONGEST_LINE] = [2 ** 20, 256]; // bytes
  const SKU = "[A-Za-z0-9._-]{1,40}";
  const NUMBER = "[1-9][0-9]{0,9}";
  const LINE = new RegExp(`^([0-9a-f]{32}),${SKU},${NUMBER},([01]),(${NUMBER})?$`);

  class Malformed extends Error {}
  class Unreachable extends Error {}

  // --- Bytes ------------------------------------------------------------------------------------

  const digest = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const ascii = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const fromHex = (text) => Uint8Array.from({ length: text.length / 2 }, (_, at) => parseInt(text.substr(2 * at, 2), 16));
  const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

  function join(...parts) {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
    return whole;
  }

  // --- The file ---------------------------------------------------------------------------------

  const matches = (form) => (value) => typeof value === "string" && new RegExp(`^(?:${form})$`).test(value);
  const isNumber = (least, most) => (value) => Number.isInteger(value) && least <= value && value <= most;
  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  const bySku = (stock) => Object.entries(stock).sort(([one], [other]) => (one < other ? -1 : 1));

  const FORMS = {
    format: matches("flashsale-draw-1"),
    sale: matches("[A-Za-z0-9_-]{1,200}"),
    commitment: matches("[0-9a-f]{64}"),
    seed: matches("[0-9a-f]{64}"),
    beacon: matches("[a-z0-9]{0,40}"),
    round: (value) => value === null || isNumber(1, 10_000_000_000)(value),
    signature: matches("([0-9a-f]{96})?"),
    root: matches("[0-9a-f]{64}"),
    entries: isNumber(0, 10_000_000),
    stock: (value) => isObject(value) && Object.entries(value).every(([sku, units]) => matches(SKU)(sku) && isNumber(0, 2 ** 31)(units)),
  };

  function parseHeader(line) {
    let header;
    try {
      header = JSON.parse(line);
    } catch {
      throw new Malformed("The first line is not JSON.");
    }
    if (!isObject(header)) throw new Malformed("The first line is no object.");
    const names = new Set([...Object.keys(FORMS), ...Object.keys(header)]);
    const wrong = [...names].filter((name) => !(Object.hasOwn(header, name) && FORMS[name]?.(header[name])));
    if (wrong.length) throw new Malformed(`The first line has malformed members: ${wrong}`);
    if (line !== writeHeader(header)) throw new Malformed("The first line is not written as specified.");
    return header;
  }

  // JSON has many spellings, and each reader knows others: only this one is right. `stock` is the last member.
  function writeHeader({ stock, ...others }) {
    const units = bySku(stock).map(([sku, count]) => `"${sku}":${count}`);
    return JSON.stringify(others, Object.keys(others).sort()).replace(/}$/, `,"stock":{${units}}}`);
  }

  // Yields lists of whole lines, as they arrive.
  async function* readLines(url, tellSize) {
    const answer = await fetch(url, { credentials: "same-origin" }).catch(() => null);
    if (!answer?.ok) throw new Unreachable(url);
    const all = Number(answer.headers.get("Content-Encoding") ? 0 : answer.headers.get("Content-Length"));
    const reader = answer.body.getReader();
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true }); // other bytes become a character that fits nowhere
    let [rest, got] = ["", 0];
    try {
      for (;;) {
        const { done, value } = await reader.read().catch(() => Promise.reject(new Unreachable(url)));
        if (done) break;
        got += value.length;
        tellSize(all ? got / all : undefined);
        const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
        rest = lines.pop();
        yield lines;
        if (rest.length > LONGEST_HEADER) throw new Malformed("A line is too long.");
      }
    } finally {
      reader.cancel().catch(() => {}); // a connection that is lost already
    }
    if (rest) throw new Malformed("The last line has no end.");
  }

  // --- Tree and ranks ---------------------------------------------------------------------------

  const [LEAF, NODE] = [Uint8Array.of(0), Uint8Array.of(1)];

  const hashLeaf = (data) => digest(join(LEAF, ascii(data)));

  // Leaf 0 binds the sale and its units to the root.
  const saleLeaf = ({ sale, stock }) => ["sale", sale, ...bySku(stock).map(([sku, count]) => `${sku}=${count}`)].join();

  // The root of a tree, level by level. A node without a neighbour moves up as it is.
  async function rootOf(nodes) {
    while (nodes.length > 1) {
      const pairs = [];
      for (let at = 0; at + 1 < nodes.length; at += 2) pairs.push(digest(join(NODE, nodes[at], nodes[at + 1])));
      const odd = nodes.length % 2 ? [nodes.at(-1)] : [];
      nodes = (await Promise.all(pairs)).concat(odd);
    }
    return nodes[0];
  }

  class Entries {
    constructor(header, randomness, wanted) {
      Object.assign(this, { header, wanted, salt: join(fromHex(header.seed), randomness) });
      this.most = header.entries + 1; // one entry too many is read
      this.keys = new Uint8Array(32 * this.most); // by rank; zeros where no entry has it
      this.chunk = [() => hashLeaf(saleLeaf(header))];
      Object.assign(this, { roots: [], count: 0, ranked: 0, last: "", found: null, inOrder: true, setAsideRight: true });
    }

    async add(line) {
      this.chunk.push(() => this.hashLine(line));
      if (this.chunk.length === CHUNK) await this.hashChunk();
    }

    async hashChunk() {
      const hashes = await Promise.all(this.chunk.splice(0).map((hash) => hash()));
      this.roots.push(await rootOf(hashes));
      await new Promise((resolve) => setTimeout(resolve)); // hashes come before clicks and paint: the page would freeze
    }

    hashLine(line) {
      const found = LINE.exec(line);
      if (!found) throw new Malformed(`Not an entry: ${line}`);
      const [, entry, aside, rank] = found;
      this.count += 1;
      this.inOrder &&= this.last < entry;
      this.last = entry;
      this.setAsideRight &&= (aside === "1") === !rank;
      if (entry === this.wanted) this.found = { aside: aside === "1", rank };
      const leaf = hashLeaf(line.slice(0, line.lastIndexOf(",")));
      return rank ? this.keepKey(entry, Number(rank)).then(() => leaf) : leaf;
    }

    async keepKey(entry, rank) {
      this.ranked += 1;
      const key = await digest(join(this.salt, fromHex(entry)));
      if (rank <= this.most) this.keys.set(key, 32 * (rank - 1)); // one that is too large leaves another empty
    }

    async root() {
      if (this.chunk.length) await this.hashChunk();
      return toHex(await rootOf(this.roots));
    }

    ranksAreRight() {
      for (let rank = 0; rank < this.ranked; rank += 1) if (!this.isAfter(rank)) return false;
      return true;
    }

    // Whether the key of a rank (from 0) is greater than the one before.
    isAfter(rank) {
      for (let at = 32 * rank; at < 32 * rank + 32; at += 1) {
        const before = rank ? this.keys[at - 32] : 0;
        if (this.keys[at] !== before) return this.keys[at] > before;
      }
      return false;
    }
  }

  // --- The checks -------------------------------------------------------------------------------

  function beaconState({ beacon, round, signature }, published) {
    if (!published.round.every((value) => value === String(round ?? 0))) return "fault";
    if (beacon === "") return round === null && !signature ? "ok" : "fault";
    return beacon === "quicknet" && round && signature ? "unverified" : "fault";
  }

  async function checkFile(url, published, wanted, tellProgress) {
    let [header, entries, number] = [null, null, 0];
    reading: for await (const lines of readLines(url, tellProgress)) {
      for (const line of lines) {
        number += 1;
        if (line.length >= (number === 1 ? LONGEST_HEADER : LONGEST_LINE)) throw new Malformed(`Line ${number} is too long.`);
        if (number === 1) {
          header = parseHeader(line);
          const signature = fromHex(header.signature);
          entries = new Entries(header, signature.length ? await digest(signature) : signature, wanted);
        } else if (number === 2) {
          if (line !== COLUMNS) throw new Malformed("The second line is another.");
        } else await entries.add(line);
        if (number === header.entries + 3) break reading; // what follows is not read
      }
    }
    if (number < 2) throw new Malformed("The file has no header.");
    return { states: await statesOf(header, entries, published), header, entries };
  }

  async function statesOf(header, entries, published) {
    const state = (right) => (right ? "ok" : "fault");
    const same = (name) => published[name].every((value) => value === header[name]);
    const root = await entries.root();
    return {
      commitment: state(same("commitment") && toHex(await digest(fromHex(header.seed))) === header.commitment),
      beacon: beaconState(header, published),
      entries: state(entries.count === header.entries && entries.inOrder),
      root: state(same("root") && root === header.root),
      set_aside: state(entries.setAsideRight),
      ranks: state(entries.ranksAreRight()),
    };
  }

  // --- The page ---------------------------------------------------------------------------------

  const all = (section, selector) => section.querySelectorAll(selector);

  function showOne(section, attribute, value) {
    for (const element of all(section, `[${attribute}]`)) element.hidden = element.getAttribute(attribute) !== value;
  }

  function showState(section, check, state) {
    for (const element of all(section, `[data-draw-check="${check}"]`)) {
      element.dataset.state = state;
      showOne(element, "data-draw-when", state);
    }
  }

  function fill(section, values) {
    for (const element of all(section, "[data-draw-value]")) element.textContent = values[element.dataset.drawValue] ?? "";
  }

  // The values to compare with: the page's, and those that the shopper has noted.
  function publishedOn(section) {
    const given = (name) => {
      const noted = [...all(section, `[data-draw-noted="${name}"]`)].map((input) => input.value);
      return [section.dataset[name] ?? "", ...noted].map((value) => value.trim().toLowerCase()).filter(Boolean);
    };
    return { commitment: given("commitment"), round: given("round"), root: given("root") };
  }

  async function showCheck(section) {
    for (const check of CHECKS) showState(section, check, "");
    for (const attribute of ["data-draw-result", "data-draw-entry-is"]) showOne(section, attribute, "");
    if (!globalThis.crypto?.subtle) return { result: "insecure", faults: [] };
    const bar = section.querySelector("[data-draw-progress]");
    const tellProgress = (part) => bar && (part === undefined ? bar.removeAttribute("value") : (bar.value = part));
    const wanted = (section.dataset.entry ?? "").replaceAll("-", "").toLowerCase();
    const { states, header, entries } = await checkFile(section.dataset.draw, publishedOn(section), wanted, tellProgress);
    for (const check of CHECKS) showState(section, check, states[check]);
    const faults = CHECKS.filter((check) => states[check] === "fault");
    const randomness = header.signature ? toHex(await digest(fromHex(header.signature))) : "";
    fill(section, { rank: entries.found?.rank, entries: entries.count, ranked: entries.ranked, randomness, round: header.round });
    if (wanted && !faults.length) showOne(section, "data-draw-entry-is", !entries.found ? "missing" : entries.found.aside ? "set_aside" : "ranked");
    return { result: faults.length ? "fault" : "ok", faults };
  }

  async function start(section) {
    const button = section.querySelector("[data-draw-start]");
    const bar = section.querySelector("[data-draw-progress]") ?? {};
    const begun = performance.now();
    button.disabled = true;
    bar.hidden = false;
    let checked = { result: "malformed", faults: [] };
    try {
      checked = await showCheck(section);
    } catch (error) {
      if (error instanceof Unreachable) checked = { result: "unreachable", faults: [] };
      else if (!(error instanceof Malformed)) throw error;
    } finally {
      button.disabled = false;
      bar.hidden = true;
    }
    showOne(section, "data-draw-result", checked.result);
    const detail = { ...checked, seconds: (performance.now() - begun) / 1000 };
    section.dispatchEvent(new CustomEvent("draw:checked", { bubbles: true, detail }));
  }

  for (const section of document.querySelectorAll("[data-draw]")) {
    const button = section.querySelector("[data-draw-start]");
    button.hidden = false;
    button.addEventListener("click", () => start(section));
  }
}
