#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Loads a timeline into Perfetto's own trace processor and compares what that has with the file.
//
// usage: node perfetto.js FOLDER FILE
// FOLDER holds engine_bundle.js and trace_processor.wasm, as Perfetto's pages load them.
// Exit status: 0 all is the same; 1 something differs, and is printed.
//
// engine_bundle.js is written for a worker of a browser: it gets a port, and talks protobuf through
// it (perfetto's protos/perfetto/trace_processor/trace_processor.proto). The few fields that are
// needed are taken apart by hand.
'use strict';
const fs = require('fs'), path = require('path'), vm = require('vm');

const [folder, file] = process.argv.slice(2);
const exit = process.exit.bind(process);
const inFolder = name => path.join(folder, path.basename(name));

// ---- a worker's surroundings, as far as the engine asks for them ----

globalThis.self = globalThis;
globalThis.location = {href: inFolder('engine_bundle.js')};
globalThis.WorkerGlobalScope = function() {};
globalThis.importScripts = function() {};
globalThis.XMLHttpRequest = class {
  open(method, url) { this.url = url; }
  send() {
    const bytes = fs.readFileSync(inFolder(this.url));
    this.response = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
    this.status = 200;
    if (this.onload) this.onload();
  }
};
delete globalThis.fetch;
// With a process the engine takes this for node, and looks for other ways.
Object.defineProperty(globalThis, 'process', {value: undefined, configurable: true, writable: true});

let answers = [];
const port = {postMessage: bytes => answers.push(Buffer.from(bytes))};

// ---- protobuf ----

function varint(n) {
  const bytes = [];
  let rest = BigInt(n);
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
}
const number = (field, n) => Buffer.concat([varint(field * 8), varint(n)]);
function bytes(field, data) {
  const body = Buffer.from(data);
  return Buffer.concat([varint(field * 8 + 2), varint(body.length), body]);
}

// [[field, number or bytes]] of a message; packed: [number].
function parse(data, packed) {
  let at = 0;
  const found = [], next = () => {
    let n = 0n, shift = 0n, byte;
    do {
      byte = data[at++];
      n |= BigInt(byte & 127) << shift;
      shift += 7n;
    } while (byte & 128);
    return n;
  };
  const some = length => data.subarray(at, at += length);
  while (at < data.length) {
    if (packed) {
      found.push(BigInt.asIntN(64, next()));
      continue;
    }
    const key = Number(next()), type = key & 7;
    found.push([key >> 3, type === 0 ? next() : some(type === 2 ? Number(next()) : type === 1 ? 8 : 4)]);
  }
  return found;
}
const all = (message, field) => message.filter(([f]) => f === field).map(([, value]) => value);

// ---- the trace processor ----

const APPEND = 1, FINISH = 2, QUERY = 3; // methods, and the fields of their arguments and results
const ARGUMENT = {[APPEND]: 101, [QUERY]: 103}, RESULT = {[APPEND]: 201, [QUERY]: 203};
let sequence = 0;

function call(method, argument) {
  const parts = [number(1, ++sequence), number(2, method)];
  if (argument) parts.push(bytes(ARGUMENT[method], argument));
  answers = [];
  port.onmessage({data: new Uint8Array(bytes(1, Buffer.concat(parts)))});
  const messages = parse(Buffer.concat(answers)).map(([, message]) => parse(message));
  for (const message of messages)
    for (const fatal of all(message, 5)) throw new Error(`the trace processor gave up: ${fatal}`);
  return messages.flatMap(message => all(message, RESULT[method])).map(result => parse(result));
}

// Rows of a batch: kinds of cells in one list, the cells of each kind in another.
function cells(batch) {
  const join = (field, take) => all(batch, field).flatMap(take);
  const kinds = join(1, data => parse(data, true)), numbers = join(2, data => parse(data, true));
  const texts = join(5, data => data.toString('utf8').split('\0'));
  return kinds.map(kind => {
    if (kind === 2n) return Number(numbers.shift());
    if (kind === 4n) return texts.shift();
    if (kind === 1n) return null;
    throw new Error(`a query has a cell of kind ${kind}`);
  });
}

function query(sql) {
  let columns = 0, row = [];
  const rows = [];
  for (const result of call(QUERY, bytes(1, sql))) {
    for (const error of all(result, 2)) throw new Error(`${sql}: ${error}`);
    columns += all(result, 1).length;
    for (const batch of all(result, 3))
      for (const cell of cells(parse(batch)))
        if (row.push(cell) === columns) {
          rows.push(row);
          row = [];
        }
  }
  return rows;
}

// ---- what is compared ----

// [[...key, count]] in an order that both sides have.
function counted(keys) {
  const counts = new Map();
  for (const key of keys) counts.set(JSON.stringify(key), (counts.get(JSON.stringify(key)) || 0) + 1);
  return [...counts].map(([key, n]) => [...JSON.parse(key), n]);
}
const sorted = rows => rows.map(row => JSON.stringify(row)).sort();
const ns = us => Math.round(us * 1000);

function compare() {
  const text = fs.readFileSync(file);
  let wrong = 0;
  const same = (what, here, there) => {
    const [a, b] = [sorted(here), sorted(there)];
    const lost = b.filter(row => !a.includes(row)), more = a.filter(row => !b.includes(row));
    if (JSON.stringify(a) !== JSON.stringify(b)) {
      wrong++;
      console.log(`${file}: ${what}: Perfetto lacks ${lost.slice(0, 3)}; has ${more.slice(0, 3)}`);
    }
  };
  for (const result of call(APPEND, text))
    for (const error of all(result, 2)) console.log(`${file}: ${error}`), wrong++;
  call(FINISH);
  const events = JSON.parse(text), of = phase => events.filter(e => e.ph === phase);
  const spans = of('X'), marks = of('i');
  same('spans and marks by name', query('select name, count(*) from slice group by name'),
       counted([...spans, ...marks].map(e => [e.name])));
  same('where they are',
       query('select p.pid, t.tid, s.name, count(*) from slice s join thread_track r on s.track_id = r.id ' +
             'join thread t using (utid) join process p using (upid) group by 1, 2, 3'),
       counted([...spans, ...marks.filter(e => e.s === 't')].map(e => [e.pid, e.tid, e.name])));
  same('how long they take', query('select dur, count(*) from slice group by dur'),
       counted([...spans.map(e => [ns(e.dur)]), ...marks.map(() => [0])]));
  const names = of('M').filter(e => e.name === 'thread_name');
  // Perfetto 52 shows a row's name with the file's escapes in it.
  const known = new Set(names.map(e => e.args.name));
  const meant = name => known.has(name) ? name : JSON.parse(`"${name}"`);
  const rows = query('select p.pid, t.tid, t.name from thread t join process p using (upid) where t.name is not null');
  same('rows', rows.map(([pid, tid, name]) => [pid, tid, meant(name)]),
       names.map(e => [e.pid, e.tid, e.args.name]));
  same('ranks', query('select pid, name from process where name is not null'),
       of('M').filter(e => e.name === 'process_name').map(e => [e.pid, e.args.name]));
  const entries = [...spans, ...marks].filter(e => e.args && 'entry' in e.args);
  same('entries', query("select distinct int_value from args where key = 'args.entry'"),
       [...new Set(entries.map(e => e.args.entry))].map(entry => [entry]));
  same('errors', query("select name, value from stats where severity in ('error', 'data_loss') and value > 0"), []);
  console.log(`${file}: ${spans.length} spans, ${marks.length} marks, ${names.length} rows: ` +
              (wrong ? `${wrong} differences` : 'the same in Perfetto'));
  return wrong;
}

// ---- the run: the engine starts in its own time ----

vm.runInThisContext(fs.readFileSync(inFolder('engine_bundle.js'), 'utf8'), {filename: 'engine_bundle.js'});
globalThis.onmessage({data: port});
let looks = 0;
const timer = setInterval(() => {
  try {
    if (!query('select 1').length) {
      if (++looks > 600) throw new Error('the trace processor does not start');
      return;
    }
    clearInterval(timer);
    exit(compare() ? 1 : 0);
  } catch (error) {
    console.log(`${file}: ${error.message}`);
    exit(1);
  }
}, 50);
