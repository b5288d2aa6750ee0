// Checks the published file of a draw: node verify_draw.mjs FILE --commitment HEX --round N --root HEX --entry ID
//
// It is one file that needs Node.js 20 or newer, and nothing else: no shop, no network. It follows docs/draw.md, and
// shares no code with the shop or with verify_draw.py: two programs apart seldom have the same mistake.
// The signature of a beacon is not verified; it says how to compare it with drand's own servers.
// Exit code: 0 all is right, 1 there is a fault, 2 the file cannot be checked.

import { createHash } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const CHAIN = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971";
const GENESIS = 1692803367; // UNIX time of round 1
const FORMAT = "flashsale-draw-1";
const COLUMNS = "entry,sku,quantity,set_aside,rank";
const [LONGEST_HEADER, LONGEST_LINE] = [2 ** 20, 256]; // bytes, with the line feed
const ENTRY = /^([0-9a-f]{32}),([A-Za-z0-9._-]{1,40}),([1-9][0-9]{0,9}),([01]),([1-9][0-9]{0,9})?$/;
const [ID, HEX_32] = [/^[0-9a-f]{32}$/, /^[0-9a-f]{64}$/];

class Malformed extends Error {}
class WrongUse extends Error {}

// Messages never quote the file: it may hold control characters.
function demand(condition, message) {
  if (!condition) throw new Malformed(message);
}

function sha256(...parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

// --- Read -----------------------------------------------------------------------------------------

// Texts have no character that JSON would escape, and numbers one spelling: a pattern takes line 1 apart.
const NUMBER = "0|[1-9][0-9]{0,10}";
const HEADER = new RegExp(
  '^\\{"beacon":"(?<beacon>[a-z0-9]{0,40})","commitment":"(?<commitment>[0-9a-f]{64})",' +
    `"entries":(?<entries>${NUMBER}),"format":"${FORMAT}","root":"(?<root>[0-9a-f]{64})",` +
    `"round":(?<round>null|${NUMBER}),"sale":"(?<sale>[A-Za-z0-9_-]{1,200})","seed":"(?<seed>[0-9a-f]{64})",` +
    '"signature":"(?<signature>(?:[0-9a-f]{96})?)","stock":\\{(?<stock>[^{}]*)\\}\\}$',
);
const UNITS = new RegExp(`^"([A-Za-z0-9._-]{1,40})":(${NUMBER})$`);

function readHeader(line) {
  const found = HEADER.exec(line);
  demand(found, "line 1 is not written as specified");
  const { stock, round, entries, ...header } = found.groups;
  header.entries = Number(entries);
  header.round = round === "null" ? null : Number(round);
  demand(header.entries <= 1e7, "there are too many entries");
  demand(header.round === null || (header.round >= 1 && header.round <= 1e10), "there is no such round");
  header.stock = stock === "" ? [] : stock.split(",").map(readUnits);
  const inOrder = header.stock.every(([sku], at) => at === 0 || header.stock[at - 1][0] < sku);
  demand(inOrder, "the stock is not in order, or a sku is there twice");
  return header;
}

function readUnits(member) {
  const [, sku, units] = UNITS.exec(member) ?? [];
  demand(sku !== undefined && Number(units) <= 2 ** 31, "line 1 has a malformed stock");
  return [sku, Number(units)];
}

// Gives { header, entries }. Reads one entry more than the header says; what follows is not read.
function readDraw(bytes) {
  let [at, number] = [0, 0];
  function nextLine(longest) {
    number += 1;
    const end = bytes.indexOf(0x0a, at);
    demand(end >= 0 && end - at < longest, `line ${number} has no end, or is too long`);
    const line = bytes.toString("latin1", at, end);
    at = end + 1;
    return line;
  }

  const header = readHeader(nextLine(LONGEST_HEADER));
  demand(nextLine(LONGEST_LINE) === COLUMNS, "line 2 does not name the columns");
  const entries = [];
  while (at < bytes.length && entries.length <= header.entries) {
    const line = nextLine(LONGEST_LINE);
    const found = ENTRY.exec(line);
    demand(found, `line ${number} is not an entry`);
    const [, id, sku, quantity, aside, rank] = found;
    const data = line.slice(0, line.lastIndexOf(","));
    entries.push({ data, id, sku, quantity: Number(quantity), aside: aside === "1", rank: Number(rank ?? 0) });
  }
  return { header, entries };
}

// --- What the rules compute -----------------------------------------------------------------------

// The data of all leaves: the sale's, then those of the entries.
function leavesOf({ sale, stock }, entries) {
  const ofSale = ["sale", sale, ...stock.map(([sku, units]) => `${sku}=${units}`)].join(",");
  return [ofSale, ...entries.map((entry) => entry.data)];
}

function treeHash(leaves, from = 0, to = leaves.length) {
  if (to - from === 1) return sha256(Buffer.of(0), leaves[from]);
  let k = 1;
  while (k * 2 < to - from) k *= 2;
  return sha256(Buffer.of(1), treeHash(leaves, from, from + k), treeHash(leaves, from + k, to));
}

function randomnessOf({ signature }) {
  return signature === "" ? Buffer.alloc(0) : sha256(Buffer.from(signature, "hex"));
}

function byRank(entries) {
  return entries.filter((entry) => entry.rank).sort((one, other) => one.rank - other.rank);
}

// The numbers of the entries that get their units.
function winnersOf({ stock }, entries) {
  const left = new Map(stock);
  const fits = ({ sku, quantity }) => quantity <= (left.get(sku) ?? 0);
  const won = new Set();
  for (const entry of byRank(entries)) {
    if (!fits(entry)) continue;
    left.set(entry.sku, left.get(entry.sku) - entry.quantity);
    won.add(entry.id);
  }
  return won;
}

// --- The checks: each gives the text of its fault, or "" ------------------------------------------

const CHECKS = { commitment: checkCommitment, beacon: checkBeacon, entries: checkEntries, root: checkRoot, set_aside: checkAside, ranks: checkRanks };

function checkCommitment(header, _, published) {
  if (![undefined, header.commitment].includes(published.commitment)) return "the commitment is not the published one";
  const right = sha256(Buffer.from(header.seed, "hex")).toString("hex") === header.commitment;
  return right ? "" : "the seed does not hash to the commitment";
}

function checkBeacon({ beacon, round, signature }, _, published) {
  if (![undefined, round ?? 0].includes(published.round)) return "the round is not the published one";
  if (beacon === "") return round === null && signature === "" ? "" : "there is a round or a signature without a beacon";
  if (beacon !== "quicknet") return "the beacon is unknown";
  return round === null || signature === "" ? "the round or its signature is missing" : "";
}

function checkEntries(header, entries) {
  if (entries.length > header.entries) return `the header says ${header.entries} entries, and there are more`;
  if (entries.length < header.entries) return `the header says ${header.entries} entries, and there are ${entries.length}`;
  // Lower-case hex digits are ordered as their bytes are.
  const inOrder = entries.every(({ id }, at) => at === 0 || entries[at - 1].id < id);
  return inOrder ? "" : "entries are not in order, or one is there twice";
}

function checkRoot(header, entries, published) {
  if (![undefined, header.root].includes(published.root)) return "the root is not the published one";
  const right = treeHash(leavesOf(header, entries)).toString("hex") === header.root;
  return right ? "" : "sale and entries do not give the root";
}

function checkAside(_, entries) {
  const wrong = entries.find(({ aside, rank }) => aside === rank > 0);
  if (wrong === undefined) return "";
  return `entry ${wrong.id} ${wrong.aside ? "is set aside and has a rank" : "has no rank"}`;
}

function checkRanks(header, entries) {
  const [seed, randomness] = [Buffer.from(header.seed, "hex"), randomnessOf(header)];
  let last = Buffer.alloc(32);
  for (const [at, { id, rank }] of byRank(entries).entries()) {
    if (rank !== at + 1) return `no entry has rank ${at + 1}, or two have rank ${rank}`;
    const key = sha256(seed, randomness, Buffer.from(id, "hex"));
    if (Buffer.compare(last, key) >= 0) return `rank ${rank} is not that of seed, beacon and entry`;
    last = key;
  }
  return "";
}

// --- Tell -----------------------------------------------------------------------------------------

function tellOfBeacon(header) {
  if (header.beacon === "") return ["note   No beacon: the organiser could have tried several seeds before committing."];
  const known = new Date((GENESIS + 3 * (header.round - 1)) * 1000).toISOString().replace("T", " ").slice(0, 19);
  return [
    "note   The beacon's signature is not verified here. Open",
    `       https://api.drand.sh/${CHAIN}/public/${header.round}`,
    "       and compare: until then the beacon proves nothing. These must be there:",
    `       signature  ${header.signature}`,
    `       randomness ${randomnessOf(header).toString("hex")}`,
    `       The root must have been published before the round became known, which was at ${known} UTC.`,
  ];
}

function tellOfEntry(entries, id, won) {
  const at = entries.findIndex((entry) => entry.id === id);
  if (at < 0) return `FAULT  entry: ${id} is not in the file`;
  const { aside, rank } = entries[at];
  const drawn = aside ? "is set aside" : `has rank ${rank} and gets ${won.has(id) ? "its units" : "nothing at the draw"}`;
  return `ok     entry: ${id} is line ${at + 3} of the file, and ${drawn}`;
}

// Gives the lines to print. An entry is told of if all is right: in another file its rank means nothing.
function verify(bytes, published) {
  const { header, entries } = readDraw(bytes);
  const faults = Object.entries(CHECKS).map(([name, check]) => [name, check(header, entries, published)]);
  const lines = [`draw   ${header.sale}: ${entries.length} entries, ${byRank(entries).length} of them with a rank`];
  lines.push(...faults.map(([name, fault]) => (fault ? `FAULT  ${name}: ${fault}` : `ok     ${name}`)));
  if (faults.every(([, fault]) => !fault)) {
    const won = winnersOf(header, entries);
    lines.push(`note   ${won.size} entries get units.`, ...tellOfBeacon(header));
    if (published.entry !== undefined) lines.push(tellOfEntry(entries, published.entry, won));
  }
  const unknown = ["commitment", "round", "root"].filter((name) => published[name] === undefined);
  lines.push(...unknown.map((name) => `note   Compare the ${name} with the one that was published before: --${name}`));
  return lines;
}

// --- The command ----------------------------------------------------------------------------------

const OPTIONS = { commitment: HEX_32, root: HEX_32, round: /^[0-9]{1,11}$/, entry: ID };

function readArguments(args) {
  const options = Object.fromEntries(Object.keys(OPTIONS).map((name) => [name, { type: "string" }]));
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  const given = Object.entries(values).map(([name, value]) => {
    const text = (name === "entry" ? value.replaceAll("-", "") : value).toLowerCase();
    if (!OPTIONS[name].test(text)) throw new WrongUse(`--${name} has another form`);
    return [name, name === "round" ? Number(text) : text];
  });
  if (positionals.length !== 1) throw new WrongUse("name one file");
  return { file: positionals[0], published: Object.fromEntries(given) };
}

// Gives the exit code, and the lines to print.
export function run(args) {
  try {
    const { file, published } = readArguments(args);
    const lines = verify(readFileSync(file), published);
    return { code: lines.some((line) => line.startsWith("FAULT")) ? 1 : 0, lines };
  } catch (error) {
    // Errors of the system and of arguments have a code.
    if (!(error instanceof Malformed || error instanceof WrongUse || error.code)) throw error;
    return { code: 2, lines: [`FAULT  the file cannot be checked: ${error.message}`] };
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { code, lines } = run(process.argv.slice(2));
  (code === 2 ? console.error : console.log)(lines.join("\n"));
  process.exitCode = code;
}
