// Microsoft's parsers and writers, asked line by line: each line of standard input is a question in JSON, each line of
// standard output its answer.
//
//   {"read":"json"|"messagepack"|"handshake","bytes":HEX}   {"messages":[…]}, {"response":{…},"rest":HEX} or {"error":TEXT}
//   {"write":"json"|"messagepack","message":{…}}            {"bytes":HEX}
//
// Values that JSON lacks, and those that tell two things apart which JSON does not: {"$number":HEX of the 64 bits},
// {"$bin":HEX}, {"$date":milliseconds or null}, {"$ext":[type,HEX]}. So many lists that hold nothing but the next, and
// the last of them: {"$nested":[n,…]}.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// Not imported: the packages require each other, and a class that is loaded in both ways is two classes.
const require = createRequire(import.meta.url);
const { NullLogger, JsonHubProtocol } = require("@microsoft/signalr");
const { MessagePackHubProtocol } = require("@microsoft/signalr-protocol-msgpack");
const { ExtData } = require("@msgpack/msgpack");
const { HandshakeProtocol } = require("@microsoft/signalr/dist/cjs/HandshakeProtocol.js");

const protocols = { json: new JsonHubProtocol(), messagepack: new MessagePackHubProtocol() };
const handshake = new HandshakeProtocol();

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const unhex = (text) => Uint8Array.from(Buffer.from(text, "hex"));
const text = (bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);

function bits(number) {
    const buffer = Buffer.alloc(8);
    buffer.writeDoubleBE(Number.isNaN(number) ? NaN : number);
    return buffer.toString("hex");
}

function list([only, ...more]) {
    if (only?.$nested && !more.length) return { $nested: [only.$nested[0] + 1, only.$nested[1]] };
    if (Array.isArray(only) && !more.length) return { $nested: [1, only] };
    return only === undefined ? [] : [only, ...more];
}

/** A value that was read. */
function show(value) {
    if (typeof value === "number") return { $number: bits(value) };
    // What is left of a pair of surrogates cannot be told in UTF-8.
    if (typeof value === "string") return value.toWellFormed();
    if (value === null || value === undefined || typeof value !== "object") return value ?? null;
    if (Array.isArray(value)) return list(value.map(show));
    if (value instanceof Date) return { $date: Number.isNaN(value.getTime()) ? null : value.getTime() };
    if (value instanceof Uint8Array) return { $bin: hex(value) };
    if (value instanceof ExtData) return { $ext: [value.type, hex(value.data)] };
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name.toWellFormed(), show(member)]));
}

/** The reverse of show. */
function hide(value) {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map(hide);
    if ("$nested" in value) {
        let inner = hide(value.$nested[1]);
        for (let depth = value.$nested[0]; depth > 0; depth--) inner = [inner];
        return inner;
    }
    if ("$number" in value) return Buffer.from(value.$number, "hex").readDoubleBE();
    if ("$bin" in value) return unhex(value.$bin);
    if ("$date" in value) return new Date(value.$date);
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, hide(member)]));
}

/** Not one value but several. */
const args = ({ arguments: list }) => (Array.isArray(list) ? list.map(show) : show(list ?? []));

/** What the official client makes use of. */
function showMessage(message) {
    const { type, headers, invocationId, target, item, error, result, allowReconnect, sequenceId } = message;
    const shown = { type };
    // A header without a value is none.
    const set = ([, value]) => value !== null;
    if (type <= 3) shown.headers = show(Object.fromEntries(Object.entries(headers ?? {}).filter(set)));
    if (type <= 3 && invocationId !== undefined) shown.invocationId = show(invocationId);
    if (type === 1) Object.assign(shown, { target: show(target), arguments: args(message) });
    if (type === 2) shown.item = show(item);
    // HubConnection: an error that is not empty counts, then a result.
    if (type === 3 && error) shown.error = show(error);
    if (type === 3 && !error && result !== undefined) shown.result = show(result);
    if (type === 7) Object.assign(shown, { error: show(error), allowReconnect: allowReconnect === true });
    // Which zero it is does not matter.
    if (type >= 8) shown.sequenceId = show(sequenceId === 0 ? 0 : sequenceId);
    return shown;
}

function answer({ read, write, bytes, message }) {
    if (write) {
        const written = protocols[write].writeMessage(hide(message));
        return { bytes: typeof written === "string" ? hex(Buffer.from(written)) : hex(new Uint8Array(written)) };
    }
    const input = unhex(bytes);
    if (read === "handshake") {
        const [rest, response] = handshake.parseHandshakeResponse(text(input));
        return { response: show(response), rest: hex(Buffer.from(rest ?? "")) };
    }
    const whole = read === "json" ? text(input) : input.buffer;
    return { messages: protocols[read].parseMessages(whole, NullLogger.instance).map(showMessage) };
}

for await (const line of createInterface({ input: process.stdin })) {
    let said;
    try {
        said = answer(JSON.parse(line));
    } catch (error) {
        said = { error: `${error?.message ?? error}`.toWellFormed() };
    }
    process.stdout.write(`${JSON.stringify(said)}\n`);
}
